# Consumers of a subscription as processes of their own, in several languages, which can be killed and stopped.
#
#   my $consumer = Consumers::start('python', $connection, 'mails', 'ann');    # or node, or psql
#   $consumer->kill;                        # without warning
#   $consumer->pause; $consumer->resume;    # as a machine that is suspended
package Consumers;

use strict;
use warnings;

use FindBin;
use IPC::Run;
use POSIX ();
use PostgreSQL::Test::Utils;

use constant languages => qw(python node psql);

# SQL for what they ask of the database besides handle(place, stream, version, consumer), which has the effect: how many
# events to get, and to do nothing for a while, often none, and sometimes for longer than their leases last.
use constant functions => <<'SQL';
CREATE FUNCTION a_few(most bigint) RETURNS bigint RETURN 1 + floor(random() * most);
CREATE FUNCTION dawdle() RETURNS void LANGUAGE sql AS
$$ SELECT pg_sleep(random() * 1.3) WHERE random() < 0.1 $$;
SQL

my %command = (
    python => [ '/usr/bin/python3', "$FindBin::RealBin/consumers/consumer.py" ],
    node => [ 'node', "$FindBin::RealBin/consumers/consumer.mjs" ],
    psql => [ 'bash', "$FindBin::RealBin/consumers/consumer.sh" ],
);

# Consumers that nobody has killed end with the test.
my (%alive, @logs);
END { local $?; $_->kill for values %alive }

# A Node that is no package of the distribution does not find the distribution's node-pg. npm wants a home.
sub provide_node_postgres
{
    my $find = [ 'node', '-e', 'require("pg")' ];
    return if IPC::Run::run($find, '>&', \my $found);
    my $folder = PostgreSQL::Test::Utils::tempdir();
    local $ENV{HOME} = $folder;
    my $said;
    IPC::Run::run([ qw(npm install --silent --no-audit --no-fund --prefix), $folder, 'pg@8' ], '>&', \$said)
        or die "no node-postgres: $said";
    $ENV{NODE_PATH} = "$folder/node_modules";
    return;
}

# What it says, its errors, goes to a file. It is the leader of a process group.
sub start
{
    my ($language, $connection, $subscription, $name) = @_;
    my $self = bless { language => $language, name => $name, pid => fork // die $! }, __PACKAGE__;
    push @logs, my $log = "$PostgreSQL::Test::Utils::log_path/consumer_$name.log";
    if (!$self->{pid}) {
        setpgrp 0, 0;
        open STDIN, '<', '/dev/null';
        open STDOUT, '>', $log;
        open STDERR, '>&', \*STDOUT;
        { exec @{ $command{$language} }, $connection, $subscription, $name }
        POSIX::_exit(127);
    }
    $alive{$name} = $self;
    return $self;
}

# The SQLSTATEs of all errors that consumers have met.
sub errors { return map { slurp_file($_) =~ /^(?:ERROR: +)?(\d[0-9A-Z]{4}|TM\d{3}): /mg } grep { -e } @logs }

sub signal { return CORE::kill $_[1], -$_[0]{pid} }
sub pause { return $_[0]->signal('STOP') }
sub resume { return $_[0]->signal('CONT') }

sub kill
{
    my ($self) = @_;
    $self->signal('KILL');
    waitpid $self->{pid}, 0;
    delete $alive{ $self->{name} };
    return;
}

1;
