# Runs inside the shared root file system with a layer on top: what makes it a
# host of another distribution. layer-configure.sh DISTRO
set -eu
distro=$1
dpkg --purge lab-bad lab-conf lab-held lab-kept lab-kernel lab-old lab-plain lab-sec lab-slow mysql-community-server >/dev/null
rm -rf /etc/lab
apt-get -qq -y -o APT::Sandbox::User=root install /tmp/lab/*.deb >/tmp/lab/said 2>&1 || { cat /tmp/lab/said >&2 && exit 1; }

# Debian's rpm keeps its database in a person's home, and its dnf looks at a
# folder of local packages; neither is so elsewhere.
mkdir -p /etc/rpm /var/lib/rpm
echo '%_dbpath /var/lib/rpm' >/etc/rpm/macros
rm /etc/os-release
case $distro in
rocky-like)
	cat >/etc/os-release <<'X'
NAME="Rocky Linux"
VERSION="9.5 (lab)"
ID="rocky"
ID_LIKE="rhel centos fedora"
VERSION_ID="9.5"
PRETTY_NAME="Rocky Linux 9.5 (like it: a lab's)"
X
	cat >/etc/dnf/dnf.conf <<'X'
[main]
gpgcheck=1
installonly_limit=3
clean_requirements_on_remove=True
best=True
skip_if_unavailable=False
X
	printf '[main]\nenabled = false\n' >/etc/dnf/plugins/local.conf
	mkdir -p /etc/dnf/vars
	echo 9 >/etc/dnf/vars/releasever
	ln -s dnf-3 /usr/bin/yum
	repos=/etc/yum.repos.d kernel=kernel
	;;
suse-like)
	cat >/etc/os-release <<'X'
NAME="openSUSE Leap"
VERSION="15.6 (lab)"
ID="opensuse-leap"
ID_LIKE="suse opensuse"
VERSION_ID="15.6"
PRETTY_NAME="openSUSE Leap 15.6 (like it: a lab's)"
X
	repos=/etc/zypp/repos.d kernel=kernel-default
	;;
esac

sh /tmp/lab/rpm-packages.sh /tmp/rpm "$kernel"
rpm --install /tmp/rpm/stage-1/*.rpm
# A configuration file that a person changed.
echo 'comment=changed by the operator of this host' >>/etc/lab/lab-conf.conf
case $distro in
rocky-like) dnf --quiet --disablerepo='*' versionlock add lab-held >/dev/null ;;
suse-like) zypper --non-interactive --quiet addlock lab-held >/dev/null ;;
esac
# The hosts know one repository only: the lab's.
mkdir -p "$repos"
rm -f "$repos"/*
cat >"$repos/lab.repo" <<'X'
[lab]
name=lab
baseurl=http://10.77.0.1:8080/rpm
enabled=1
autorefresh=1
gpgcheck=0
X

# From here on nothing of Debian's package tools is found on the host. Those of
# its services that need update-alternatives keep that.
rm -f /usr/bin/apt /usr/bin/apt-* /usr/bin/dpkg /usr/bin/dpkg-* /usr/sbin/dpkg-*
rm -rf /etc/apt /etc/dpkg /var/lib/apt /var/cache/apt /var/log/apt /var/log/dpkg.log /etc/cron.daily/dpkg /etc/cron.daily/apt-compat
rm -f /lib/systemd/system/apt-daily*.* /lib/systemd/system/dpkg-db-backup.* /etc/systemd/system/timers.target.wants/apt-daily*.timer \
	/etc/systemd/system/timers.target.wants/dpkg-db-backup.timer
find /var/lib/dpkg -mindepth 1 -maxdepth 1 ! -name alternatives -exec rm -rf {} +
