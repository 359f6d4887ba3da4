# Readers on a hot standby follow the log as safely as on the primary, for what has been replayed.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Tidemark;

my $seconds = $ENV{TIDEMARK_RACE_SECONDS} // 4;
my $primary = new_log('primary', <<'CONF', allows_streaming => 1);
max_connections = 50
shared_buffers = 16MB
CONF
$primary->safe_psql('postgres', 'CREATE TABLE other (id integer)');
$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->start;

# A session on the primary that is in the middle of a transaction.
my $open = session($primary);
sub open_append
{
    my ($stream) = @_;
    return $open->query_safe("SELECT first_position FROM es_append('$stream', 'Happened')");
}

# What a consumer on the standby reads after `after`, once all that the primary has done is replayed, also what open
# transactions have written: the commit here brings that to the disk, from where it is sent.
sub standby_reads
{
    my ($after) = @_;
    $primary->safe_psql('postgres', 'INSERT INTO other VALUES (0)');
    $primary->wait_for_catchup($standby, 'replay', $primary->lsn('flush'));
    return positions($standby, $after);
}
sub standby_line
{
    return $standby->safe_psql('postgres', 'SELECT es_safe_position(), es_head_position()');
}

is(standby_reads(0), '', 'the log of a new standby is empty');
append($primary, 'one-1');
is(standby_reads(0), 1, 'an event is read on the standby');

# An appender held open

$open->query_safe('BEGIN');
is(open_append('two-1'), 2, 'an appender is held open on the primary');
append($primary, 'three-1');
is(standby_reads(1), '', 'it holds back the readers on the standby as well');
is(standby_line(), '1|3', 'the standby knows the line and the head');
is($standby->safe_psql('postgres', 'SELECT pid, gid, first_position FROM es_blockers()'), '||2',
    'es_blockers() on the standby knows where somebody holds the line');
$open->query_safe('COMMIT');
is(standby_reads(1), '2,3', 'the standby reads both events, in order, when the appender has committed');

$open->query_safe('BEGIN');
is(open_append('two-1'), 4, 'another appender is held open on the primary');
append($primary, 'three-1');
is(standby_reads(3), '', '... and holds back the standby');
$open->query_safe('ROLLBACK');
is(standby_reads(3), '5', 'the standby reads on when the appender has rolled back');

# An id taken early

my $early = session($primary);
$early->query_safe('BEGIN; SELECT pg_current_xact_id()');
append($primary, 'early-1');
is($early->query_safe(q{SELECT last_version FROM es_append('early-1', 'Happened')}), 2,
    'a transaction with an older id appends the second version');
is(standby_reads(5), '6', 'the standby reads the first version');
$early->query_safe('COMMIT');
is(standby_reads(6), '7', '... and then the second');

# Two in flight

$open->query_safe('BEGIN');
is(open_append('two-1'), 8, 'one appender is in flight');
append($primary, 'three-1');
$early->query_safe(q{BEGIN; SELECT es_append('early-1', 'Happened')});
append($primary, 'three-1');
is(standby_reads(7), '', 'the first of two in flight decides for the standby');
$open->query_safe('COMMIT');
is(standby_reads(7), '8,9', 'what lies before the second flows when the first has committed');
$early->query_safe('COMMIT');
is(standby_reads(9), '10,11', '... and the rest when the second has');

# More subtransactions than a snapshot on the standby can list

$open->query_safe('BEGIN');
is(open_append('two-1'), 12, 'a transaction appends');
$open->query_safe("SAVEPOINT s$_; SELECT es_append('two-1', 'Happened')") for 1 .. 3;
$open->query_safe(<<'SQL');
DO $$
BEGIN
    FOR n IN 1 .. 150 LOOP
        BEGIN
            PERFORM es_append('two-1', 'Happened');
            IF n % 2 = 0 THEN RAISE division_by_zero; END IF;
        EXCEPTION WHEN division_by_zero THEN NULL;
        END;
    END LOOP;
END
$$
SQL
my $behind = append($primary, 'three-1');
is(standby_reads(11), '', 'an appender with many subtransactions holds the line on the standby');
is(standby_line(), "11|$behind", '... at its first event');
$open->query_safe('COMMIT');
standby_reads(11);
is($standby->safe_psql('postgres', 'SELECT count(*), max(position) FROM es_read_after(11, NULL)'), "80|$behind",
    'the standby reads what the subtransactions committed, and what lies behind it');

# Transactions that append nothing

my $start = $behind;
$open->query_safe('BEGIN; INSERT INTO other VALUES (1)');
$primary->safe_psql('postgres', q{BEGIN; INSERT INTO other VALUES (2); PREPARE TRANSACTION 'stranger'});
$start = append($primary, 'three-1');
is(standby_reads($start - 1), $start, 'transactions on the primary that append nothing do not hold the standby back');
$open->query_safe('COMMIT');
$primary->safe_psql('postgres', q{ROLLBACK PREPARED 'stranger'});

# Prepared appenders

$primary->safe_psql('postgres', join '', map {
    "BEGIN; SELECT es_append('prepared-$_', 'Happened'); PREPARE TRANSACTION 'p$_';\n"
} 1 .. 20);
append($primary, 'three-1');
is(standby_reads($start), '', 'prepared transactions on the primary hold the line on the standby');
is($standby->safe_psql('postgres', 'SELECT count(*) FROM es_blockers()'), 20, '... all 20');
$standby->restart;
is(standby_reads($start), '', '... also when the standby is restarted');
$primary->safe_psql('postgres', join '', map { "COMMIT PREPARED 'p$_';\n" } 1 .. 19);
is(standby_reads($start), join(',', $start + 1 .. $start + 19), 'the standby reads on to the one that is left');
$primary->safe_psql('postgres', q{ROLLBACK PREPARED 'p20'});
is(standby_reads($start + 19), $start + 21, '... and past it when it has rolled back');

# A reader on the standby whose snapshot is older than the line

$open->query_safe('BEGIN');
my $first = open_append('two-1');
append($primary, 'three-1');
standby_reads(0);
my $reader = session($standby);
is($reader->query_safe(
        "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT position FROM es_events WHERE position >= $first"),
    $first + 1, 'a snapshot on the standby shows an event but not the one before it');
$open->query_safe('COMMIT');
standby_reads(0);
is($reader->query_safe("SELECT position FROM es_read_after($first - 1)"), $first . "\n" . ($first + 1),
    'es_read_after() in its transaction reads both');
is($reader->query_safe("SELECT position FROM es_events WHERE position >= $first"), $first + 1,
    '... and its snapshot is what it was');
$reader->query_safe('COMMIT');

# Writing there

is(outcome($standby, q{SELECT es_append('one-1', 'Happened')}),
    '25006: cannot execute es_append() during recovery', 'es_append() is refused on a standby');
is(outcome($standby, q{SELECT es_append_events('one-1', '[]')}),
    '25006: cannot execute es_append_events() during recovery', 'es_append_events() is refused on a standby');
is(outcome($standby, q{SELECT es_lock_stream('one-1')}),
    '25006: cannot execute es_lock_stream() during recovery', 'es_lock_stream() is refused on a standby');
is(outcome($standby, 'SELECT es_leap()'), '25006: cannot execute es_leap() during recovery',
    'es_leap() is refused on a standby');
is($standby->safe_psql('postgres', 'SELECT count(*) FROM es_verify()'), 0, 'es_verify() works there');
is($standby->safe_psql('postgres', q{SELECT es_stream_version('one-1'), count(*) FROM es_read_stream('one-1')}), '1|1',
    'streams are read there');

# Following the log there while it grows

$primary->safe_psql('postgres', follow);
standby_reads(0);
$start = head_position($primary);
my %seen;
my @readers = map {
    my $page = $_;
    IPC::Run::start([ 'psql', '-XAtq', '-d', $standby->connstr('postgres'), '-c',
            "SET statement_timeout = '120s'; SELECT follow($page, $start)" ], '<', \undef, '>', \$seen{$page});
} 1000, 7, 1;
$primary->pgbench("-n -c 8 -j 2 -T $seconds", 0, [qr/processed/], [qr/^$/], 'many append on the primary',
    { '014_write' => <<'SQL' });
\set kind random(1, 10)
\set pause random(1, 3000)
\if :kind = 1
BEGIN;
SELECT * FROM es_append('follow-:client_id', 'Early');
\sleep :pause us
SELECT * FROM es_append('follow-:client_id', 'Late');
COMMIT;
\elif :kind = 2
BEGIN;
SAVEPOINT a;
SELECT * FROM es_append('follow-:client_id', 'Undone');
ROLLBACK TO a;
SELECT * FROM es_append('follow-:client_id', 'Happened');
COMMIT;
\elif :kind = 3
BEGIN;
SELECT pg_current_xact_id();
\sleep :pause us
SELECT * FROM es_append('follow-:client_id', 'Happened');
PREPARE TRANSACTION 'follow-:client_id';
COMMIT PREPARED 'follow-:client_id';
\else
SELECT * FROM es_append('follow-:client_id', 'Happened');
\endif
SQL
$primary->safe_psql('postgres', q{SELECT es_append('end-1', 'End')});
$_->finish for @readers;
my $log = $primary->safe_psql('postgres', "SELECT position FROM es_events WHERE position > $start ORDER BY position");
cmp_ok(length $log, '>', 1000, 'there was something to follow');
is($seen{$_}, "$log\n", "a reader on the standby in pages of $_ sees each committed event once and in order")
    for 1000, 7, 1;

$_->quit for $open, $early, $reader;
done_testing();
