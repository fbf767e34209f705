# Keeps a host's disks as they are at one moment: nothing of the host runs while
# they are copied.
# image.sh HOSTDIR NAME ABOUT FREEZER FROZEN THAWED
# It runs to its end whatever becomes of who started it, so that no host stays
# frozen, and two that make one image make it once.
set -eu
host=$1 name=$2 about=$3 freezer=$4 frozen=$5 thawed=$6
is_frozen() {
	[ "$(cat "$freezer")" = "$frozen" ] || return 1
	# With one hierarchy of control groups, that file holds only what is wished.
	events=${freezer%/*}/cgroup.events
	[ ! -e "$events" ] || grep -q '^frozen 1' "$events"
}
cd "$host/images"
exec 9>.lock
flock 9
[ ! -e "$name" ] || exit 0
rm -rf "$name.part"
mkdir "$name.part"
printf '%s\n' "$about" >"$name.part/about.json"
# What somebody froze stays frozen; a host that never ran has no freezer.
if [ -e "$freezer" ] && ! is_frozen; then
	trap 'echo "$thawed" >"$freezer"' EXIT
	trap 'exit 1' HUP INT PIPE TERM
	echo "$frozen" >"$freezer"
	tries=100
	until is_frozen; do
		tries=$((tries - 1))
		[ $tries -gt 0 ] || {
			echo "the host could not be frozen" >&2
			exit 1
		}
		sleep 0.1
	done
fi
sync -f "$host/srv"
cp -a --reflink=auto "$host/upper" "$name.part/"
for disk in srv.img srv.img.btrfs; do
	[ ! -e "$host/$disk" ] || cp --sparse=always --reflink=auto "$host/$disk" "$name.part/"
done
mv -T "$name.part" "$name"
