# Recovery to points in time, from one backup, of a log under load: what was acknowledged before the point is there, and
# consumers that had seen what came after it, on the original or on another recovered copy, go on by their checkpoints.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use List::Util qw(max);
use Load;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Tidemark;

my $original = new_log('original', "autovacuum = off\n", allows_streaming => 1, has_archiving => 1);
my $load = Load->new;
$load->readers([ 100, 10 ], [$original]);
$load->writers(4, [$original]);
$load->await(appends => 200, reads => 100);
my $prepared = $original->safe_psql('postgres', <<'SQL');
BEGIN;
SELECT first_position FROM es_append('prepared-1', 'Happened');
PREPARE TRANSACTION 'p1';
SQL
$original->backup('base');

my %before;
sub point
{
    my ($name) = @_;
    $load->await(appends => 300);
    $before{$name} = [ $load->acknowledged ];
    $original->safe_psql('postgres', "SELECT pg_create_restore_point('$name')");
    return;
}
point('early');
$original->safe_psql('postgres', q{COMMIT PREPARED 'p1'});
$load->await(reads => 100);
point('late');
$load->await(appends => 300, reads => 100);
$load->stop;
$load->compare($original, 'the original');
$original->safe_psql('postgres', 'SELECT pg_switch_wal()');
my %original = map { $_ => 1 } Load::log_of($original);
my $head = head_position($original);
$original->stop;

# One copy after the other is recovered, and taken into use by the same clients, until it is given up for the next.
my @points = qw(late early early);
for my $number (1 .. @points) {
    my $point = $points[ $number - 1 ];
    my $name = "copy $number, of the $point point";
    my $copy = PostgreSQL::Test::Cluster->new("copy_$number");
    $copy->init_from_backup($original, 'base', has_restoring => 1, standby => 0);
    $copy->append_conf('postgresql.conf', <<"CONF");
archive_mode = off
recovery_target_name = '$point'
recovery_target_action = promote
CONF
    $copy->start;
    $copy->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()') or die 'the copy does not recover';

    my @recovered = Load::log_of($copy);
    my %recovered = map { $_ => 1 } @recovered;
    Load::none($name, 'every append that was acknowledged before the point is there',
        grep { !$recovered{$_} } @{ $before{$point} });
    Load::none($name, "it holds nothing that is not in the original's log", grep { !$original{$_} } @recovered);
    my $first = append($copy, 'first-1');
    cmp_ok($first, '>', $head, "$name: the first append leaps above all that the original or another copy gave out");
    if ($point eq 'early') {
        is(blockers($copy), 'p1', "$name: the transaction that was prepared then holds the line");
        is(safe_position($copy), $prepared - 1, '... at its event');
        is(positions($copy, $head), '', '... also for a consumer that is beyond it');
        $copy->safe_psql('postgres', q{COMMIT PREPARED 'p1'});
    }
    is(positions($copy, $head), $first, "$name: a consumer that is ahead of the copy gets its next event");
    is(safe_position($copy), head_position($copy), '... and nobody holds the line back');

    $load->forgive;
    $load->readers([ 100, 10 ], [$copy]);
    $load->writers(4, [$copy]);
    $load->await(appends => 200, reads => 100);
    $load->stop;
    my @lost = $load->compare($copy, $name);
    cmp_ok(scalar @lost, '>', 0, '... though readers have seen events that the recovery took back');
    $head = head_position($copy);
    $copy->stop;
}

done_testing();
