# Every example in README and docs/ does what it says: the blocks of SQL of a page are run one after another in a new
# database, and where a block of text follows, it must be what psql prints. Errors are allowed where it shows one.
use strict;
use warnings;

use File::Basename qw(dirname basename);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $root = dirname(__FILE__) . '/../../..';

my $node = PostgreSQL::Test::Cluster->new('documentation');
$node->init;
$node->append_conf('postgresql.conf', 'max_prepared_transactions = 10');
$node->start;

# The examples of a page: [SQL, expected output or undef].
sub examples_of
{
	my ($page) = @_;
	my @examples;
	my $previous = '';
	while ($page =~ /^```(\w*)\n(.*?)^```$/gms)
	{
		my ($kind, $text) = ($1, $2);
		push @examples, [ $text, undef ] if $kind eq 'sql';
		$examples[-1][1] = $text if $kind eq 'text' && $previous eq 'sql';
		$previous = $kind;
	}
	return @examples;
}

# What two outputs must have in common: not the widths of columns, and not what differs from run to run.
sub normalized
{
	my ($text) = @_;
	$text =~ s/^psql:\S+ //gm;
	$text =~ s/^\(\d+ rows?\)$//gm;
	$text =~ s/^(BEGIN|COMMIT|ROLLBACK|CREATE \w+|GRANT ROLE)$//gm;
	$text =~ s/\b[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f-]{22}\b/UUID/g;
	$text =~ s/\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[.\d]*\+\d\d/TIME/g;
	$text =~ s/-+(\+-+)*/---/g;
	$text =~ s/[ \t]+/ /g;
	$text =~ s/^ | $//gm;
	$text =~ s/\n+/\n/g;
	$text =~ s/^\n//;
	return $text;
}

my $number = 0;
foreach my $file ("$root/README.md", glob("$root/docs/*.md"))
{
	my @examples = examples_of(slurp_file($file));
	next unless @examples;
	my $database = 'page_' . $number++;
	$node->safe_psql('postgres', "CREATE DATABASE $database");
	foreach my $example (@examples)
	{
		my ($sql, $expected) = @$example;
		my ($first_line) = $sql =~ /^(.*)/;
		my ($in, $out) = ($sql, '');
		IPC::Run::run([ 'psql', '-X', '-d', $node->connstr($database), '-f', '-' ],
			'<', \$in, '>', \$out, '2>', \$out);
		my $name = basename($file) . ": $first_line";
		if (defined $expected) { is(normalized($out), normalized($expected), $name); }
		else { unlike($out, qr/ERROR|FATAL/, $name); }
	}
}
cmp_ok($number, '>=', 2, 'README and the reference have examples');

$node->stop;
done_testing();
