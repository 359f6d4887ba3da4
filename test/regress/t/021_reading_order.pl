# A reader copies the log head before it takes its snapshot. Between the two it must wait for the head's page, and here
# for long, because a session that does nothing but leap keeps the page busy and drops the entries of whoever is done:
# a reader that took its snapshot first would miss what commits meanwhile.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $seconds = $ENV{TIDEMARK_READING_SECONDS} || 5;

my $node = PostgreSQL::Test::Cluster->new('reading');
$node->init;
$node->append_conf('postgresql.conf', "synchronous_commit = off\nfsync = off");
$node->start;
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION tidemark;
CREATE TABLE seen (position bigint);
CREATE PROCEDURE keep_appending(stream text, seconds integer) LANGUAGE plpgsql AS $$
DECLARE began timestamptz := clock_timestamp();
BEGIN
	WHILE clock_timestamp() < began + make_interval(secs => seconds) LOOP
		PERFORM es_append(stream, 'Tick');
		COMMIT;
	END LOOP;
END $$;
CREATE PROCEDURE keep_reading(seconds integer) LANGUAGE plpgsql AS $$
DECLARE
	began timestamptz := clock_timestamp();
	reached bigint := 0;
	page bigint[];
BEGIN
	WHILE clock_timestamp() < began + make_interval(secs => seconds) OR page IS NOT NULL LOOP
		page := (SELECT array_agg(event.position) FROM es_read_after(reached, 1000) AS event);
		INSERT INTO seen SELECT unnest(page);
		reached := coalesce(page[cardinality(page)], reached);
		COMMIT;
	END LOOP;
END $$;
SQL

my $leaper = $node->background_psql('postgres', on_error_die => 0);
my $leaping = $leaper->query('SELECT pg_backend_pid()');
$leaper->query_until(qr/^/, "SELECT count(es_leap()) FROM generate_series(1, 1000000000);\n");
my @sessions = map { $node->background_psql('postgres') } 1 .. 4;
$sessions[$_]->query_until(qr/^/, "CALL keep_appending('ticker-$_', $seconds);\n\\echo done\n") foreach 1 .. 3;
$sessions[0]->query_until(qr/done/, 'CALL keep_reading(' . ($seconds + 1) . ");\n\\echo done\n");
is($node->safe_psql('postgres', "SELECT pg_cancel_backend($leaping)"), 't', 'the head was kept busy all the time');
$_->quit foreach @sessions;
eval { $leaper->quit };

my $events = $node->safe_psql('postgres', 'SELECT count(*) FROM es_events');
cmp_ok($events, '>', 1000, 'there was enough to read');
note("$events events");
is( $node->safe_psql('postgres',
		'SELECT count(*) FROM es_events LEFT JOIN seen USING (position) WHERE seen.position IS NULL'),
	0, 'the reader has missed none');
is($node->safe_psql('postgres', 'SELECT count(*) - count(DISTINCT position) FROM seen'), 0, 'and got none twice');

$node->stop;
done_testing();
