# The log head changes in place, under generic WAL: a standby replays exactly what the primary did, each record names
# the transaction it belongs to, and maintenance of the log's tables leaves the line where it is.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Tidemark;

my $primary = new_log('primary', <<'CONF', allows_streaming => 1);
wal_consistency_checking = 'all'
max_prepared_transactions = 100
max_connections = 30
shared_buffers = 16MB
wal_keep_size = 1GB
autovacuum = off
CONF
my $start = $primary->lsn('insert');
$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->start;

my $head = q{SELECT row_number, md5(content) FROM es_log_head ORDER BY row_number};

# Whether the standby, which compares each page it has replayed with the primary's, got this far, and has the same head.
sub replayed
{
    my ($name) = @_;
    $primary->wait_for_catchup($standby, 'replay', $primary->lsn('flush'));
    is($standby->safe_psql('postgres', $head), $primary->safe_psql('postgres', $head), $name);
    return;
}

# Appends of all kinds

$primary->safe_psql('postgres', <<'SQL');
SELECT es_append('one-1', 'Happened');
BEGIN; SAVEPOINT a; SELECT es_append('two-1', 'Happened'); COMMIT;
BEGIN; SAVEPOINT a; SELECT es_append('two-1', 'Happened'); ROLLBACK TO a; SELECT es_append('two-1', 'Happened'); COMMIT;
BEGIN; SELECT es_append('two-1', 'Happened'); ROLLBACK;
SELECT es_append_events('three-1', '[{"type": "Happened"}, {"type": "Happened"}]');
SELECT es_leap();
SQL
replayed('the standby replays appends');
$primary->pgbench('-n -c 5 -j 2 -t 100', 0, [qr{processed: 500/500}], [qr/^$/], 'many append at once',
    { '015_append' => q{SELECT * FROM es_append('many-:client_id', 'Happened');} });
replayed('the standby replays appends of many sessions');

# Entries on further pages of the head
$primary->safe_psql('postgres', join '', map {
    "BEGIN; SAVEPOINT a; SELECT es_append('p-$_', 'Held') IS NULL; PREPARE TRANSACTION 'p$_';\n"
} 1 .. 90);
cmp_ok($primary->safe_psql('postgres', overflow_entries), '>', 20, '90 appenders in flight need a further page');
replayed('the standby replays a head of several pages');
my $line = safe_position($primary);
is($standby->safe_psql('postgres', 'SELECT es_safe_position(), count(*) FROM es_blockers()'), "$line|90",
    'the standby has the line where the primary has it');
$primary->safe_psql('postgres', join '',
    map { "COMMIT PREPARED 'p$_';\nSELECT es_append('one-1', 'Happened') IS NULL;\n" } 2 .. 90);
$primary->safe_psql('postgres', join '', map { "SELECT es_append('one-1', 'Happened') IS NULL;\n" } 1 .. 100);
replayed('the standby replays how the head forgets them');

# Maintenance, with one appender in flight all the time: the line stays, appends go on

sub line_stays
{
    my ($name) = @_;
    my $position = append($primary, 'one-1');
    is($primary->safe_psql('postgres', 'SELECT es_safe_position(), es_head_position(), count(*) FROM es_blockers()'),
        "$line|$position|1", "$name leaves the line and the head where they are");
    replayed("the standby replays $name");
    is($standby->safe_psql('postgres', 'SELECT es_safe_position()'), $line, "... and keeps its line");
    return;
}
for my $command ('VACUUM', 'VACUUM (FREEZE)', 'VACUUM (FREEZE, DISABLE_PAGE_SKIPPING)', 'ANALYZE', 'VACUUM FULL') {
    $primary->safe_psql('postgres', "$command es_log_head");
    line_stays("$command of es_log_head");
}
for my $command ('VACUUM', 'VACUUM (FREEZE)', 'ANALYZE') {
    $primary->safe_psql('postgres', "$command es_events");
    line_stays("$command of es_events");
}
is(outcome($primary, q{SET lock_timeout = '100ms'; VACUUM FULL es_events}),
    '55P03: canceling statement due to lock timeout', 'VACUUM FULL of es_events waits for an appender in flight');
line_stays('an attempt at VACUUM FULL of es_events');

$primary->restart;
line_stays('a restart');
$primary->safe_psql('postgres', q{COMMIT PREPARED 'p1'});
is(safe_position($primary), head_position($primary), 'the line goes on when the appender has committed');
$primary->safe_psql('postgres', 'VACUUM FULL es_events; VACUUM FULL es_log_head');
append($primary, 'one-1');
replayed('the standby replays VACUUM FULL of both');
is(safe_position($primary), head_position($primary), 'the log goes on after VACUUM FULL of both');
is($primary->safe_psql('postgres', q{SELECT count(*) FROM es_read_after(0, NULL)}),
    $primary->safe_psql('postgres', q{SELECT count(*) FROM es_events}), '... and readers get everything');

# A crash with appenders in flight whose entries are on disk: they are over, and nobody is mistaken for them

my $open = session($primary);
my $xid = $open->query_safe(q{BEGIN; SELECT es_append('two-1', 'Lost') IS NULL; SELECT pg_current_xact_id()});
$xid =~ s/.*\n//;
append($primary, 'one-1');
crash($primary);
is(safe_position($primary), head_position($primary), 'an appender that went down in a crash holds nobody back');
my $stranger = session($primary);
cmp_ok($stranger->query_safe('BEGIN; SELECT pg_current_xact_id()'), '>', $xid,
    'its transaction id is not given to anybody else');
is(blockers($primary), '', '... and nobody is taken for it');
$stranger->query_safe('COMMIT');
$stranger->quit;
append($primary, 'one-1');
replayed('the standby replays the leap after a crash');

unlike(slurp_file($standby->logfile), qr/inconsistent page|PANIC/,
    'the standby has found every page as the primary had it');

# What the WAL says
my $wal = '';
my $end = $primary->lsn('flush');
IPC::Run::run([ 'pg_waldump', '-p', $primary->data_dir . '/pg_wal', '-r', 'Generic', '-s', $start, '-e', $end ],
    '>', \$wal, '2>', \my $error);
my @records = grep { /Generic/ } split /\n/, $wal;
cmp_ok(scalar @records, '>', 500, 'the WAL has the changes of the log head') or diag($error);
is(join("\n", grep { !/tx: +[1-9]/ } @records), '', 'each of them carries a transaction id');

eval { $open->quit };
done_testing();
