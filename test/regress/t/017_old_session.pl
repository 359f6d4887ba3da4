# Sessions that have used the log, and remember where its tables and indexes are and that its history goes on, while
# somebody else makes it anew, rebuilds or renames its indexes, adds columns, or moves it.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Tidemark;

my $node = new_log('old_session', "wal_level = replica\nautovacuum = off\n");

# Two sessions that have appended and read; the second one stays within a transaction where that is possible.
my @old = map { session($node) } 1 .. 2;
my $append = q{SELECT last_version, last_position FROM es_append('old-1', 'Happened')};
my $read = q{SELECT string_agg(position::text, ',') FROM es_read_after()};
my $types = q{SELECT count(*) FROM es_read_after(event_types => ARRAY['Happened', 'Other'])};

sub use_log
{
    my ($session) = @_;
    return join ' ', map { $session->query_safe($_) } $append, $read, $types, q{SELECT es_stream_version('old-1')},
        q{SELECT count(*) FROM es_read_stream('old-1')};
}
is(use_log($old[0]), '1|1 1 1 1 1', 'a session uses the log');
is(use_log($old[1]), '2|2 1,2 2 2 2', '... and so does another');

# Indexes
$old[0]->query_safe('PREPARE append AS ' . $append);
$old[0]->query_safe('EXECUTE append');
$node->safe_psql('postgres', 'REINDEX TABLE CONCURRENTLY es_events');
is(use_log($old[0]), '4|4 1,2,3,4 4 4 4', 'an old session goes on after REINDEX CONCURRENTLY');
is($old[0]->query_safe('EXECUTE append'), '5|5', '... also with a statement that it has prepared');
is(outcome($node, q{SELECT es_append('old-1', 'Happened', expected_version => 4)}), 'TM001: wrong expected version',
    'expectations are checked against the new indexes');
$node->safe_psql('postgres', <<'SQL');
ALTER INDEX es_events_pkey RENAME TO by_position;
ALTER INDEX es_events_stream_id_version_key RENAME TO by_stream;
ALTER INDEX es_events_event_id_key RENAME TO by_id;
CREATE INDEX by_type ON es_events (event_type, position);
SQL
is(use_log($old[0]), '6|6 1,2,3,4,5,6 6 6 6',
    'an old session goes on when indexes are renamed, and one by type is added');
$node->safe_psql('postgres', 'DROP INDEX by_type');
is(use_log($old[1]), '7|7 1,2,3,4,5,6,7 7 7 7', 'an old session goes on when the index by type is dropped');
my $id = '00000000-0000-4000-8000-000000000001';
$old[1]->query_safe("SELECT es_append('id-1', 'Happened', event_id => '$id')");
is(outcome($node, "SELECT es_append('id-2', 'Happened', event_id => '$id')") =~ /^(TM003)/ && $1, 'TM003',
    'an id that is taken is recognized though its index has another name');

# Rewrites
$node->safe_psql('postgres', 'VACUUM FULL es_events; VACUUM FULL es_log_head; CLUSTER es_events USING by_stream');
is(use_log($old[0]), '8|9 1,2,3,4,5,6,7,8,9 9 8 8', 'an old session goes on when the tables are rewritten');

# Columns
$node->safe_psql('postgres', <<'SQL');
ALTER TABLE es_events ADD COLUMN tenant text DEFAULT 'nobody', ADD COLUMN added_at timestamptz,
    ADD COLUMN size integer GENERATED ALWAYS AS (length(data::text)) STORED;
SQL
is(use_log($old[0]), '9|10 1,2,3,4,5,6,7,8,9,10 10 9 9', 'an old session goes on when columns are added');
is($old[1]->query_safe(q{SELECT count(*), min(tenant), max(tenant), count(added_at), sum(size)
        FROM es_read_stream('old-1')}), '9|nobody|nobody|0|18', '... and events old and new have their values');
is($old[1]->query_safe(q{SELECT sum(size) FROM es_read_after()}), 20, '... also in the whole log');
$node->safe_psql('postgres', 'ALTER TABLE es_events DROP COLUMN tenant, DROP COLUMN size');
is(use_log($old[1]), '10|11 1,2,3,4,5,6,7,8,9,10,11 11 10 10', 'an old session goes on when they are dropped');
is(use_log($old[0]), '11|12 1,2,3,4,5,6,7,8,9,10,11,12 12 11 11', '... and so does another');

# A new log
$node->safe_psql('postgres', 'SET client_min_messages = error; DROP EXTENSION tidemark CASCADE');
like(outcome($node, $append), qr/^42883: /, 'without the extension there is no log');
my ($out, $failed) = $old[0]->query($append);
ok($failed, 'not for an old session either');
$old[0]->{stderr} = '';
$node->safe_psql('postgres', 'CREATE EXTENSION tidemark');
is(use_log($old[0]), '1|1 1 1 1 1', 'an old session uses the new log');
is(use_log($old[1]), '2|2 1,2 2 2 2', '... and so does another');

# ... in another schema
$node->safe_psql('postgres', 'SET client_min_messages = error; DROP EXTENSION tidemark; CREATE SCHEMA es;
    CREATE EXTENSION tidemark SCHEMA es');
is($old[0]->query_safe(q{SELECT last_position FROM es.es_append('old-1', 'Happened')}), 1,
    'an old session uses a new log in another schema');

# ... and one that is gone with the transaction that made it
$old[0]->query_safe('SET client_min_messages = error; SET search_path = es, public');
is($old[0]->query_safe("BEGIN; DROP EXTENSION tidemark; CREATE EXTENSION tidemark SCHEMA es; $append"), '1|1',
    'a log is made and used in a transaction');
$old[0]->query_safe('ROLLBACK');
is($old[0]->query_safe($append), '2|2', '... and when that is undone the old one goes on');
$old[0]->query_safe(
    "BEGIN; SAVEPOINT a; DROP EXTENSION tidemark; CREATE EXTENSION tidemark SCHEMA es; $append; $append");
$old[0]->query_safe('ROLLBACK TO a');
is($old[0]->query_safe($append), '3|3', '... also when a savepoint is rolled back');
$old[1]->query_safe('SET search_path = es, public');
$old[1]->query_safe(q{SELECT es_append('other-1', 'Happened')});
is($old[1]->query_safe($read), '1,2', 'the old log knows that this transaction has appended to it');
$old[0]->query_safe('COMMIT');
is($old[1]->query_safe($read), '1,2,3,4', '... and when it has committed');
is($node->safe_psql('postgres', 'SELECT count(*) FROM es.es_verify()'), 0, 'the log is sound');

# The rebuilt log begins at 1, in a session that knows of another one's history, and leaps after a crash all the same.
$old[0]->query_safe('DROP EXTENSION tidemark; CREATE EXTENSION tidemark SCHEMA es');
is($old[1]->query_safe($append), '1|1', 'a log that is made anew begins at position 1');
$_->quit for @old;
crash($node);
cmp_ok($node->safe_psql('postgres', q{SELECT last_position FROM es.es_append('old-1', 'Happened')}), '>', leap,
    '... and leaps after a crash');

done_testing();
