# The server is killed under load, over and over, whole or by one of its backends: every acknowledged append is there,
# no position is ever given to two events, and consumers go on by their checkpoints, missing nothing. Prepared
# transactions that have appended hold the line over crashes until they are resolved.
#
# TIDEMARK_CRASHES sets how often, without and again with prepared transactions (3).

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use Load;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Tidemark;

my $crashes = $ENV{TIDEMARK_CRASHES} // 3;
my $node = new_log('crashes', "autovacuum = off\ncheckpoint_timeout = 30s\nrestart_after_crash = on\n");
my $load = Load->new;

# A backend that is killed makes the server end all others and recover by itself.
sub crash_backend
{
    my $log = -s $node->logfile;
    kill 'KILL', pid_of(q{application_name LIKE 'writer%'});
    $node->wait_for_log('all server processes terminated; reinitializing', $log);
    $node->poll_query_until('postgres', 'SELECT true');
    return;
}

sub pid_of
{
    my ($condition) = @_;
    return $node->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE $condition LIMIT 1");
}

# Of writers that do not wait for the disk a crash takes back what they were told is committed, and readers have seen;
# much, where the WAL writer does not run.
sub crash_of_the_unwritten
{
    kill 'STOP', my $wal_writer = pid_of(q{backend_type = 'walwriter'});
    $load->await(appends => 200);
    $load->await(position => safe_position($node));
    crash($node, $wal_writer);
    return;
}

$load->readers([ 100, 10 ], [$node]);
for my $crash (1 .. $crashes) {
    my $unsure = $crash % 3 == 2;
    $load->writers(4, [$node], $unsure ? (synchronous_commit => 'off', may_be_lost => 1) : ());
    $load->await(appends => 200, reads => 100);
    $unsure ? crash_of_the_unwritten() : $crash % 3 ? crash($node) : crash_backend();
    $load->await(appends => 200, reads => 100);
    $load->stop('writer');
    is(safe_position($node), head_position($node), "crash $crash: nobody holds the line back afterwards");
}

# Prepared transactions

my %prepared = map {
    my @positions = split /\n/, $node->safe_psql('postgres', <<"SQL");
BEGIN;
SELECT first_position FROM es_append('prepared-$_', 'Happened');
SELECT first_position FROM es_append('prepared-$_', 'Happened');
PREPARE TRANSACTION 'p$_';
SQL
    $_ => \@positions;
} 1 .. 4;
my $line = $prepared{1}[0] - 1;
for my $crash (1 .. $crashes) {
    $load->writers(4, [$node]);
    $load->await(appends => 200);
    $crash % 2 ? crash($node) : crash_backend();
    $load->await(appends => 200);
    $load->stop('writer');
    is(blockers($node), 'p1,p2,p3,p4', "crash $crash with prepared transactions: they are all that hold the line");
    is(safe_position($node), $line, "... at the first one's first event");
}
$load->writers(4, [$node]);
$node->safe_psql('postgres', "COMMIT PREPARED 'p1'");
$load->await(position => $prepared{1}[1]);
is(positions($node, $line), join(',', @{ $prepared{1} }), 'the line moves on to the second when the first commits');
$node->safe_psql('postgres', "ROLLBACK PREPARED 'p2'; ROLLBACK PREPARED 'p4'; COMMIT PREPARED 'p3'");
$load->await(position => head_position($node));
$load->stop;

my @lost = $load->compare($node, 'after the crashes');
cmp_ok(scalar @lost, '>', 0, 'though readers had seen events that a crash took back') if $crashes > 1;
is($node->safe_psql('postgres', q{SELECT position FROM es_events WHERE stream_id LIKE 'prepared-%' ORDER BY position}),
    join("\n", map { @{ $prepared{$_} } } 1, 3), 'of the prepared transactions those that were committed are there');

done_testing();
