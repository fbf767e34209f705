# Holds dpkg's locks as dpkg does, for $ARGV[0] seconds, and says so.
use Fcntl;
for my $n ("lock-frontend", "lock") {
	open(my $f, "+>>", "/var/lib/dpkg/$n") or die "$n: $!";
	my $all = pack("s s x4 q q l x4", F_WRLCK, 0, 0, 0, 0);
	fcntl($f, F_SETLK, $all) or die "$n is held by another process: $!";
	push @held, $f;
}
open(my $r, ">", "/run/lab-lock") or die; print $r "$$\n"; close $r;
sleep $ARGV[0]; unlink "/run/lab-lock";
