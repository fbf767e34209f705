# Makes a data disk with an installed Nextcloud, in a mount namespace of its
# own. template.sh ROOT TREE DB IMAGE SIZE APP RECIPES; passwords on standard input.
# TREE is the unpacked release, APP a folder of a third-party app or "".
set -eu
root=$1 tree=$2 db=$3 image=$4 size=$5 app=$6 recipes=$7
truncate -s "$size" "$image"
mkfs.ext4 -q -F -m 0 -L srv "$image"
mkdir "$image.mnt"
trap 'cd /; umount "$image.mnt" 2>/dev/null; rmdir "$image.mnt"' EXIT
# systemd-nspawn wants a /run in memory, and a root that no other one uses.
mount -t tmpfs -o mode=755 run /run
mkdir /run/upper /run/work /run/root
mount -t overlay overlay -o "lowerdir=$root,upperdir=/run/upper,workdir=/run/work" /run/root
mount -o loop "$image" "$image.mnt"
cd "$image.mnt"
mkdir -p nextcloud/data ncfleet
case $db in
mariadb) cp -a "$root/srv/mysql" . ;;
postgres) cp -a "$root/srv/postgresql" . ;;
esac
cp -R "$tree" nextcloud/html
[ -z "$app" ] || cp -R "$app" nextcloud/html/apps/
chown -R 33:33 nextcloud
chmod 0750 nextcloud/data
systemd-nspawn -D /run/root --as-pid2 --register=no --keep-unit --quiet --settings=no --pipe \
	--hostname=template --private-network --resolv-conf=off --timezone=off --link-journal=no \
	--bind="$image.mnt:/srv" --bind-ro="$recipes/install.sh:/run/install.sh" \
	sh /run/install.sh "$db" "${app##*/}"
sync -f .
