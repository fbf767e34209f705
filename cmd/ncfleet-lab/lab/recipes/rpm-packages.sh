# Makes the lab's RPM repository for one distribution, with the packages and in
# the stages of packages.sh. It runs where rpmbuild and createrepo_c are.
# rpm-packages.sh DIR KERNEL: KERNEL is what the distribution's kernel is called.
set -eu
dir=$1 kernel=$2
mkdir -p "$dir/build"
cd "$dir/build"
LC_ALL=C.UTF-8
export LC_ALL

# rpm NAME VERSION RELEASE [HEADER]: a package of one file. Its %post scriptlet,
# if any, is standard input. Files carry the version in their name, since a
# distribution keeps several kernels side by side.
rpm() {
	{
		printf '%%global __os_install_post %%{nil}\n%%global _build_id_links none\n'
		printf 'Name: %s\nVersion: %s\nRelease: %s\nSummary: package of the lab\nLicense: none\nBuildArch: noarch\n' "$1" "$2" "$3"
		[ -z "${4:-}" ] || printf "%b\\n" "$4"
		printf '%%description\nPackage %s of the lab.\n' "$1"
		printf '%%install\nmkdir -p %%{buildroot}/usr/share/lab %%{buildroot}/etc/lab\necho %s >%%{buildroot}/usr/share/lab/%s-%s-%s\n' "$2-$3" "$1" "$2" "$3"
		[ "$1" != lab-conf ] || printf 'echo setting=%s >%%{buildroot}/etc/lab/lab-conf.conf\n' "$2"
		printf '%%files\n/usr/share/lab/%s-%s-%s\n' "$1" "$2" "$3"
		[ "$1" != lab-conf ] || echo '%config(noreplace) /etc/lab/lab-conf.conf'
		post=$(cat)
		[ -z "$post" ] || printf '%%post\n%s\n' "$post"
	} >"$1.spec"
	rpmbuild -bb --quiet --define "_topdir $dir/build/top" --define "_rpmdir $dir/build" "$1.spec" >said 2>&1 || { cat said >&2 && exit 1; }
}

# Scriptlets want a shell, and zypper a C library: no RPM on these hosts holds them.
rpm lab-base 1.0 1 'Provides: /bin/sh\nProvides: glibc' </dev/null
for version in 1.0 1.1 1.2; do rpm lab-plain $version 1 </dev/null; done
for release in 1 2 3; do rpm lab-sec 1.0 $release </dev/null; done
for version in 1.0 1.1; do
	rpm lab-conf $version 1 </dev/null
	rpm lab-held $version 1 </dev/null
done
# The next lab-kept cannot be there together with lab-old.
rpm lab-old 1.0 1 </dev/null
rpm lab-kept 1.0 1 </dev/null
rpm lab-kept 1.1 1 'Conflicts: lab-old' </dev/null
# A product that moves from one major to the next.
rpm mysql-community-server 5.6.51 1 </dev/null
rpm mysql-community-server 5.7.44 1 </dev/null
# A kernel wants a reboot: dnf knows it by its name, zypper by what it provides.
for release in 1 2 3; do
	rpm "$kernel" 5.14.0 $release "Provides: multiversion(kernel)\nProvides: installhint(reboot-needed)" </dev/null
done
# Takes its time: 1 s, or what the host's /etc/lab/slow-seconds says.
rpm lab-slow 1.0 1 </dev/null
for version in 1.1 1.2; do
	rpm lab-slow $version 1 <<'X'
sleep "$(cat /etc/lab/slow-seconds 2>/dev/null || echo 1)"
X
done
rpm lab-bad 1.0 1 </dev/null
rpm lab-bad 1.1 1 <<'X'
echo 'lab-bad: the post scriptlet fails on purpose' >&2
exit 1
X

# update ID TYPE SEVERITY NAME VERSION RELEASE [REBOOT]: one entry of updateinfo.
update() {
	printf '<update from="lab@example.invalid" status="final" type="%s" version="1"><id>%s</id><title>%s</title>' "$2" "$1" "$4"
	printf '<issued date="2026-11-01 00:00:00"/><updated date="2026-11-01 00:00:00"/><severity>%s</severity>' "$3"
	printf '<summary>%s</summary><description>%s</description><references/><pkglist><collection short="lab"><name>lab</name>' "$4" "$4"
	printf '<package name="%s" version="%s" release="%s" epoch="0" arch="noarch" src="%s-%s-%s.src.rpm"><filename>%s-%s-%s.noarch.rpm</filename>%s</package>' \
		"$4" "$5" "$6" "$4" "$5" "$6" "$4" "$5" "$6" "${7:+<reboot_suggested>True</reboot_suggested>}"
	echo '</collection></pkglist></update>'
}

# stage NAME PACKAGE…: updateinfo.xml, when there is one, goes in as well.
stage() {
	stage=$dir/$1
	shift
	mkdir -p "$stage"
	for package in "$@"; do cp "noarch/$package.noarch.rpm" "$stage/"; done
	createrepo_c --quiet "$stage"
	[ ! -s updates ] || {
		{ echo '<?xml version="1.0" encoding="UTF-8"?><updates>' && cat updates && echo '</updates>'; } >updateinfo.xml
		modifyrepo_c --mdtype=updateinfo updateinfo.xml "$stage/repodata" >/dev/null
	}
}

one="lab-base-1.0-1 lab-plain-1.0-1 lab-sec-1.0-1 lab-conf-1.0-1 lab-held-1.0-1 lab-old-1.0-1 lab-kept-1.0-1
	mysql-community-server-5.6.51-1 $kernel-5.14.0-1 lab-slow-1.0-1 lab-bad-1.0-1"
two="lab-plain-1.1-1 lab-sec-1.0-2 lab-conf-1.1-1 lab-held-1.1-1 lab-kept-1.1-1 mysql-community-server-5.7.44-1 $kernel-5.14.0-2 lab-slow-1.1-1"
three="lab-plain-1.2-1 lab-sec-1.0-3 $kernel-5.14.0-3 lab-slow-1.2-1"
stage stage-1 $one
update LAB-2026:0001 security Important lab-sec 1.0 2 >>updates
update LAB-2026:0002 bugfix None "$kernel" 5.14.0 2 reboot >>updates
stage stage-2 $one $two
update LAB-2026:0003 security Important lab-sec 1.0 3 >>updates
update LAB-2026:0004 bugfix None "$kernel" 5.14.0 3 reboot >>updates
stage stage-3 $one $two $three
stage broken $one $two $three lab-bad-1.1-1
cd /
rm -rf "$dir/build"
