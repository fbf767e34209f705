# Swapping release entries between the live tree $P and another tree T. It
# belongs to the prelude of hop.sh and swapback.sh.
#
# Only what belongs to a release is moved, name by name; everything else in
# the live tree (data, custom_apps, .well-known, mount points) stays where it
# is. The list of moves, T/.ncfleet-swap, names each entry with the inode it
# has on either side, so that a run killed anywhere can be finished, or taken
# back, by looking.

# Names that some release had at its top and a later one may lack.
RELEASE_NAMES='3rdparty AUTHORS CHANGELOG.md COPYING COPYING-README LICENSES REUSE.toml apps composer.json composer.lock
console.php core cron.php dist index.html index.php lib occ ocm-provider ocs ocs-provider package.json
package-lock.json public.php remote.php resources robots.txt settings status.php updater version.php
.htaccess .user.ini .reuse .tag .jshintrc openapi.json vendor vendor-bin'

inode() { stat -c %i "$1" 2>/dev/null || echo -; }

# stays: config and themes may be links or mount points; their files are then
# copied, never moved.
stays() {
	case $1 in config | themes) ;; *) return 1 ;; esac
	[ -L "$P/$1" ] || [ -n "$(mounts_in "$P/$1")" ]
}

# swap_plan T: writes the list, whole or not at all.
swap_plan() {
	: >"$SITE/swap"
	for e in "$1"/* "$1"/.[!.]*; do
		n=${e##*/}
		{ [ -e "$e" ] || [ -L "$e" ]; } || continue
		case $n in .ncfleet-*) continue ;; *"$TAB"* | *"$NL"*) fail "cannot swap the odd name $e" ;; esac
		if stays "$n"; then
			printf 'stay\tstay\t%s\n' "$n" >>"$SITE/swap"
			continue
		fi
		[ ! -L "$P/$n" ] || fail "cannot swap $P/$n: it is a symbolic link"
		case $DATA/ in "$P/$n"/*) fail "cannot swap $P/$n: the data directory $DATA lies in it" ;; esac
		m=$(mounts_in "$P/$n" | head -n 1)
		[ -z "$m" ] || fail "cannot swap $P/$n: $m is a mount point"
		printf '%s\t%s\t%s\n' "$(inode "$P/$n")" "$(inode "$e")" "$n" >>"$SITE/swap"
	done
	for n in $RELEASE_NAMES; do
		if [ -e "$P/$n" ] && [ ! -e "$1/$n" ]; then
			printf '%s\t-\t%s\n' "$(inode "$P/$n")" "$n" >>"$SITE/swap"
		fi
	done
	cp "$SITE/swap" "$1/.ncfleet-swap.part" && { sync "$1/.ncfleet-swap.part" 2>/dev/null || sync; } &&
		mv "$1/.ncfleet-swap.part" "$1/.ncfleet-swap" || fail "cannot write $1/.ncfleet-swap"
}

# renameat2 with RENAME_EXCHANGE, each entry atomically, all in one process.
# perl itself is in every Debian's base; the number of the call differs.
PERL_SWAP='
use strict; my ($p, $t, $dir) = @ARGV;
my ($m) = `uname -m`; chomp $m;
my %nr = ("x86_64" => 316, "aarch64" => 276, "riscv64" => 276, "i686" => 353, "i386" => 353, "armv7l" => 382, "armv6l" => 382, "ppc64le" => 357, "s390x" => 347, "loongarch64" => 276);
sub ino { my @s = lstat($_[0]); @s ? $s[1] : "-" }
sub mv { rename($_[0], $_[1]) or die "cannot rename $_[0] to $_[1]: $!\n" }
open(my $f, "<", "$t/.ncfleet-swap") or die "cannot read $t/.ncfleet-swap: $!\n";
my @l = <$f>; my $n = 0; my $how = "exchange";
for (@l) {
  chomp; my ($pi, $ti, $e) = split /\t/, $_, 3; next if $pi eq "stay";
  my ($a, $b, $x) = ("$p/$e", "$t/$e", "$t/.ncfleet-x-$e");
  my $want = $dir eq "forward" ? $ti : $pi;
  if (ino($x) ne "-") { mv($b, $a) if ino($a) eq "-" && ino($b) ne "-"; mv($x, $b) if ino($b) eq "-"; }
  my $cur = ino($a); next if $cur eq $want;
  die "cannot swap $a: neither side is as it was recorded\n" if ino($b) ne $want;
  $n++;
  if ($cur eq "-") { mv($b, $a) } elsif ($want eq "-") { mv($a, $b) }
  else {
    my $ok = $nr{$m} && syscall($nr{$m}, -100, $a, -100, $b, 2) == 0;
    if (!$ok) { $how = "rename"; mv($a, $x); mv($b, $a); mv($x, $b); }
  }
}
print "ncfleet: swapped $n of ", scalar(@l), " by $how\n";'

# swap_run T forward|back: makes every entry as the list says; what already
# is so is left alone.
swap_run() {
	if [ -z "${NCFLEET_NO_PERL:-}" ] && command -v perl >/dev/null 2>&1; then
		perl -e "$PERL_SWAP" "$P" "$1" "$2" 2>"$SITE/err" </dev/null || fail "$(tail -n 1 "$SITE/err")"
		return
	fi
	while IFS=$TAB read -r pi ti n; do
		[ "$pi" != stay ] || continue
		a=$P/$n b=$1/$n x=$1/.ncfleet-x-$n
		want=$ti
		[ "$2" = forward ] || want=$pi
		if [ "$(inode "$x")" != - ]; then
			if [ "$(inode "$a")" = - ] && [ "$(inode "$b")" != - ]; then mv "$b" "$a" || fail "cannot rename $b to $a"; fi
			if [ "$(inode "$b")" = - ]; then mv "$x" "$b" || fail "cannot rename $x to $b"; fi
		fi
		cur=$(inode "$a")
		[ "$cur" != "$want" ] || continue
		[ "$(inode "$b")" = "$want" ] || fail "cannot swap $a: neither side is as it was recorded"
		if [ "$cur" = - ]; then
			mv "$b" "$a" || fail "cannot rename $b to $a"
		elif [ "$want" = - ]; then
			mv "$a" "$b" || fail "cannot rename $a to $b"
		else
			mv "$a" "$x" && mv "$b" "$a" && mv "$x" "$b" || fail "cannot swap $a and $b"
		fi
	done <"$1/.ncfleet-swap"
	say "swapped by rename"
}
