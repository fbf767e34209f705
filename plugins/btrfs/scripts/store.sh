# The store of the btrfs driver: one read-only snapshot of every subvolume that
# holds a tree, taken at one moment of that subvolume.

subvolume() { [ -d "$1" ] && [ ! -L "$1" ] && [ "$(stat -c %i "$1")" = 256 ] && [ "$(stat -f -c %T "$1")" = btrfs ]; }

# volume_of DIRECTORY prints the root of the subvolume that holds it. It fails
# when that root is not to be seen: only a directory of it is mounted here.
volume_of() {
	at=$1 point=$(mount_of "$1")
	while [ "$(stat -c %i "$at")" != 256 ]; do
		[ "$at" != "$point" ] && [ "$at" != / ] || return 1
		at=$(dirname "$at")
	done
	printf '%s' "$at"
}

# nested_in TREE LEFT_OUT prints a subvolume below the tree, or nothing.
nested_in() (
	out=$2
	cd "$1" || exit 1
	set -- -xdev
	IFS=$nl
	set -f
	for dir in $out; do set -- "$@" -path "$(printf '%s' "$dir" | sed 's/[][*?\\]/\\&/g')" -prune -o; done
	find . "$@" -type d -inum 256 ! -path . -print -quit
)

store_unfit() {
	if ! has btrfs || ! gnu; then
		echo "the command btrfs, or GNU's tar, find, sed or coreutils, is missing on this host: install btrfs-progs and them"
		return
	fi
	found=$(stat -f -c %T "$1")
	if [ "$found" != btrfs ]; then
		echo "$1 is on a file system of type $found: use the snapshot driver archive for this host"
		return
	fi
	if ! vol=$(volume_of "$1"); then
		echo "only a directory of the subvolume that holds $1 is mounted at $(mount_of "$1"), so it cannot be snapshotted: mount the subvolume itself"
		return
	fi
	if [ "$vol" = "$1" ]; then
		if ! volume_of "$(dirname "$1")" >/dev/null; then
			echo "$(dirname "$1") is not in a subvolume that is mounted whole: there is no place for the snapshots of $1"
			return
		fi
		data_real=$(real "$data")
		if [ -n "$data_real" ] && inside "$data_real" "$1"; then
			echo "the data directory $data_real is inside the subvolume $1 and no rename could bring it to a restored one: make $1 a directory, or move the data out of it"
			return
		fi
	fi
	if [ ! -w "$(dirname "$1")" ]; then
		echo "$(dirname "$1") is on a file system that is mounted read-only"
		return
	fi
	nested=$(nested_in "$1" "$(leave_out "$1")")
	[ -z "$nested" ] || echo "$1 contains the subvolume $1/${nested#./}, which no snapshot of $1 holds: make it a directory, or move it out and link to it"
}

# A rebuilt tree shares its files' blocks: it costs metadata only.
store_cost() {
	kept_bytes=$((1 << 20))
	back_bytes=$(list_tree "$1" "$(leave_out "$1")" | tr '\0' '\n' | awk '{ n += 2048 } END { printf "%.0f", n }')
}

# The snapshots of one subvolume lie in a folder of ours at the root of the
# subvolume in which the tree is rebuilt.
store_describe() {
	vol=$(volume_of "$2") folder=$(volume_of "$(dirname "$2")")
	inner=${2#"$vol"}
	printf 'volume.%s=%s\nkept.%s=%s\ninner.%s=%s\n' "$1" "$vol" "$1" "${folder%/}/.ncfleet-snapshots/$name.$(volume_name "$vol")" "$1" "${inner#/}"
}

# identify PATH sets identity, the uuid and the parent's uuid of a subvolume.
# The command "subvolume show" would fail on one mounted by a bind mount.
identify() {
	vol_id=$(btrfs inspect-internal rootid "$1") || return 1
	identity=$(btrfs subvolume list -u -q "$1" | awk -v id="$vol_id" '$1 == "ID" && $2 == id {
		for (i = 3; i < NF; i++) { if ($i == "uuid") own = $(i + 1); if ($i == "parent_uuid") parent = $(i + 1) }
		print own, parent }')
}

volume_take() {
	folder=$(dirname "$2")
	if [ -L "$folder" ] || { [ -e "$folder" ] && [ "$(stat -c '%F %u' "$folder")" != "directory $(id -u)" ]; }; then
		die "$folder is not a directory of root's: look at it, then remove it"
	fi
	# Left by a call whose memory a power failure took.
	volume_drop "$2"
	# A call that deletes another snapshot removes the folder while it is empty.
	tries=0
	until
		mkdir -p "$folder" || die "cannot create $folder: no room, or read-only" 74
		chmod 700 "$folder" 2>"$scratch/err" && btrfs subvolume snapshot -r "$1" "$2" >/dev/null 2>"$scratch/err"
	do
		tries=$((tries + 1))
		grep -q 'No such file or directory' "$scratch/err" ||
			die "cannot snapshot the subvolume $1 to $2: $(tail -n 1 "$scratch/err")" "$(room_or_not)"
		[ "$tries" -lt 5 ] || die "$folder is removed again and again, by calls that delete other snapshots" 75
	done
	btrfs filesystem sync "$2" >/dev/null 2>"$scratch/err" || die "cannot write the snapshot $2 to disk: $(tail -n 1 "$scratch/err")" "$(room_or_not)"
	identify "$2"
}

volume_same() {
	if ! subvolume "$1"; then
		why="the snapshot $1 is gone"
	elif [ "$(btrfs property get -ts "$1" ro 2>&1)" != ro=true ]; then
		why="the snapshot $1 is not read-only any more"
	else
		identify "$1"
	fi
	[ -z "$why" ]
}

volume_dir() { dir=$1; }

volume_drop() {
	case $1 in
	*/.ncfleet-snapshots/?*) ;;
	*) return 0 ;;
	esac
	if subvolume "$1"; then
		btrfs subvolume delete --commit-after "$1" >/dev/null 2>"$scratch/err" || die "cannot delete the snapshot $1: $(tail -n 1 "$scratch/err")"
	fi
	rmdir "$(dirname "$1")" 2>/dev/null || : # other snapshots are in it
}

# A tree that is a whole subvolume comes back as one, at once.
store_fill() {
	kept_tree "$snap" "$1"
	if subvolume "$tree_dir"; then
		btrfs subvolume snapshot "$tree_dir" "$build" >/dev/null 2>"$scratch/err" || no_build
	else
		copy_tree "$tree_dir" "$build" "$(outs "$1")" 2>"$scratch/err" || no_build
	fi
}

scrap() {
	for old; do
		if subvolume "$old"; then
			btrfs subvolume delete "$old" >/dev/null 2>"$scratch/err" || die "cannot delete the subvolume $old: $(tail -n 1 "$scratch/err")"
		else
			rm -rf "$old" || return
		fi
	done
}
