# The guard between C++ and PostgreSQL's errors: whatever is thrown or raised becomes one plain SQL error, C++ objects
# are destroyed on the way, and the session goes on.
use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $root = dirname(__FILE__) . '/../../..';
my $module = abs_path(PostgreSQL::Test::Utils::tempdir()) . '/guard_test.so';
my $pg_config = $ENV{PG_CONFIG} || 'pg_config';
chomp(my $headers = `$pg_config --includedir-server`);
system('g++', '-std=c++20', '-O2', '-shared', '-fPIC', '-fvisibility=hidden', '-isystem', $headers, '-D_GNU_SOURCE',
	'-o', $module, "$root/test/guard/guard_test.cpp", "$root/extension/src/guard.cpp") == 0
  or BAIL_OUT('the test module does not compile');

my $node = PostgreSQL::Test::Cluster->new('guard');
$node->init;
$node->start;
$node->safe_psql('postgres', <<"SQL");
CREATE FUNCTION live_objects() RETURNS integer LANGUAGE c AS '$module';
CREATE FUNCTION throw_by_kind(kind integer) RETURNS integer LANGUAGE c AS '$module';
CREATE FUNCTION divide_below_objects(dividend integer, divisor integer) RETURNS integer LANGUAGE c AS '$module';
CREATE FUNCTION error_arrives_whole() RETURNS integer LANGUAGE c AS '$module';
CREATE FUNCTION throw_inside_call(translate boolean) RETURNS integer LANGUAGE c AS '$module';
-- Reports an expression's error, from a subtransaction, so that the session has to go on in the same transaction.
CREATE FUNCTION outcome(expression text) RETURNS text LANGUAGE plpgsql AS \$\$
DECLARE result text; detail text; hint text;
BEGIN
	EXECUTE 'SELECT ' || expression INTO result;
	RETURN result || ' alive ' || live_objects();
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	RETURN concat_ws('|', SQLSTATE, SQLERRM, detail, hint) || ' alive ' || live_objects();
END \$\$;
SQL

sub outcome_is
{
	my ($expression, $expected, $name) = @_;
	is($node->safe_psql('postgres', "SELECT outcome('$expression')"), $expected, $name);
}

outcome_is('throw_by_kind(0)', '3 alive 0', 'a function that returns leaves no object alive');
outcome_is('throw_by_kind(1)', 'TM999|a message|A detail.|A hint. alive 0',
	'an sql_error keeps its SQLSTATE and fields');
outcome_is('throw_by_kind(2)', '22023|a message alone|| alive 0', 'detail and hint may be absent');
outcome_is('throw_by_kind(3)', '53200|out of memory|| alive 0', 'bad_alloc is out of memory');
outcome_is('throw_by_kind(4)', 'XX000|unexpected C++ exception|what the library says| alive 0',
	'any other standard exception is an internal error that tells what it says');
outcome_is('throw_by_kind(5)', 'XX000|unexpected C++ exception of unknown type|| alive 0',
	'an exception of unknown type is an internal error');
outcome_is('divide_below_objects(6, 3)', '2 alive 0', 'a call of PostgreSQL returns its value');
outcome_is('divide_below_objects(6, 0)', '22012|division by zero|| alive 0',
	'an error of PostgreSQL keeps its SQLSTATE and runs the destructors of the frames it passes');
outcome_is('error_arrives_whole()', '1 alive 0',
	'a caught error has its fields, and handlers and memory context are back as they were');
outcome_is('throw_inside_call(false)', 'TM997|thrown inside|| alive 0', 'an exception may leave a guarded call');
outcome_is('throw_inside_call(true)', 'TM998|translated|| alive 0', 'an error of PostgreSQL can be translated');

my $session = $node->background_psql('postgres', on_error_stop => 0);
my $backend = $session->query('SELECT pg_backend_pid()');
$session->query("SELECT throw_by_kind($_ % 6)") for 1 .. 10;
$session->query('SELECT divide_below_objects(1, 0)') for 1 .. 10;
is($session->query('SELECT pg_backend_pid()'), $backend, 'twenty errors later the same session still answers');
is($session->query('SELECT live_objects()'), 0, 'and no object is left alive');
$session->quit;

$node->stop;
done_testing();
