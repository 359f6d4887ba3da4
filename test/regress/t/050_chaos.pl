# S10: chaos. Builds the program in test/chaos and runs it against a throw-away cluster; each of its claims is a test.
# TIDEMARK_CHAOS_SECONDS (20) and TIDEMARK_CHAOS_SEED (a new one each time, printed) set how long, and with what seed.

use strict;
use warnings;

use File::Spec;
use FindBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $sources = "$FindBin::RealBin/../../chaos";
# As an absolute path: make runs elsewhere.
my $build = File::Spec->rel2abs(PostgreSQL::Test::Utils::tempdir());
{
    # The make that runs these tests has flags and jobs of its own.
    delete local @ENV{qw(MAKEFLAGS MAKELEVEL MFLAGS)};
    system_or_bail('make', '-s', '-j4', '-C', $sources, "BUILD=$build");
}

my $node = PostgreSQL::Test::Cluster->new('chaos');
$node->init;
$node->append_conf('postgresql.conf', <<'CONF');
log_statement = none
max_connections = 60
max_prepared_transactions = 50
fsync = off
autovacuum = on
autovacuum_naptime = 1s
deadlock_timeout = 50ms
CONF
$node->start;
$node->safe_psql('postgres', 'CREATE DATABASE chaos');
$node->safe_psql('chaos', 'CREATE EXTENSION tidemark');

my ($out, $err);
my $ran = IPC::Run::run([ "$build/chaos", $node->connstr('chaos') ], '>', \$out, '2>', \$err);
my @claims = $out =~ /^((?:PASS|FAIL) .*)$/mg;
like($_, qr/^PASS/, s/^\w+ //r) for @claims;
ok(@claims > 0, 'the run came to its end') or diag($err);
is($ran, !(grep { /^FAIL/ } @claims), 'its exit status says the same');
$out =~ s/^(?:PASS|FAIL) .*\n//mg;
$ran ? note($out) : diag($out);

done_testing();
