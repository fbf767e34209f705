# Builds the root file system that all hosts share, in a mount namespace of its
# own. root.sh OUT RECIPES SOURCES SUITE [APT-OPTION…]
# SOURCES is a sources.list made from this machine's own apt configuration.
set -eu
out=$1 recipes=$2 sources=$3 suite=$4
shift 4
LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive
export LC_ALL DEBIAN_FRONTEND

packages=systemd,systemd-sysv,dbus,libpam-systemd,openssh-server,sudo,iproute2,procps,iputils-ping
packages=$packages,ca-certificates,apt-utils,cron,curl,bzip2,unzip,nginx-light,btrfs-progs
for part in cli fpm sqlite3 mysql pgsql gd xml mbstring curl zip intl; do packages=$packages,php8.2-$part; done
packages=$packages,sqlite3,mariadb-server,mariadb-client,postgresql,postgresql-client

# In memory where there is room: unpacking 270 packages is slow on a busy disk.
made=$out
if [ "$(awk '/^MemAvailable:/ { print $2 }' /proc/meminfo)" -gt 6000000 ]; then
	made=$out.memory
	mkdir "$made"
	mount -t tmpfs -o mode=755,size=4g lab "$made"
	mkdir "$made/root"
	made=$made/root
fi

for option in "$@"; do
	set -- "$@" "--aptopt=$option"
	shift
done
mmdebstrap --quiet --variant=minbase --include="$packages" \
	--aptopt='Acquire::Languages "none"' --aptopt='APT::Install-Recommends "false"' "$@" \
	--dpkgopt=force-unsafe-io --dpkgopt='path-exclude=/usr/share/man/*' \
	--dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
	"$suite" "$made" "$sources"

sh "$recipes/packages.sh" "$out.apt"
mkdir -p "$made/tmp/lab"
cp "$out.apt"/stage-1/pool/lab/*.deb "$made/tmp/lab/"
cp -R "$recipes/files/." "$made/"
chroot "$made" sh -s <"$recipes/configure.sh"
[ "$made" = "$out" ] || cp -a "$made" "$out"
