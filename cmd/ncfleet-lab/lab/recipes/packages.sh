# Makes the lab's apt repository, in stages: stage-1 is what the hosts have
# installed, stage-2 what waits for them, stage-3 what "offer" brings, and
# broken is stage-3 with a package that cannot be configured. packages.sh DIR
set -eu
dir=$1
rm -rf "$dir"
mkdir -p "$dir/build"
LC_ALL=C.UTF-8
export LC_ALL

# deb NAME VERSION [CONTROL-LINE]: a package whose extra files lie in $extra.
deb() {
	tree=$dir/build/tree
	mkdir -p "$tree/DEBIAN" "$tree/usr/share/$1"
	{
		printf 'Package: %s\nVersion: %s\nArchitecture: all\nMaintainer: Lab <lab@example.invalid>\n' "$1" "$2"
		printf 'Section: misc\nPriority: optional\nInstalled-Size: 4\n'
		[ -z "${3:-}" ] || printf '%s\n' "$3"
		printf 'Description: package %s of the lab\n' "$1"
	} >"$tree/DEBIAN/control"
	echo "$2" >"$tree/usr/share/$1/version"
	chmod -R u+rwX,go+rX,go-w "$tree"
	dpkg-deb --root-owner-group -Zgzip -b "$tree" "$dir/build/$1_$(echo "$2" | sed 's/.*://')_all.deb" >/dev/null
	rm -rf "$tree"
}

# script NAME: standard input becomes a maintainer script of the next package.
script() {
	mkdir -p "$dir/build/tree/DEBIAN"
	cat >"$dir/build/tree/DEBIAN/$1"
	chmod 0755 "$dir/build/tree/DEBIAN/$1"
}

# conffile VERSION: a configuration file of the next package.
conffile() {
	mkdir -p "$dir/build/tree/etc/lab" "$dir/build/tree/DEBIAN"
	echo "setting=$1" >"$dir/build/tree/etc/lab/lab-conf.conf"
	echo /etc/lab/lab-conf.conf >"$dir/build/tree/DEBIAN/conffiles"
}

for version in 1.0 1.1 1.2; do deb lab-plain $version; done
for version in 1.0 1.0+deb12u1 1.0+deb12u2; do deb lab-sec $version; done
for version in 1.0 1.1; do
	conffile $version
	deb lab-conf $version
done
for version in 1.0 1.1; do deb lab-held $version; done
# The next lab-kept wants lab-old removed: apt-get upgrade keeps it back.
deb lab-old 1.0
deb lab-kept 1.0
deb lab-kept 1.1 'Conflicts: lab-old'
# A product that moves from one major to the next.
deb mysql-community-server 5.6.51-1
deb mysql-community-server 5.7.44-1
# A kernel wants a reboot.
deb lab-kernel 1.0
for version in 1.1 1.2; do
	script postinst <<'X'
#!/bin/sh
[ "$1" = configure ] || exit 0
echo '*** System restart required ***' >/run/reboot-required
echo lab-kernel >>/run/reboot-required.pkgs
X
	deb lab-kernel $version
done
# Takes its time: 1 s, or what the host's /etc/lab/slow-seconds says.
deb lab-slow 1.0
for version in 1.1 1.2; do
	script postinst <<'X'
#!/bin/sh
[ "$1" = configure ] || exit 0
sleep "$(cat /etc/lab/slow-seconds 2>/dev/null || echo 1)"
X
	deb lab-slow $version
done
deb lab-bad 1.0
script postinst <<'X'
#!/bin/sh
echo 'lab-bad: the postinst script fails on purpose' >&2
exit 1
X
deb lab-bad 1.1

# suite STAGE SUITE LABEL FILE…
suite() {
	stage=$dir/$1 name=$2 label=$3
	shift 3
	mkdir -p "$stage/pool/$name" "$stage/dists/$name/main/binary-all" "$stage/dists/$name/main/binary-$arch"
	for file in "$@"; do cp "$dir/build/$file" "$stage/pool/$name/"; done
	cd "$stage"
	apt-ftparchive packages "pool/$name" >"dists/$name/main/binary-$arch/Packages"
	gzip -9kf "dists/$name/main/binary-$arch/Packages"
	apt-ftparchive -o APT::FTPArchive::Release::Origin=Lab -o "APT::FTPArchive::Release::Label=$label" \
		-o "APT::FTPArchive::Release::Suite=$name" -o "APT::FTPArchive::Release::Codename=$name" \
		-o "APT::FTPArchive::Release::Architectures=$arch" -o APT::FTPArchive::Release::Components=main \
		release "dists/$name" >"$dir/build/Release"
	mv "$dir/build/Release" "dists/$name/Release"
}

arch=$(dpkg --print-architecture)
one='lab-plain_1.0_all.deb lab-sec_1.0_all.deb lab-conf_1.0_all.deb lab-held_1.0_all.deb lab-old_1.0_all.deb
	lab-kept_1.0_all.deb mysql-community-server_5.6.51-1_all.deb lab-kernel_1.0_all.deb lab-slow_1.0_all.deb lab-bad_1.0_all.deb'
two='lab-plain_1.1_all.deb lab-conf_1.1_all.deb lab-held_1.1_all.deb lab-kept_1.1_all.deb
	mysql-community-server_5.7.44-1_all.deb lab-kernel_1.1_all.deb lab-slow_1.1_all.deb'
three='lab-plain_1.2_all.deb lab-kernel_1.2_all.deb lab-slow_1.2_all.deb'
suite stage-1 lab Lab $one
suite stage-1 lab-security Lab-Security
suite stage-2 lab Lab $one $two
suite stage-2 lab-security Lab-Security lab-sec_1.0+deb12u1_all.deb
suite stage-3 lab Lab $one $two $three
suite stage-3 lab-security Lab-Security lab-sec_1.0+deb12u1_all.deb lab-sec_1.0+deb12u2_all.deb
suite broken lab Lab $one $two $three lab-bad_1.1_all.deb
suite broken lab-security Lab-Security lab-sec_1.0+deb12u1_all.deb lab-sec_1.0+deb12u2_all.deb
rm -rf "$dir/build"
