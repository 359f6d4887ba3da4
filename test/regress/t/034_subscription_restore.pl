# Subscriptions after a dump is restored, a standby is promoted, or a crash: their checkpoints are valid, also those
# that lie above the last event; no event is skipped, what is parked stays parked, and fences go on rising.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Tidemark;

my $node = new_log('original', "autovacuum = off\n", allows_streaming => 1);
my $folder = PostgreSQL::Test::Utils::tempdir();

# What a consumer gets: the positions, which it acknowledges. It gives its leases back.
sub take
{
    my ($server, $subscription, $database) = @_;
    $database //= 'postgres';
    my $taken = $server->safe_psql($database, <<"SQL") =~ s/\|.*//r;
SELECT string_agg(position::text, ' '), es_ack('$subscription', max(position), max(fence))
FROM es_fetch('$subscription', 'ann') HAVING count(*) > 0
SQL
    $server->safe_psql($database, "SELECT es_release('$subscription', 'ann')");
    return $taken;
}
sub all_fences { return $_[0]->safe_psql($_[1] // 'postgres', 'SELECT max(fence) FROM es_subscription_status') }

# Twenty events and ten that were rolled back: checkpoints of what does not match, and of a reset, come to lie above
# the last event.
$node->safe_psql('postgres', <<'SQL');
SELECT es_create_subscription('all'), es_create_subscription('odd', 'odd', partitions => 3),
    es_create_subscription('late');
SELECT count(*) FROM generate_series(1, 20) AS n, es_append('order-' || n % 3, 'Placed', jsonb_build_object('n', n));
BEGIN;
SELECT count(*) FROM generate_series(1, 10) AS n, es_append('undone-' || n, 'Undone');
ROLLBACK;
SELECT es_reset_subscription('late', 30);
SQL
is(take($node, 'odd'), '', 'nothing matches');
my $parked = $node->safe_psql('postgres', q{SELECT es_park('all', 4, fence, 'no')
    FROM es_fetch('all', 'ann', 4) LIMIT 1});
my $rest = take($node, 'all');
is($rest, join(' ', grep { $_ % 3 != 1 } 5 .. 20), 'a stream is parked, the others are read to the end');
my $status =
    'SELECT subscription, partition, checkpoint, partitions, parked FROM es_subscription_status ORDER BY 1, 2';
my $before = $node->safe_psql('postgres', $status);
my $parked_events = q{SELECT subscription, stream_id, position, reason, times, held FROM es_parked()};
my $parked_before = $node->safe_psql('postgres', $parked_events);
is($parked_before, 'all|order-1|4|no|1|5', 'so much is held');
is($node->safe_psql('postgres', q{SELECT checkpoint > (SELECT max(position) FROM es_events)
    FROM es_subscription_status WHERE subscription = 'late'}), 't', 'a checkpoint lies above the last event');

# goes_on(server, database, name): events appended there reach every subscription, once.
sub goes_on
{
    my ($server, $database, $name) = @_;
    is($server->safe_psql($database, $status), $before, "$name: every checkpoint is there");
    is($server->safe_psql($database, $parked_events), $parked_before, "$name: what was parked is");
    is(join(',', map { take($server, $_, $database) } qw(all odd late)), ',,', "$name: nothing comes again");
    my $fence = all_fences($server, $database);
    my @new = map { append($server, $_, $database) } 'order-2', 'odd-1', 'order-0', 'order-1';
    is(take($server, 'late', $database), "@new", "$name: no event is skipped by a checkpoint above the last one");
    is(take($server, 'all', $database), "@new[0 .. 2]", "... nor another one, but for what is held");
    is(take($server, 'odd', $database), $new[1], '... nor by partitions that nothing had matched');
    cmp_ok(all_fences($server, $database), '>', $fence, "$name: fences rise");
    $server->safe_psql($database, q{SELECT es_unpark('all', 4)});
    my @again = split /\n/, $server->safe_psql($database,
        q{SELECT position FROM es_fetch('all', 'ann', lease => '1 minute') WHERE redelivered});
    is("@again", join(' ', grep { $_ % 3 == 1 } 4 .. 20), "$name: what is held is delivered again");
    is($server->safe_psql($database, 'SELECT count(*) FROM es_verify()'), 0, "$name: the log is sound");
    return;
}

# Dumps

my @psql = ('psql', '-XAtq', '-v', 'ON_ERROR_STOP=1');
sub dump_and_restore
{
    my ($database, $format, @restore) = @_;
    system_or_bail('pg_dump', @$format, '-d', $node->connstr('postgres'), '-f', "$folder/$database");
    $node->safe_psql('postgres', "CREATE DATABASE $database");
    $node->safe_psql($database, 'CREATE EXTENSION tidemark') if grep { $_ eq '--data-only' } @$format;
    $node->command_ok([ @restore, '-d', $node->connstr($database), $psql[0] eq $restore[0] ? '-f' : (),
            "$folder/$database" ], "a dump as $database is restored");
    goes_on($node, $database, $database);
    return;
}
dump_and_restore('plain', [], @psql);
dump_and_restore('custom', ['-Fc'], 'pg_restore', '-e', '-j', '2');
dump_and_restore('data', [ '-Fc', '--data-only' ], 'pg_restore', '-e');

# Promotion

$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
$node->safe_psql('postgres', q{SELECT es_create_subscription('held')});
my $held = $node->safe_psql('postgres', q{SELECT fence FROM es_fetch('held', 'ann', 1, lease => '1 day')});
$node->wait_for_catchup($standby, 'replay', $node->lsn('flush'));
is($standby->safe_psql('postgres', q{SELECT position FROM es_fetch('held', 'ann', 1)}), 1,
    'on the standby a lease from the primary is good for reading');
kill_server($node);
$standby->promote;
is($standby->safe_psql('postgres', "SELECT fence = $held FROM es_fetch('held', 'ann', 1, lease => '1 day')"), 't',
    'after a promotion the holder of a lease has it still');
like(outcome($standby, "SELECT es_ack('held', 1, $held)"), qr/^\d+$/, '... and acknowledges');
is($standby->safe_psql('postgres', q{SELECT es_release('held', 'ann')}), 1, '... and gives it back');
cmp_ok($standby->safe_psql('postgres', q{SELECT fence FROM es_fetch('held', 'ben', 1)}), '>', $held,
    '... and the next fence is higher');
is($standby->safe_psql('postgres', q{SELECT es_drop_subscription('held')}), 't', 'it is dropped');
goes_on($standby, 'postgres', 'promoted');

# Crashes

my $last = append($standby, 'odd-1');
my $crashed = $standby->safe_psql('postgres', "SELECT fence FROM es_fetch('late', 'ann', lease => '1 day')");
crash($standby);
is($standby->safe_psql('postgres', "SELECT position, fence = $crashed
    FROM es_fetch('late', 'ann', lease => '1 day')"), "$last|t", 'after a crash a lease is what it was');
like(outcome($standby, "SELECT es_ack('late', $last, $crashed)"), qr/^\d+$/, '... and the event is acknowledged');
crash($standby);
my $next = append($standby, 'odd-1');
is(take($standby, 'late'), $next, 'an acknowledgement survives a crash, and what is appended after it is got');

done_testing();
