# A history of positions that broke is always noticed, also before the first append, and a log head that a crash left
# half-extended goes on.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $APPEND = q{SELECT first_position FROM es_append('order-1', 'OrderPlaced')};
my $LEAPT = 2**20;

my $node = PostgreSQL::Test::Cluster->new('history');
$node->init(allows_streaming => 1);
$node->append_conf('postgresql.conf', "max_prepared_transactions = 100\nautovacuum = off");
$node->start;
$node->safe_psql('postgres', "CREATE DATABASE $_") foreach qw(untouched crashed logged extended);
$node->safe_psql($_, 'CREATE EXTENSION tidemark') foreach qw(untouched crashed logged extended);

# Whoever appended first may have been read, and lost by the crash; nothing of it may be left to see.
$node->backup('before_the_first_append');
is($node->safe_psql('untouched', $APPEND), 1, 'a new log begins at 1, also when a backup has been taken');
$node->stop('immediate');
$node->start;
cmp_ok($node->safe_psql('crashed', $APPEND), '>', $LEAPT, 'after a crash the first append of a new log leaps');

my $copy = PostgreSQL::Test::Cluster->new('copy');
$copy->init_from_backup($node, 'before_the_first_append');
$copy->start;
cmp_ok($copy->safe_psql('untouched', $APPEND), '>', $LEAPT, 'so does the first append in a copy of a new log');
$copy->stop;

# A marker that outlives crashes marks nothing.
my $before = $node->safe_psql('logged', $APPEND);
$node->safe_psql('logged', 'ALTER TABLE es_log_marker SET LOGGED');
is($node->safe_psql('logged', 'SELECT problem FROM es_verify()'), 'wrong persistence of a table',
	'es_verify names a marker that is logged');
$node->stop('immediate');
$node->start;
cmp_ok($node->safe_psql('logged', $APPEND), '>=', $before + $LEAPT, 'with a logged marker too, a crash makes it leap');

# As a crash can leave it: the file is longer already, and the new page was never written.
my $path = $node->data_dir . '/' . $node->safe_psql('extended', q{SELECT pg_relation_filepath('es_log_head')});
my $first = $node->safe_psql('extended', $APPEND);
$node->stop;
open(my $file, '>>:raw', $path) or die "$path: $!";
print $file "\0" x 8192;
close($file);
$node->start;
$node->safe_psql('extended', "BEGIN; SELECT es_append('p-$_', 'X'); PREPARE TRANSACTION 'p$_'") foreach 1 .. 70;
is($node->safe_psql('extended', 'SELECT count(*) FROM es_in_flight()'), 70,
	'the log head uses the empty page that a crash left behind');
is($node->safe_psql('extended', 'SELECT es_safe_position()'), $first, 'and holds the line for all of them');
$node->safe_psql('extended', "ROLLBACK PREPARED 'p$_'") foreach 1 .. 70;
is($node->safe_psql('extended', 'SELECT es_safe_position() = es_head_position()'), 't', 'until they are over');

# A head whose last position went backward, on disk: named, and mended by a leap.
$node->safe_psql('extended', "BEGIN; SELECT es_append('held-1', 'X'); PREPARE TRANSACTION 'held'");
$node->stop;
my $page = slurp_file($path);
my $row = index($page, "\x6d\x64\x69\x74");
substr($page, $row + 8, 8) = "\0" x 8;
open($file, '>:raw', $path) or die "$path: $!";
print $file $page;
close($file);
$node->start;
is($node->safe_psql('extended', 'SELECT problem FROM es_verify() ORDER BY 1'),
	"head behind its events\nin-flight entry above the head", 'es_verify names a head that went backward');
isnt($node->psql('extended', q{SELECT es_append('order-1', 'OrderPaid')}), 0, 'which appends nothing out of order');
$node->safe_psql('extended', "SELECT es_leap(); ROLLBACK PREPARED 'held'");
is($node->safe_psql('extended', 'SELECT count(*) FROM es_verify()'), 0, 'es_leap mends it');

# The last resort: the head is gone.
$node->safe_psql('extended', 'ALTER TABLE es_log_head SET UNLOGGED');
$node->stop('immediate');
$node->start;
isnt($node->psql('extended', $APPEND), 0, 'without a log head nothing is appended');
cmp_ok($node->safe_psql('extended', 'SELECT es_leap()'), '>=', $first + $LEAPT, 'es_leap makes a new one, far above');
$node->safe_psql('extended', 'ALTER TABLE es_log_head SET LOGGED');
cmp_ok($node->safe_psql('extended', $APPEND), '>', $first + $LEAPT, 'and the log goes on');
is($node->safe_psql('extended', 'SELECT count(*) FROM es_verify()'), 0, 'sound');

$node->stop;
done_testing();
