# Transaction ids wrap around after 2^32. What the log head remembers of transactions long ended must neither freeze the
# line nor be taken for somebody who runs, however far the ids have gone on: by half the id space, or once around.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use List::Util qw(min);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Tidemark;

my $node = new_log('wraparound', "autovacuum = off\n");

# set_next_xid(xid, epoch): as if the cluster had been through all the ids up to there. The room for the ids' commit
# status, which VACUUM may have cut off, is made by hand.
sub set_next_xid
{
    my ($xid, $epoch) = @_;
    $node->stop;
    my $segment = sprintf '%s/pg_xact/%04X', $node->data_dir, $xid / (32768 * 32);
    if (!-e $segment) {
        open my $file, '>', $segment or die "$segment: $!";
        print $file "\0" x (8192 * 32);
        close $file;
    }
    system_or_bail('pg_resetwal', '-x', $xid, '-e', $epoch, $node->data_dir);
    $node->start;
    return;
}

# Lets the server forget all old ids, so that it accepts ids further on.
sub freeze_everything
{
    $node->safe_psql('postgres', q{UPDATE pg_database SET datallowconn = true WHERE datname = 'template0'});
    system_or_bail('vacuumdb', '--all', '--freeze', '--quiet', '-h', $node->host, '-p', $node->port);
    return;
}

my $next = 'SELECT pg_snapshot_xmax(pg_current_snapshot())';

# The line with nobody in flight, with somebody, and with nobody again; `when` says how far the ids have gone on.
sub check_line
{
    my ($when) = @_;
    my $head = head_position($node);
    is(safe_position($node), $head, "$when: transactions long ended hold nobody back");
    is(blockers($node), '', "$when: nobody is named as holding the line back");

    my $appender = session($node);
    my $position = $appender->query_safe(q{BEGIN; SELECT first_position FROM es_append('open-1', 'Opened')});
    append($node, 'other-1');
    is(safe_position($node), $position - 1, "$when: an open appender holds the line");
    is($node->safe_psql('postgres', "SELECT first_position FROM es_blockers()"), $position,
        "$when: it alone is named as holding the line back");
    $appender->query_safe('COMMIT');
    $appender->quit;
    is(safe_position($node), head_position($node), "$when: the line goes on when the appender has committed");

    # More appends than the head remembers without dropping what has ended.
    my $remembered = $node->safe_psql('postgres', join '',
        map { "SELECT es_append('many-$_', 'Happened') IS NULL;\n@{[head_entries]};\n" } 1 .. 100);
    is(min($remembered =~ /^(\d+)$/mg), 1, "$when: the head forgets all that have ended");
    is(safe_position($node), head_position($node), "$when: the line goes on over many appends");
    is($node->safe_psql('postgres', 'SELECT count(*) FROM es_verify()'), 0, "$when: the log is sound");
    return;
}

# Leaves entries of ended transactions in the head and returns the id of the last.
sub leave_entries
{
    return (split /\n/, $node->safe_psql('postgres',
        join '',
        map { "BEGIN; SELECT es_append('left-$_', 'Happened') IS NULL; SELECT pg_current_xact_id(); COMMIT;\n" }
            1 .. 20))[-1];
}

my $left = leave_entries();
freeze_everything();
set_next_xid(1500 * 1000 * 1000, 0);
freeze_everything();
cmp_ok($node->safe_psql('postgres', $next) - $left, '<', 2**31, 'the ids go on by less than half the id space');
is(safe_position($node), head_position($node), 'a transaction of not quite half the id space ago holds nobody back');

set_next_xid(3000 * 1000 * 1000, 0);
cmp_ok($node->safe_psql('postgres', $next) - $left, '>', 2**31, 'the ids go on by more than half the id space');
check_line('half the id space on');

# Once around: a new transaction has the same id, but for its epoch, as one that the head remembers.
$left = leave_entries();
freeze_everything();
set_next_xid(4294967000, 0);
freeze_everything();
set_next_xid(1500 * 1000 * 1000, 1);
freeze_everything();
set_next_xid($left - 10, 1);
my $namesake = session($node);
$namesake->query_safe('BEGIN');
my $xid;
do { $xid = $namesake->query_safe('COMMIT; BEGIN; SELECT pg_current_xact_id()') } until $xid >= $left + 2**32;
is($xid, $left + 2**32, 'a transaction that runs is the namesake of one that the head remembers');
is(safe_position($node), head_position($node),
    'the namesake of an appender, which has appended nothing, holds nobody back');
is(blockers($node), '', '... nor is it named');
is($namesake->query_safe('SELECT es_head_position() - es_safe_position()'), 0, '... and reads all that there is');
my $position = $namesake->query_safe(q{SELECT first_position FROM es_append('namesake-1', 'Happened')});
append($node, 'other-1');
is(safe_position($node), $position - 1, '... until it appends');
$namesake->query_safe('COMMIT');
$namesake->quit;
check_line('once around the id space');

# An epoch ends under an open appender.
freeze_everything();
set_next_xid(4294967290, 1);
my $appender = session($node);
$position = $appender->query_safe(q{BEGIN; SELECT first_position FROM es_append('open-2', 'Opened')});
$node->safe_psql('postgres', join '', map { "SELECT es_append('over-$_', 'Happened') IS NULL;\n" } 1 .. 100);
cmp_ok($node->safe_psql('postgres', $next), '>', 2**33, 'the ids enter the next epoch');
is(safe_position($node), $position - 1, 'an appender of the epoch before holds the line');
is($node->safe_psql('postgres', 'SELECT first_position FROM es_blockers()'), $position, '... and is named');
$appender->query_safe('COMMIT');
$appender->quit;
is(safe_position($node), head_position($node), '... until it commits');
is($node->safe_psql('postgres', "SELECT count(*) FROM es_read_after($position - 1, NULL)"), 101,
    '... and nothing is missing');

done_testing();
