# Every example in README and docs/ does what it says: the blocks of SQL of a page are run one after another in a new
# database, and where a block of text follows, it must be what psql prints. Errors are allowed where it shows one.
# Blocks of shell commands in docs/ are run in between, in a folder of their own, with the database as the default one.
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

# The examples of a page: [kind, text, expected output or undef].
sub examples_of
{
	my ($page) = @_;
	my @examples;
	my $previous = '';
	while ($page =~ /^ *```(\w*)\n(.*?)^ *```$/gms)
	{
		my ($kind, $text) = ($1, $2);
		push @examples, [ $kind, $text, undef ] if $kind eq 'sql' || $kind eq 'sh';
		$examples[-1][2] = $text if $kind eq 'text' && $previous eq 'sql';
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

my $folder = PostgreSQL::Test::Utils::tempdir();
my $number = 0;
foreach my $file ("$root/README.md", glob("$root/docs/*.md"))
{
	my @examples = examples_of(slurp_file($file));
	next unless @examples;
	my $database = 'page_' . $number++;
	$node->safe_psql('postgres', "CREATE DATABASE $database");
	foreach my $example (@examples)
	{
		my ($kind, $text, $expected) = @$example;
		next if $kind eq 'sh' && $file !~ m{/docs/};
		my ($first_line) = $text =~ /^ *(.*)/;
		my $name = basename($file) . ": $first_line";
		if ($kind eq 'sh')
		{
			local @ENV{qw(PGHOST PGPORT PGDATABASE)} = ($node->host, $node->port, $database);
			my $ran = IPC::Run::run([ 'sh', '-e' ], '<', \$text, '>', \my $out, '2>', \my $err, init => sub { chdir $folder });
			ok($ran, $name) or diag($err);
			next;
		}
		my ($in, $out) = ($text, '');
		IPC::Run::run([ 'psql', '-X', '-d', $node->connstr($database), '-f', '-' ],
			'<', \$in, '>', \$out, '2>&1');
		if (defined $expected) { is(normalized($out), normalized($expected), $name); }
		else { unlike($out, qr/ERROR|FATAL/, $name); }
	}
}
cmp_ok($number, '>=', 3, 'README, the reference and the page on operations have examples');

$node->stop;
done_testing();
