# The primary is killed under load and its standby promoted, over and over; the old primary comes back by pg_rewind as a
# standby of the new one. With synchronous replication no acknowledged append is lost; in any case no position is ever
# given to two events, and consumers go on by their checkpoints, missing nothing.
#
# TIDEMARK_FAILOVERS sets how many synchronous failovers there are (2).

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use Load;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Tidemark;

my $failovers = $ENV{TIDEMARK_FAILOVERS} // 2;
my $primary = new_log('one', <<'CONF', allows_streaming => 1);
autovacuum = off
max_connections = 50
wal_keep_size = 1GB
wal_log_hints = on
CONF
$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('other');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->start;
my $load = Load->new;

# Whether commits on the primary wait for the standby, or for any standby at all.
sub wait_for_standby
{
    my ($waits) = @_;
    $primary->safe_psql('postgres', "ALTER SYSTEM SET synchronous_standby_names = '" . ($waits ? '*' : '') . "'");
    $primary->reload;
    return if !$waits;
    $primary->poll_query_until('postgres', q{SELECT sync_state = 'sync' FROM pg_stat_replication})
        or die 'no synchronous standby';
    return;
}

# The standby takes over from the primary, which is killed.
sub fail_over
{
    my ($stopped) = @_;
    kill_server($primary, $stopped);
    $standby->append_conf('postgresql.auto.conf', q{synchronous_standby_names = ''});
    $standby->reload;
    $standby->promote;
    ($primary, $standby) = ($standby, $primary);
    return;
}

# The old primary becomes a standby of the new one.
sub rewind_old
{
    my $configuration = slurp_file($standby->data_dir . '/postgresql.conf');
    # pg_rewind finds the new timeline in the control file, which a checkpoint brings there.
    $primary->safe_psql('postgres', 'CHECKPOINT');
    command_ok([ 'pg_rewind', '--source-server', $primary->connstr('postgres'), '--target-pgdata', $standby->data_dir,
            '--no-sync' ], 'the old primary is rewound');
    unlink $standby->data_dir . '/postgresql.conf';
    append_to_file($standby->data_dir . '/postgresql.conf', $configuration);
    $standby->enable_streaming($primary);
    $standby->start;
    return;
}

# Lets the old primary come back, with a reader there, and all go on for a while.
sub come_back
{
    rewind_old();
    $load->stop('reader on the standby');
    $load->readers([100], [$standby], 'reader on the standby');
    $load->await(appends => 300);
    return;
}

sub come_to_rest
{
    my ($failover) = @_;
    $load->await(reads => 100);
    $load->stop('writer');
    $primary->wait_for_catchup($standby, 'replay', $primary->lsn('flush'));
    is(fingerprint($standby), fingerprint($primary), "$failover: the old primary holds exactly the new one's log");
    return;
}

$load->readers([ 100, 20 ], [ $primary, $standby ]);
$load->readers([100], [$standby], 'reader on the standby');
for my $failover (1 .. $failovers) {
    my $commit = $failover % 2 ? 'on' : 'remote_apply';
    my $name = "failover $failover with synchronous_commit = $commit";
    wait_for_standby(1);
    $load->writers(8, [ $primary, $standby ], synchronous_commit => $commit);
    $load->await(appends => 300, reads => 100);
    my @prepared = map { $primary->safe_psql('postgres', <<"SQL") } 1 .. 2;
BEGIN;
SELECT last_position FROM es_append('prepared-$failover-$_', 'Happened');
PREPARE TRANSACTION 'p$_';
SQL
    $load->await(appends => 300);
    fail_over();
    $load->await(appends => 300);
    like(blockers($primary), qr/^p1,p2\b/, "$name: prepared transactions hold the line on the new primary");
    come_back();
    is(safe_position($standby), $prepared[0] - 1, '... and on the old one, which is the standby now');
    $primary->safe_psql('postgres', q{ROLLBACK PREPARED 'p1'; COMMIT PREPARED 'p2'});
    come_to_rest($name);
    is($primary->safe_psql('postgres', "SELECT position FROM es_events WHERE stream_id LIKE 'prepared-$failover-%'"),
        $prepared[1], "$name: of the prepared transactions the one that was committed is there");
}

# The standby gets nothing any more, while readers of the primary go on.
wait_for_standby(0);
$load->writers(8, [ $primary, $standby ], may_be_lost => 1);
$load->await(appends => 300, reads => 100);
$load->stop('reader on the standby');
kill 'STOP', my $sender = $primary->safe_psql('postgres', 'SELECT pid FROM pg_stat_replication');
$load->await(appends => 300);
$load->await(position => safe_position($primary));
fail_over($sender);
$load->await(appends => 300, reads => 100);
come_back();
come_to_rest('failover to a standby that was behind');

$load->stop;
my @lost = $load->compare($primary, 'after all failovers');
cmp_ok(scalar @lost, '>', 0, 'though readers had seen events that the last one took back');

done_testing();
