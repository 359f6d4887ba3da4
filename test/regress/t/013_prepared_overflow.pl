# Prepared transactions hold the line over restarts and crashes, until they are committed or rolled back; hundreds of
# them at a time, which is more than the head's own page remembers.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use List::Util qw(shuffle);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Tidemark;

my $node = new_log('prepared', "max_prepared_transactions = 700\nautovacuum = off\n");

# One

$node->safe_psql('postgres', <<'SQL');
CREATE TABLE other (id integer);
BEGIN; INSERT INTO other VALUES (1); PREPARE TRANSACTION 'forgotten';
SELECT es_append('one-1', 'Happened');
SQL
is(positions($node), 1, 'a prepared transaction that has appended nothing holds nobody back');
is(blockers($node), '', '... and is not named');
$node->safe_psql('postgres', q{ROLLBACK PREPARED 'forgotten'});

$node->safe_psql('postgres', <<'SQL');
BEGIN; SELECT es_append('prepared-1', 'Happened'); PREPARE TRANSACTION 'commit me';
BEGIN; SELECT es_append('prepared-2', 'Happened'); PREPARE TRANSACTION 'roll me back';
SELECT es_append('one-1', 'Happened');
SQL
for my $when ('', ' after a restart', ' after a crash') {
    $node->restart if $when =~ /restart/;
    crash($node) if $when =~ /crash/;
    is(positions($node), 1, "a prepared appender holds the line$when");
    is(blockers($node), 'commit me,roll me back', "prepared appenders are named by their gids$when");
    is(outcome($node, q{SET lock_timeout = '100ms'; SELECT es_append('prepared-1', 'Happened')}),
        '55P03: canceling statement due to lock timeout', "a prepared appender keeps its stream locked$when");
}
is($node->safe_psql('postgres', <<'SQL'), 't|t|prepared|t|t',
SELECT pid IS NULL, first_position = 2, state, since = prepared AND age > interval '0', usename = owner
FROM es_blockers() JOIN pg_prepared_xacts USING (gid) WHERE gid = 'commit me'
SQL
    'es_blockers() tells what is known of a prepared transaction');
append($node, 'one-1');
my $head = head_position($node);
$node->safe_psql('postgres', q{COMMIT PREPARED 'commit me'});
is(positions($node), '1,2', 'its event is read as soon as it is committed, and the next holder decides');
$node->safe_psql('postgres', q{ROLLBACK PREPARED 'roll me back'});
is(positions($node), "1,2,4,$head", 'what lies behind the last holder is read as soon as it is rolled back');

# Two databases

$node->safe_psql('postgres', 'CREATE DATABASE elsewhere');
$node->safe_psql('elsewhere', q{CREATE EXTENSION tidemark; CREATE TABLE other (id integer)});
my $stranger = session($node, 'elsewhere');
$stranger->query_safe(q{BEGIN; INSERT INTO other VALUES (1); SELECT es_lock_stream('one-1');
                        SELECT es_append('one-2', 'Happened')});
append($node, 'one-1');
append($node, 'one-2');
is(safe_position($node), head_position($node), 'an appender in another database holds nobody back in this one');
is(blockers($node), '', '... and is not named here');
$stranger->query_safe('COMMIT');
$stranger->quit;

# Hundreds, prepared by sessions side by side, with committed appends in between

my $before = head_position($node);
$node->pgbench('-n -c 10 -j 2 -t 60', 0, [qr{processed: 600/600}], [qr/^$/], '600 appenders are prepared',
    { '013_prepare' => <<'SQL' });
\set n random(1, 1000000000)
BEGIN;
SELECT * FROM es_append('held-:client_id-:n', 'Held');
PREPARE TRANSACTION 'held-:client_id-:n';
SELECT * FROM es_append('free-:client_id', 'Free');
SQL

# The prepared ones and their places: they cannot be seen in es_events yet, but their positions are its gaps.
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE held AS SELECT gid, first_position AS position FROM es_blockers();
SQL
is($node->safe_psql('postgres', "SELECT count(DISTINCT gid), min(position) FROM held"), '600|' . ($before + 1),
    'es_blockers() lists all 600 by gid');
is($node->safe_psql('postgres', <<SQL), 't', 'each at the place of its event');
SELECT array_agg(position ORDER BY position) =
       ARRAY(SELECT n FROM generate_series($before + 1, es_head_position()) AS n
             WHERE NOT EXISTS (SELECT FROM es_events WHERE position = n) ORDER BY n)
FROM held
SQL
is($node->safe_psql('postgres', <<'SQL'), 't', 'and the one that decides first');
SELECT array_agg(first_position) = ARRAY(SELECT position FROM held ORDER BY position) FROM es_blockers()
SQL
is(safe_position($node), $before, 'the line is where the first of the 600 holds it');

# check(name): the line is where the first of those that are left holds it, and readers get exactly what lies below.
sub check
{
    my ($name) = @_;
    is($node->safe_psql('postgres', <<'SQL'), 't|t|t', $name);
SELECT es_safe_position() = coalesce((SELECT min(position) - 1 FROM held), es_head_position()),
       (SELECT count(*) FROM es_blockers()) = (SELECT count(*) FROM held),
       ARRAY(SELECT position FROM es_read_after(0, NULL))
           = ARRAY(SELECT position FROM es_events WHERE position <= es_safe_position() ORDER BY position)
SQL
    return;
}
check('readers are held back by 600 appenders');
cmp_ok($node->safe_psql('postgres', overflow_entries), '>', 500, 'the head remembers most of them on further pages');
is($node->safe_psql('postgres', q{SELECT count(*) FROM generate_series(1, 100) AS n, es_append('more-' || n, 'Free')}),
    100, 'appending goes on');
check('the line stays while others append');
$node->restart;
check('600 appenders hold the line after a restart');
append($node, 'more-1');
crash($node);
check('600 appenders hold the line after a crash');
append($node, 'more-1');
check('600 appenders hold the line when the log has leapt');

# Released in any order, some committed and some rolled back
srand($ENV{TIDEMARK_SEED} // 7);
my @held = shuffle(split /\n/, $node->safe_psql('postgres', 'SELECT gid FROM held ORDER BY position'));
for my $part (1 .. 6) {
    my @released = splice @held, 0, $part < 6 ? 110 : @held;
    $node->safe_psql('postgres', join '', map {
        my $verb = rand() < 0.5 ? 'COMMIT' : 'ROLLBACK';
        "$verb PREPARED '$_'; DELETE FROM held WHERE gid = '$_'; SELECT es_append('more-1', 'Free') IS NULL;\n"
    } @released);
    check(@held . ' of the 600 are left, and hold the line');
}
is(safe_position($node), head_position($node), 'the last release sets the line free');
is($node->safe_psql('postgres', q{SELECT count(*) FROM es_read_after(0, NULL) WHERE event_type = 'Held'}),
    $node->safe_psql('postgres', q{SELECT count(*) FROM es_events WHERE event_type = 'Held'}),
    'readers have got all that were committed');

# The head forgets them: an append that had to look for them on further pages would touch those.
$node->safe_psql('postgres', join '', map { "SELECT es_append('last-1', 'Happened') IS NULL;\n" } 1 .. 150);
is($node->safe_psql('postgres', overflow_entries), 0, 'after that the head remembers nobody on its further pages');
is($node->safe_psql('postgres', 'SELECT count(*) FROM es_verify()'), 0, 'the log is sound');

done_testing();
