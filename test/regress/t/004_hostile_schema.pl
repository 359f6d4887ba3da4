# CREATE EXTENSION runs as a superuser, perhaps in a schema where others can put functions of any name and any argument
# types: none of theirs is run, neither then nor by what is created.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('hostile');
$node->init;
$node->start;
$node->safe_psql('postgres', 'CREATE ROLE mallory; GRANT CREATE ON SCHEMA public TO mallory');

# Better matches than the server's own for the literals and types that an install script is likely to call them with.
my %traps = (
	'pg_extension_config_dump(text, text)' => 'void',
	'format(text)' => 'text', 'format(text, text)' => 'text', 'format(text, bigint)' => 'text',
	'format(text, bigint, bigint)' => 'text', 'format(text, bigint, bigint, bigint)' => 'text',
	'format(text, text, text)' => 'text', 'format(text, name, text)' => 'text', 'format(text, xid8)' => 'text',
	'now(text)' => 'timestamptz', 'coalesce_(text)' => 'text', 'gen_random_uuid(text)' => 'uuid');
foreach my $trap (sort keys %traps)
{
	$node->safe_psql('postgres', <<"SQL");
SET ROLE mallory;
CREATE FUNCTION public.$trap RETURNS $traps{$trap} LANGUAGE plpgsql AS
\$\$ BEGIN RAISE EXCEPTION 'mallory was here, as %', current_user; END \$\$;
SQL
}
foreach my $type (qw(bigint text boolean oid))
{
	$node->safe_psql('postgres', <<"SQL");
SET ROLE mallory;
CREATE FUNCTION public.trap($type, $type) RETURNS boolean LANGUAGE plpgsql AS
\$\$ BEGIN RAISE EXCEPTION 'mallory was here, as %', current_user; END \$\$;
CREATE OPERATOR public.<> (LEFTARG = $type, RIGHTARG = $type, FUNCTION = public.trap);
CREATE OPERATOR public.= (LEFTARG = $type, RIGHTARG = $type, FUNCTION = public.trap);
SQL
}

my ($status, $out, $err) = $node->psql('postgres', 'CREATE EXTENSION tidemark');
is($status, 0, 'the extension is created') or diag($err);
$node->safe_psql('postgres', "SELECT es_append_events('order-1', '[{\"type\": \"A\"}, {\"type\": \"B\"}]')");
is($node->safe_psql('postgres', 'SELECT count(*) FROM es_verify()'), 0, 'es_verify runs none of them');
is($node->safe_psql('postgres', "BEGIN; SELECT es_append('order-2', 'A'); SELECT count(*) FROM es_blockers(); COMMIT"),
	"(order-2,1,1,3,3,f)\n1", 'nor does es_blockers');
is($node->safe_psql('postgres', 'SELECT count(*) FROM es_streams'), 2, 'nor the view of streams');
is($node->safe_psql('postgres', "SELECT rolsuper FROM pg_roles WHERE rolname = 'mallory'"), 'f', 'nothing was gained');

# A default access method of one's own choice does not get hold of the tables that are written to directly.
$node->safe_psql('postgres', 'CREATE ACCESS METHOD other TYPE TABLE HANDLER heap_tableam_handler');
$node->safe_psql('postgres',
	'DROP EXTENSION tidemark; SET default_table_access_method = other; CREATE EXTENSION tidemark');
is( $node->safe_psql('postgres', q{SELECT DISTINCT amname FROM pg_class JOIN pg_am ON pg_am.oid = relam
	WHERE relname IN ('es_events', 'es_log_head', 'es_log_marker')}),
	'heap', 'the tables of the log are heaps');

$node->stop;
done_testing();
