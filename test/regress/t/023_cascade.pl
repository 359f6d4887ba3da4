# A standby of a standby: its readers get exactly the primary's log, and go on when the first standby crashes, and when
# it is promoted.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use Load;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Tidemark;

my $primary = new_log('primary', "autovacuum = off\nmax_connections = 50\n", allows_streaming => 1);
$primary->backup('base');

# standby(name, source): a standby that follows the source.
sub standby
{
    my ($name, $source) = @_;
    my $node = PostgreSQL::Test::Cluster->new($name);
    $node->init_from_backup($primary, 'base', has_streaming => 1);
    $node->enable_streaming($source);
    $node->start;
    return $node;
}
my $middle = standby('middle', $primary);
my $last = standby('last', $middle);

# Waits until the last standby has all that was committed on the node.
sub caught_up
{
    my ($node) = @_;
    my $end = $node->lsn('flush');
    $last->poll_query_until('postgres', "SELECT pg_last_wal_replay_lsn() >= '$end'")
        or die 'the last standby is behind';
    return;
}

my $load = Load->new;
$load->readers([ 100, 20, 5 ], [$last]);
$load->writers(6, [$primary]);
$load->await(appends => 500, reads => 200);
crash($middle);
$load->await(appends => 300, reads => 200);
$load->stop('writer');
caught_up($primary);
$load->await(position => head_position($primary));
$load->compare($last, 'on the standby of a standby');

# The primary dies; the middle standby has got what it has got.
$load->writers(6, [ $primary, $middle ], may_be_lost => 1);
$load->await(appends => 300, reads => 100);
kill_server($primary);
$middle->promote;
$load->forgive;
$load->writers(2, [$middle]);
$load->await(appends => 300, reads => 200);
$load->stop('writer');
caught_up($middle);
$load->await(position => head_position($middle));
$load->stop;
is($last->safe_psql('postgres', 'SELECT received_tli FROM pg_stat_wal_receiver'), 2,
    'the last standby follows the new timeline');
is(fingerprint($last), fingerprint($middle), "... and holds exactly the new primary's log");
$load->compare($last, 'after the promotion');

done_testing();
