# Holds the locks of libzypp and of rpm as a zypper that installs does, for
# $ARGV[0] seconds, and says so.
use Fcntl;
sysopen(my $z, "/run/zypp.pid", O_RDWR | O_CREAT) or die "zypp.pid: $!";
my $other = <$z>;
die "libzypp is used by process $other" if $other && -d "/proc/" . ($other + 0);
seek($z, 0, 0); truncate($z, 0); syswrite($z, "$$\n");
open(my $f, "+>>", "/var/lib/rpm/.rpm.lock") or die ".rpm.lock: $!";
my $all = pack("s s x4 q q l x4", F_WRLCK, 0, 0, 0, 0);
fcntl($f, F_SETLK, $all) or die ".rpm.lock is held by another process: $!";
open(my $r, ">", "/run/lab-lock") or die; print $r "$$\n"; close $r;
$SIG{TERM} = sub { truncate($z, 0); exit };
sleep $ARGV[0]; truncate($z, 0); unlink "/run/lab-lock";
