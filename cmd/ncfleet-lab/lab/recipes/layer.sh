# Builds the layer that makes the shared root file system a host of another
# distribution: the real package tool of that distribution, its repository and
# its os-release, and no apt or dpkg. It runs in a mount namespace of its own.
# layer.sh DISTRO ROOT OUT RECIPES SOURCES [APT-OPTION…]; OUT.rpm becomes the
# repository, in stages as packages.sh has them.
set -eu
distro=$1 root=$2 out=$3 recipes=$4 sources=$5
shift 5
LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive
export LC_ALL DEBIAN_FRONTEND
case $distro in
rocky-like) packages='dnf dnf-plugins-core' ;;
suse-like) packages='zypper libzypp-config lsof' ;;
*) echo "no layer is known for $distro" >&2 && exit 1 ;;
esac

# This machine's apt knows its mirrors' keys and proxies; it fetches what the
# root's own state lacks.
mkdir -p "$out.apt/lists/partial" "$out.apt/archives/partial"
for option in "$@"; do
	name=${option%% *} value=${option#* }
	value=${value#\"}
	set -- "$@" -o "$name=${value%\";}"
	shift
done
set -- -qq -y "$@" -o Debug::NoLocking=1 -o APT::Install-Recommends=false -o APT::Sandbox::User=root \
	-o "Dir::State::status=$root/var/lib/dpkg/status" -o "Dir::State::Lists=$out.apt/lists" -o "Dir::Cache=$out.apt" \
	-o "Dir::Etc::SourceList=$sources" -o Dir::Etc::SourceParts=- -o Acquire::Languages=none
apt-get "$@" update
apt-get "$@" install --download-only $packages rpm createrepo-c

mkdir -p "$out" "$out.work" "$out.root"
mount -t overlay overlay -o "lowerdir=$root,upperdir=$out,workdir=$out.work" "$out.root"
mkdir "$out.root/tmp/lab"
mv "$out.apt"/archives/*.deb "$out.root/tmp/lab/"
cp "$recipes/rpm-packages.sh" "$recipes/layer-configure.sh" "$out.root/tmp/lab/"
mount -t proc proc "$out.root/proc"
chroot "$out.root" sh /tmp/lab/layer-configure.sh "$distro"
mv "$out.root/tmp/rpm" "$out.rpm"
rm -rf "$out.root/tmp/lab"
umount "$out.root/proc" "$out.root"
rm -rf "$out.apt" "$out.work" "$out.root"
