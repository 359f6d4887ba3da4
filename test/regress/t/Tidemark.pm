# What the TAP tests of the log share: servers with a log, sessions that hold transactions open, crashes, and the
# outcome of a statement.
package Tidemark;

use strict;
use warnings;

use Exporter 'import';
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Time::HiRes qw(sleep);

our @EXPORT = qw(new_log start_pooler ask session outcome append positions fingerprint safe_position head_position
    blockers head_entries overflow_entries consumer follow kill_server crash leap);

# The least distance of a leap from the last position on disk.
use constant leap => 1 << 20;

# SQL for how many transactions the log head remembers, on its own page and on further ones; the offsets are those of
# HeadRow in head_page.h.
use constant head_entries => 'SELECT get_byte(content, 28) FROM es_log_head WHERE row_number = 0';
use constant overflow_entries =>
    'SELECT get_byte(content, 24) + 256 * get_byte(content, 25) FROM es_log_head WHERE row_number = 0';

# SQL for a function name(page, after): a consumer that reads page by page until it gets an event of the type End. It
# returns the positions that it got. The source is what it reads from, in terms of page and after.
sub consumer
{
    my ($name, $source) = @_;
    return <<"SQL";
CREATE FUNCTION $name(page bigint, after bigint) RETURNS SETOF bigint LANGUAGE plpgsql AS
\$\$
DECLARE
    event record;
BEGIN
    LOOP
        FOR event IN SELECT position, event_type FROM $source LOOP
            after := event.position;
            RETURN NEXT after;
            IF event.event_type = 'End' THEN RETURN; END IF;
        END LOOP;
    END LOOP;
END
\$\$;
SQL
}
use constant follow => consumer('follow', 'es_read_after(after, page)');

# new_log(name, configuration, init parameters): a running server whose database postgres has a log.
sub new_log
{
    my ($name, $configuration, %parameters) = @_;
    my $node = PostgreSQL::Test::Cluster->new($name);
    $node->init(%parameters);
    $node->append_conf('postgresql.conf',
        "log_statement = none\nmax_prepared_transactions = 20\n" . ($configuration // ''));
    $node->start;
    $node->safe_psql('postgres', 'CREATE EXTENSION tidemark');
    return $node;
}

# What a server answers that may be on its way down or up, where psql may be gone before it has read what to ask.
sub ask
{
    my ($node, $sql) = @_;
    my $give_up = time + 60;
    while (time < $give_up)
    {
        my ($status, $out) = eval { $node->psql('postgres', $sql) };
        return $out if defined $status && $status == 0;
        sleep 0.05;
    }
    die "no answer: $sql";
}

# start_pooler(user, databases, settings): a PgBouncer in transaction mode, which ends with the test; its folder and
# port. The latter two are lines of its configuration.
my @poolers;
END { local $?; $_->kill_kill for @poolers }
sub start_pooler
{
    my ($user, $databases, $settings) = @_;
    my $folder = PostgreSQL::Test::Utils::tempdir_short();
    my $port = PostgreSQL::Test::Cluster::get_free_port();
    append_to_file("$folder/users", qq{"$user" ""\n});
    append_to_file("$folder/pgbouncer.ini", <<"INI");
[databases]
$databases
[pgbouncer]
pool_mode = transaction
listen_port = $port
unix_socket_dir = $folder
auth_type = trust
auth_file = $folder/users
max_client_conn = 100
ignore_startup_parameters = extra_float_digits
$settings
INI
    push @poolers, IPC::Run::start([ 'pgbouncer', '-q', "$folder/pgbouncer.ini" ], '>&', "$folder/log");
    for (1 .. 100)
    {
        last if -S "$folder/.s.PGSQL.$port";
        sleep 0.1;
    }
    return ($folder, $port);
}

# A psql that stays connected; call query_safe() on it.
sub session
{
    my ($node, $database) = @_;
    return $node->background_psql($database // 'postgres', on_error_stop => 0);
}

# What became of a statement: its output, or SQLSTATE and message of its error.
sub outcome
{
    my ($node, $sql, $database) = @_;
    my ($status, $out, $err) = $node->psql($database // 'postgres', "\\set VERBOSITY verbose\n$sql");
    return $status == 0 ? $out : $err =~ /(?:ERROR|FATAL):  (\w{5}: [^\n]*)/ ? $1 : $err;
}

# Appends one event and returns its position.
sub append
{
    my ($node, $stream, $database) = @_;
    return $node->safe_psql($database // 'postgres', "SELECT first_position FROM es_append('$stream', 'Happened')");
}

# What a consumer that stands at `after` can read: the positions, separated by commas.
sub positions
{
    my ($node, $after, $database) = @_;
    $after //= 0;
    return $node->safe_psql($database // 'postgres',
        "SELECT string_agg(position::text, ',') FROM es_read_after($after, NULL)");
}

# The whole log in a few characters.
sub fingerprint
{
    return $_[0]->safe_psql('postgres',
        q{SELECT count(*), md5(string_agg(md5(event::text), '' ORDER BY position)) FROM es_events AS event});
}

sub safe_position { return $_[0]->safe_psql('postgres', 'SELECT es_safe_position()') }
sub head_position { return $_[0]->safe_psql('postgres', 'SELECT es_head_position()') }

# Who holds the line back: gid, or application name, of each, the one that decides first.
sub blockers
{
    my ($node) = @_;
    return $node->safe_psql('postgres',
        q{SELECT string_agg(coalesce(gid, application_name, xid::text), ',') FROM es_blockers()});
}

# Kills the server without warning, as a power failure would end it, and waits until nothing of it runs. `stopped` is a
# child of the server that the test has stopped by a signal.
sub kill_server
{
    my ($node, $stopped) = @_;
    my $postmaster = (split /\n/, slurp_file($node->data_dir . '/postmaster.pid'))[0];
    my @children = split ' ', slurp_file("/proc/$postmaster/task/$postmaster/children");
    $node->kill9;
    kill 'KILL', $stopped if $stopped;
    # The next server refuses to start while one of them is attached to the shared memory, or while the first has not
    # been reaped.
    for (1 .. 600) {
        last if !-e "/proc/$postmaster" && !grep { is_running($_) } @children;
        sleep 0.05;
    }
    return;
}

# Kills the server and starts it again.
sub crash
{
    kill_server(@_);
    $_[0]->start;
    return;
}

sub is_running
{
    open my $stat, '<', "/proc/$_[0]/stat" or return 0;
    my $line = <$stat>;
    return defined $line && $line !~ /\) [ZX] /;
}

1;
