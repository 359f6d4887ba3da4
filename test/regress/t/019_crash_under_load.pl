# The server is killed under load, over and over: every acknowledged append is there, no position is ever given to two
# events, and consumers go on by their checkpoints, missing nothing.
#
# TIDEMARK_CRASHES sets how often (3).

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Tidemark;
use Time::HiRes qw(sleep);

my $crashes = $ENV{TIDEMARK_CRASHES} // 3;
my $node = new_log('crashes', "autovacuum = off\ncheckpoint_timeout = 30s\n");
my $scripts = PostgreSQL::Test::Utils::tempdir();

# A psql that runs the script until the server goes down. What it has printed by then it was told by the server; into a
# file, as a pipe that nobody empties would stop it.
sub client
{
    my ($name, $script) = @_;
    my $file = "$scripts/$name.sql";
    unlink $file;
    append_to_file($file, $script);
    unlink "$scripts/$name.out";
    my $run = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-f', $file ],
        '<', \undef, '>', "$scripts/$name.out", '2>', "$scripts/$name.err");
    return { run => $run, out => "$scripts/$name.out" };
}

# A writer that does not wait for the disk may be told of commits, and readers see them, that a crash takes back. Much,
# where the WAL writer does not run.
sub writer
{
    my ($number, $waits) = @_;
    my $append = "SELECT last_position, id FROM (SELECT gen_random_uuid() AS id OFFSET 0) AS new,
                  es_append('writer-$number', 'Happened', event_id => id);\n";
    my $several = "BEGIN;\n" . $append x 3 . "COMMIT;\n\\echo committed\n";
    return client("writer-$number", "SET synchronous_commit = $waits;\n"
            . ("BEGIN;\n${append}COMMIT;\n\\echo committed\n" x 9 . $several) x 5000);
}

# The events that a writer's output says are committed: position and id of each.
sub acknowledged
{
    my ($out) = @_;
    my (@events, @open);
    for (split /\n/, $out) {
        if (/committed/) {
            push @events, splice @open;
        } elsif (/^\d+\|[-0-9a-f]{36}$/) {
            push @open, $_;
        }
    }
    return @events;
}

# Goes on from the checkpoint, and prints each page that it gets.
sub reader
{
    my ($page, $after) = @_;
    return client("reader-$page", "\\set after $after\n" . <<"SQL" x 50000);
SELECT coalesce(max(position), :after) AS after, string_agg(position || '|' || event_id, E'\\n') AS events
FROM es_read_after(:after, $page) \\gset
\\echo :events
SQL
}

my @acknowledged;
my %seen = (100 => [], 3 => []);
sub checkpoint
{
    my ($page) = @_;
    return @{ $seen{$page} } ? $seen{$page}[-1] =~ s/\|.*//r : 0;
}

# Every other time nobody waits for the disk.
for my $crash (1 .. $crashes) {
    my %readers = map { $_ => reader($_, checkpoint($_)) } keys %seen;
    my $waits = $crash % 2 ? 'on' : 'off';
    my @writers = map { writer($_, $waits) } 1 .. 4;
    sleep 0.4;
    my $wal_writer =
        $node->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'});
    kill 'STOP', $wal_writer if $waits eq 'off';
    sleep 0.1 + 0.1 * ($crash % 5);
    crash($node, $wal_writer);
    eval { $_->{run}->finish } for @writers, values %readers;
    push @acknowledged, map { acknowledged(slurp_file($_->{out})) } @writers if $waits eq 'on';
    push @{ $seen{$_} }, slurp_file($readers{$_}{out}) =~ /^(\d+\|[-0-9a-f]{36})$/mg for keys %seen;
    is(safe_position($node), head_position($node), "crash $crash: nobody holds the line back afterwards");
}

append($node, 'end-1');
my @log = split /\n/, $node->safe_psql('postgres', 'SELECT position, event_id FROM es_read_after(0, NULL)');
my %log = map { split /\|/ } @log;
note(scalar(@log) . ' events, ' . scalar(@acknowledged) . ' acknowledged');
cmp_ok(scalar @acknowledged, '>', 100 * $crashes, 'there was load');
is(join("\n", grep { my ($position, $id) = split /\|/; ($log{$position} // '') ne $id } @acknowledged), '',
    'every acknowledged append is there');

for my $page (sort keys %seen) {
    push @{ $seen{$page} }, split /\n/,
        $node->safe_psql('postgres', "SELECT position, event_id FROM es_read_after(@{[checkpoint($page)]}, NULL)");
    my @seen = @{ $seen{$page} };
    my %seen_at = map { split /\|/ } @seen;
    my @positions = map { s/\|.*//r } @seen;
    is(scalar(grep { $positions[ $_ - 1 ] >= $positions[$_] } 1 .. $#positions), 0,
        "a consumer in pages of $page never goes back");
    is(join("\n", grep { my ($position, $id) = split /\|/; ($seen_at{$position} // '') ne $id } @log), '',
        "a consumer in pages of $page has missed no event that is in the log");
    is(join("\n", grep { my ($position, $id) = split /\|/; defined $log{$position} && $log{$position} ne $id } @seen),
        '', "no position that a consumer in pages of $page has seen belongs to another event now");
    cmp_ok(scalar(grep { my ($position) = split /\|/; !defined $log{$position} } @seen), '>', 0,
        "... though it had seen events that a crash took back") if $crashes > 1;
}
is($node->safe_psql('postgres', 'SELECT count(*) FROM es_verify()'), 0, 'the log is sound');

done_testing();
