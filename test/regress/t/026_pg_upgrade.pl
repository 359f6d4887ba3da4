# pg_upgrade, by copies and by links: the log is byte for byte what it was, with all that belongs to it and all that
# users added, and goes on above everything that a consumer of the old cluster can have seen.
#
# Always from this version of PostgreSQL to itself, which takes the same way; and from each older one that is installed
# beside it with the extension.

use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use FindBin;
use lib $FindBin::RealBin;
use IPC::Cmd qw(can_run);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Tidemark;

# Installations are known by the directory above their bin.
my $this = dirname(dirname(abs_path(can_run('pg_upgrade'))));
my @older = grep { has_tidemark($_) && major($_) < major($this) }
    map { dirname(dirname($_)) } glob '/usr/lib/postgresql/*/bin/pg_config';
sub has_tidemark
{
    my ($install) = @_;
    chomp(my $share = `$install/bin/pg_config --sharedir`);
    return -x "$install/bin/postgres" && -e "$share/extension/tidemark.control";
}
sub major { return `$_[0]/bin/pg_config --version` =~ / (\d+)/ && $1 }

my $folder = abs_path(PostgreSQL::Test::Utils::tempdir());
my $clusters = 0;
sub cluster
{
    my ($install) = @_;
    my $node = PostgreSQL::Test::Cluster->new('cluster_' . ++$clusters, install_path => $install);
    $node->init(allows_streaming => 1, extra => ['-k']);
    $node->append_conf('postgresql.conf', "log_statement = none\nautovacuum = off\n");
    return $node;
}

# upgraded(old, name, options): the new server, running, made from the old one, which is stopped.
sub upgraded
{
    my ($old, $name, @options) = @_;
    my $new = cluster($this);
    $old->stop;
    # It writes into the directory that it is called in.
    command_ok([ 'sh', '-c', 'cd "$0" && exec "$@"', $folder, "$this/bin/pg_upgrade", '--no-sync',
            '-b', $old->{_install_path} . '/bin', '-B', "$this/bin", '-s', $new->host,
            '-d', abs_path($old->data_dir), '-p', $old->port, '-D', abs_path($new->data_dir), '-P', $new->port,
            @options ], "$name: pg_upgrade");
    $new->start;
    return $new;
}

# What the log says, and what it is: its objects, and who may do what with them. The owner may do everything, and that
# differs between versions of PostgreSQL.
my $events = 'SELECT * FROM es_read_after(0, NULL)';
my $line = 'SELECT es_head_position(), es_safe_position(), (SELECT count(*) FROM es_blockers())';
my $objects = <<'SQL';
CREATE TEMP VIEW members AS
SELECT classid, objid, pg_describe_object(classid, objid, 0) AS name FROM pg_depend
WHERE refobjid = (SELECT oid FROM pg_extension WHERE extname = 'tidemark') AND deptype = 'e';
CREATE TEMP VIEW relations AS
SELECT * FROM members JOIN pg_class ON pg_class.oid = objid WHERE classid = 'pg_class'::regclass;
CREATE TEMP VIEW functions AS
SELECT * FROM members JOIN pg_proc ON pg_proc.oid = objid WHERE classid = 'pg_proc'::regclass;
SELECT * FROM es_streams ORDER BY stream_id;
SELECT * FROM es_installations;
SELECT extversion, extnamespace::regnamespace, dumped::regclass::text FROM pg_extension, unnest(extconfig) AS dumped
WHERE extname = 'tidemark' ORDER BY 3;
SELECT name, relpersistence, obj_description(objid, 'pg_class') FROM relations ORDER BY name;
SELECT name, obj_description(objid, 'pg_proc') FROM functions ORDER BY name;
SELECT name, grantee::regrole::text, privilege_type, is_grantable FROM relations, aclexplode(relacl)
WHERE grantee <> relowner ORDER BY 1, 2, 3;
SELECT name, grantee::regrole::text, privilege_type, is_grantable FROM functions, aclexplode(proacl)
WHERE grantee <> proowner ORDER BY 1, 2, 3;
SELECT name, attname, atttypid::regtype, attcollation::regcollation, attnotnull, attstorage,
    col_description(objid, attnum)
FROM relations JOIN pg_attribute ON attrelid = objid WHERE attnum > 0 AND NOT attisdropped ORDER BY name, attnum;
SELECT name, tgname, tgenabled FROM relations JOIN pg_trigger ON tgrelid = objid ORDER BY tgname;
SELECT name, conname, pg_get_constraintdef(pg_constraint.oid) FROM relations JOIN pg_constraint ON conrelid = objid
ORDER BY conname;
SELECT name, pg_get_indexdef(indexrelid) FROM relations JOIN pg_index ON objid = indrelid ORDER BY 2;
SELECT roleid::regrole::text, member::regrole::text FROM pg_auth_members
WHERE roleid::regrole::text ~ '^tidemark' OR member::regrole::text ~ '^tidemark' ORDER BY 1, 2;
SQL
sub state { return join "\n", map { $_[0]->safe_psql('postgres', $_) } $events, $line, $objects }

# Streams, two of them begun before a user added and dropped columns; what roles may; a log in another database, in a
# schema of its own.
sub new_old_cluster
{
    my $node = cluster($_[0]);
    $node->start;
    $node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION tidemark;
SELECT es_append('order-' || n % 2, 'Placed', jsonb_build_object('n', n, 'long', repeat(md5(n::text), n * 20)),
    event_id => format('00000000-0000-4000-8000-%s', lpad(n::text, 12, '0'))::uuid) FROM generate_series(1, 20) AS n;
ALTER TABLE es_events ADD COLUMN gone integer, ADD COLUMN tenant text NOT NULL DEFAULT 'nobody',
    ADD CONSTRAINT positive CHECK ((data->>'n')::integer > 0);
ALTER TABLE es_events DROP COLUMN gone;
CREATE INDEX by_type ON es_events (event_type, position);
CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN NEW.metadata = NEW.metadata || '{"stamped": true}'; RETURN NEW; END $$;
CREATE TRIGGER stamp BEFORE INSERT ON es_events FOR EACH ROW EXECUTE FUNCTION stamp();
SELECT es_append('order-2', 'Paid', '{"n": 1}');
CREATE ROLE shop LOGIN;
GRANT tidemark_writer TO shop;
CREATE ROLE auditor LOGIN;
GRANT EXECUTE ON FUNCTION es_verify() TO auditor;
REVOKE SELECT ON es_events FROM tidemark_reader;
CREATE DATABASE other;
\c other
CREATE SCHEMA es;
CREATE EXTENSION tidemark SCHEMA es;
SELECT es.es_append('order-1', 'Placed');
\c postgres
SQL
    return $node;
}

# A consumer's checkpoint in the end, above the last event: positions of a transaction that rolled back.
sub checkpoint
{
    my ($node) = @_;
    $node->safe_psql('postgres',
        q{BEGIN; SELECT es_append('undone-' || n, 'Undone', '{"n": 1}') FROM generate_series(1, 10) AS n; ROLLBACK});
    return head_position($node);
}

sub promote
{
    my ($node) = @_;
    $node->stop;
    $node->set_standby_mode;
    $node->start;
    $node->promote;
    $node->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()') or die 'it is not promoted';
    return;
}

# What becomes of an append, by whoever has the role.
sub appended
{
    my ($node, $role, $arguments) = @_;
    return outcome($node,
        "SET ROLE $role; SELECT first_version, first_position, is_duplicate FROM es_append($arguments)");
}

# The log that is as it was goes on; at the position that is expected, or above it if it is to leap.
sub goes_on
{
    my ($node, $name, $checkpoint, $version, $leaps) = @_;
    is(appended($node, 'shop', sprintf q{'order-1', 'Paid', '{"n": 1}', expected_version => %d}, $version - 1),
        'TM001: wrong expected version', "$name: expectations hold against the version");
    my $got = appended($node, 'shop', sprintf q{'order-1', 'Paid', '{"n": 1}', expected_version => %d}, $version);
    my $position = $got =~ /\|(\d+)\|/ ? $1 : 0;
    is($got, join('|', $version + 1, $position, 'f'), '... and the stream goes on at the next one');
    if ($leaps) {
        cmp_ok($position, '>', $checkpoint + leap, "$name: the first append leaps");
    } else {
        is($position, $checkpoint + 1, "$name: the first append is given the next position");
    }
    is($node->safe_psql('postgres', "SELECT position, tenant, metadata FROM es_read_after($checkpoint)"),
        qq($position|nobody|{"stamped": true}),
        '... a consumer goes on by its checkpoint, and what users added is at work');
    is(appended($node, 'shop', q{'order-0', 'Refused', '{"n": 0}'}) =~ s/:.*//r, 23514, '... their constraint also');
    like(appended($node, 'shop', q{'order-0', 'Placed',
            (SELECT data FROM es_read_stream('order-0', max_count => 1)),
            event_id => '00000000-0000-4000-8000-000000000002'}), qr/^1\|2\|t$/, "$name: a retry is known as one");
    is(appended($node, 'auditor', q{'order-1', 'Paid'}) =~ s/:.*//r, 42501, "$name: who might not append may not now");
    is($node->safe_psql('postgres', 'SET ROLE auditor; SELECT count(*) FROM es_verify()'), 0,
        "$name: the log is sound");
    is(outcome($node, 'SET session_replication_role = replica; DELETE FROM es_events'),
        '55000: rows of es_events cannot be deleted', "$name: the log is immutable");
    return;
}

sub upgrade_from
{
    my ($install) = @_;
    my $pair = major($install) . ' to ' . major($this);
    note("pg_upgrade from $pair");
    my $old = new_old_cluster($install);

    # A history that just goes on

    my $checkpoint = checkpoint($old);
    my $before = state($old);
    my $new = upgraded($old, "$pair, copied");
    is(state($new), $before, "$pair, copied: the log and its objects are what they were");
    goes_on($new, "$pair, copied", $checkpoint, 10);
    is($new->safe_psql('other', q{SELECT first_position FROM es.es_append('order-1', 'Placed')}), 2,
        "$pair, copied: the log of another database goes on as well");
    my $position = head_position($new);
    crash($new);
    goes_on($new, "$pair, copied, crashed", $position, 11, 'leaps');
    $new->stop;

    # A history that broke, and nobody has appended since

    promote($old);
    $before = state($old);
    $new = upgraded($old, "$pair, linked", '--link');
    is(state($new), $before, "$pair, linked: the log and its objects are what they were");
    goes_on($new, "$pair, linked after a promotion", $checkpoint, 10, 'leaps');

    # One that has leapt, in a later timeline than the new cluster's; of a log that was upgraded

    promote($new);
    goes_on($new, "$pair, promoted", head_position($new), 11, 'leaps');
    $checkpoint = checkpoint($new);
    $before = state($new);
    my $newer = upgraded($new, "$pair, again");
    is(state($newer), $before, "$pair, again: the log and its objects are what they were");
    goes_on($newer, "$pair, again", $checkpoint, 12, 'leaps');

    # What becomes of the upgraded log: a dump, and an end

    system_or_bail('pg_dump', '-Fc', '-d', $newer->connstr('other'), '-f', "$folder/upgraded");
    $newer->safe_psql('postgres', 'CREATE DATABASE restored');
    command_ok([ 'pg_restore', '-e', '-d', $newer->connstr('restored'), "$folder/upgraded" ], "$pair: it is dumped");
    cmp_ok($newer->safe_psql('restored', q{SELECT first_position FROM es.es_append('order-1', 'Placed')}), '>', leap,
        '... and goes on where that is restored');
    $newer->safe_psql('postgres', 'DROP EXTENSION tidemark; CREATE EXTENSION tidemark');
    is(append($newer, 'order-1'), 1, "$pair: the extension is dropped and created again");
    $newer->stop;
    return;
}

note('no older version is installed with the extension') if !@older;
upgrade_from($_) for $this, @older;
done_testing();
