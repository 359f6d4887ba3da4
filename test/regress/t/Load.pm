# A load of writers and readers that outlives crashes and failovers, and the comparison of what they were told with what
# a server holds in the end. What they were told is kept in files of theirs, outside of any database.
#
#   my $load = Load->new;
#   $load->writers(4, [$node]);                     # or [$one, $other]: whichever takes writes at the time
#   $load->readers([ 100, 3 ], [$node]);            # one for each page size
#   $load->await(appends => 200, reads => 100);     # until there was that much, for every reader
#   $load->await(position => safe_position($node)); # until every reader has come that far
#   $load->stop;
#   $load->compare($node, 'after all this');
#
# A client that loses its server connects again, a reader at its checkpoint, until it is stopped. Those that were
# stopped can be started again, by the same call.
package Load;

use strict;
use warnings;

use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

# SQL for the events of a source, as lines.
use constant EVENT => q{SELECT concat_ws('|', position, event_id, stream_id, version) FROM};

# Clients that nobody has stopped end with the test.
my @loads;
END { unlink glob "$_->{directory}/*.go" for @loads }

sub new
{
    my ($class) = @_;
    my $self = bless { directory => PostgreSQL::Test::Utils::tempdir(), readers => {}, writers => [] }, $class;
    append_to_file("$self->{directory}/writer.sql", writer_script());
    append_to_file("$self->{directory}/reader.sql", reader_script());
    push @loads, $self;
    return $self;
}

# writers(number, nodes, options): synchronous_commit is theirs; with may_be_lost they are told of appends that may be
# taken back, as by a crash if they do not wait for the disk.
sub writers
{
    my ($self, $number, $nodes, %options) = @_;
    for (1 .. $number) {
        my $writer = { name => "writer-$_", number => $_, %options };
        push @{ $self->{writers} }, $writer;
        $self->start_client($writer, 'writer', "writer-" . @{ $self->{writers} }, $nodes, 'read-write');
    }
    return;
}

# readers(page sizes, nodes, name): each reads on, by the checkpoint that a reader of this name had.
sub readers
{
    my ($self, $pages, $nodes, $name) = @_;
    for (@$pages) {
        my $full_name = ($name // 'reader') . " in pages of $_";
        my $reader = $self->{readers}{$full_name} //= { name => $full_name, number => $_ };
        $self->start_client($reader, 'reader', $full_name, $nodes, 'any');
    }
    return;
}

# Of the nodes, the first that is up and has these attributes is connected to. A reader goes on behind the last event of
# its file.
sub start_client
{
    my ($self, $client, $script, $file, $nodes, $attributes) = @_;
    $client->{file} = "$self->{directory}/$file";
    append_to_file("$client->{file}.$_", '') for qw(go out err);
    my $connection = sprintf q{host=%s port=%s dbname=postgres target_session_attrs=%s application_name='%s' }
        . q{options='-c synchronous_commit=%s'}, join(',', map { $_->host } @$nodes),
        join(',', map { $_->port } @$nodes), $attributes, $client->{name}, $client->{synchronous_commit} // 'on';
    my @arguments = ($connection, "$self->{directory}/$script.sql", $client->{file}, $client->{number});
    $client->{run} = IPC::Run::start([ 'sh', '-c', <<'SH', 'client', @arguments ], '<', \undef);
while test -e "$3.go"; do
    after=$(tail -n 1 "$3.out" | cut -d '|' -f 1)
    psql -XAt -v VERBOSITY=verbose -v number="$4" -v go="$3.go" -v after="${after:-0}" -f "$2" "$1" \
        >> "$3.out" 2>> "$3.err"
    sleep 0.05
done
SH
    return;
}

# Ends the script, and psql, once the client is to stop.
sub until_stopped
{
    return <<'SQL';
\set stopped `test -e :'go' && echo 0 || echo 1`
\if :stopped
\q
\endif
SQL
}

# Its output tells, as the server tells it, the row of each append, and what became of its transaction.
sub writer_script
{
    my $append = <<'SQL';
SELECT last_position, id, stream_id, last_version FROM (SELECT gen_random_uuid() AS id OFFSET 0) AS new,
    es_append(STREAM, 'Happened', event_id => id, expected_version => EXPECTED);
SQL
    my $appends = sub {
        my ($stream, $expected) = @_;
        return $append =~ s/STREAM/$stream/r =~ s/EXPECTED/$expected/r;
    };
    my $own = $appends->(q{'writer-' || :'number'}, 'es_any()');
    my $shared = $appends->(q{'shared-' || :number % 2}, 'es_any()');
    my $raced = $appends->(q{'raced-1'}, q{coalesce(nullif(es_stream_version('raced-1'), 0), es_no_stream())});
    my $round = join '', $own, "BEGIN;\n$own${shared}COMMIT;\n", "BEGIN;\n$own${own}ROLLBACK;\n", $raced,
        "BEGIN;\n$own${shared}${own}COMMIT;\n", $own, $shared, "BEGIN;\n$shared${raced}COMMIT;\n", $own;
    # What was open when the connection was lost is no more.
    my $rounds = ($round x 2) . until_stopped();
    return "\\echo ROLLBACK\n" . $rounds x 500;
}

sub reader_script
{
    my $page = <<'SQL';
SELECT count(*) = 0 AS waits, coalesce(max(position), :after) AS after,
    string_agg(concat_ws('|', position, event_id, stream_id, version), E'\n') AS events
FROM es_read_after(:after, :number) \gset
\if :ERROR
\elif :waits
SELECT pg_sleep(0.02) \g /dev/null
\else
\echo :events
\endif
SQL
    my $pages = ($page x 10) . until_stopped();
    return $pages x 1000;
}

sub clients
{
    my ($self) = @_;
    return (@{ $self->{writers} }, map { $self->{readers}{$_} } sort keys %{ $self->{readers} });
}

# Waits until the writers together have made so many appends, and every reader has got so many events, since the call;
# and until every reader has come to the position.
sub await
{
    my ($self, %wanted) = @_;
    my @writers = grep { $_->{run} } @{ $self->{writers} };
    my @readers = grep { $_->{run} } values %{ $self->{readers} };
    $_->{start} = -s "$_->{file}.out" for @writers, @readers;
    my $new = sub { return scalar events(slurp_file("$_->{file}.out", $_->{start})) };
    my $give_up = time + 180;
    while (1) {
        my $appends = 0;
        $appends += $new->() for @writers;
        my @behind = map { $_->{name} }
            grep { $new->() < ($wanted{reads} // 0) || last_place($_) < ($wanted{position} // 0) } @readers;
        push @behind, 'writers' if $appends < ($wanted{appends} // 0);
        return if !@behind;
        die 'no progress: ' . join(', ', @behind) if time > $give_up;
        sleep 0.05;
    }
}

# Lets the clients finish what they are doing: those whose names begin so, or all.
sub stop
{
    my ($self, $prefix) = @_;
    my @clients = grep { $_->{run} && index($_->{name}, $prefix // '') == 0 } $self->clients;
    unlink "$_->{file}.go" for @clients;
    (delete $_->{run})->finish for @clients;
    return;
}

sub output { return slurp_file("$_[0]{file}.out") }

# Events are lines: position, id, stream, version. A line that is not finished yet does not count.
sub events { my @events = $_[0] =~ /^(\d+\|.*)\n/mg; return @events }

# The log that a server holds.
sub log_of
{
    my ($node) = @_;
    return split /\n/, $node->safe_psql('postgres', EVENT . ' es_events ORDER BY position');
}

# The appends that writers were told are committed; without those that may be lost, unless told otherwise.
sub acknowledged
{
    my ($self, $all) = @_;
    my @events;
    for my $writer (grep { $all || !$_->{may_be_lost} } @{ $self->{writers} }) {
        my ($in_transaction, @open);
        for (output($writer) =~ /^(.*)\n/mg) {
            if (/^\d+\|/) {
                push @{ $in_transaction ? \@open : \@events }, $_;
            } else {
                $in_transaction = /^BEGIN/;
                push @events, @open if /^COMMIT/;
                @open = ();
            }
        }
    }
    return @events;
}

# Whatever writers have been told of by now may be lost.
sub forgive
{
    my ($self) = @_;
    $_->{may_be_lost} = 1 for @{ $self->{writers} };
    return;
}

sub place { return $_[0] =~ s/\|.*//r }
sub by_place { return map { place($_) => $_ } @_ }

sub last_place
{
    my ($client) = @_;
    my $size = -s "$client->{file}.out";
    my @events = events(slurp_file("$client->{file}.out", $size > 500 ? $size - 500 : 0));
    return @events ? place($events[-1]) : 0;
}

# compare(node, name): the tests, when all have stopped. The readers first go on, on this node, to the end of the log.
# Returns the events that a reader has seen and that are not in the log.
sub compare
{
    my ($self, $node, $name) = @_;
    my @log = log_of($node);
    my %log = by_place(@log);
    my @acknowledged = $self->acknowledged;
    my @lost;
    note(sprintf '%s: %d events, %d acknowledged', $name, scalar @log, scalar @acknowledged);

    none($name, 'every acknowledged append is there', grep { ($log{ place($_) } // '') ne $_ } @acknowledged);
    none($name, 'no position of an acknowledged append belongs to another event',
        grep { ($log{ place($_) } // $_) ne $_ } $self->acknowledged('all'));
    for my $client (map { $self->{readers}{$_} } sort keys %{ $self->{readers} }) {
        my $reader = $client->{name};
        my $after = last_place($client);
        my $rest = $node->safe_psql('postgres', EVENT . " es_read_after($after, NULL)");
        append_to_file("$client->{file}.out", "$rest\n") if $rest ne '';
        my @seen = events(output($client));
        my @positions = map { place($_) } @seen;
        my %seen = by_place(@seen);
        none($name, "the $reader never goes back",
            map { $seen[$_] } grep { $positions[ $_ - 1 ] >= $positions[$_] } 1 .. $#positions);
        none($name, "the $reader misses no event that is in the log",
            grep { ($seen{ place($_) } // '') ne $_ } @log);
        none($name, "no position that the $reader has seen belongs to another event",
            grep { ($log{ place($_) } // $_) ne $_ } @seen);
        push @lost, grep { !$log{ place($_) } } @seen;
    }
    my %version;
    none($name, 'each stream is without gaps, and in order',
        grep { my (undef, undef, $stream, $version) = split /\|/; ++$version{$stream} != $version } @log);
    none($name, 'the log is sound', split /\n/, $node->safe_psql('postgres', 'SELECT * FROM es_verify()'));
    none($name, 'the clients have met no other error than wrong expected versions',
        map { grep { !/ TM001: / } slurp_file("$_->{file}.err") =~ /(ERROR:  \w{5}: .*)/g } $self->clients);
    return @lost;
}

# Passes if nothing is wrong; shows the first things that are.
sub none
{
    my ($name, $what, @wrong) = @_;
    my @first = @wrong > 10 ? (@wrong[ 0 .. 9 ], '...') : @wrong;
    return is(join("\n", @first), '', "$name: $what");
}

1;
