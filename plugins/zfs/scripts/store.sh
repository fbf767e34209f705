# The store of the zfs driver: one snapshot of every dataset that holds a tree.

store_unfit() {
	if ! has zfs || ! has findmnt || ! gnu; then
		echo "zfs, findmnt, or GNU's tar, find, sed or coreutils, is missing on this host: install zfsutils and util-linux and them"
		return
	fi
	found=$(findmnt -n -o FSTYPE -T "$1")
	if [ "$found" != zfs ]; then
		echo "$1 is on a file system of type ${found:-unknown}: use the snapshot driver archive for this host"
	elif [ "$(findmnt -n -o FSROOT -T "$1")" != / ]; then
		echo "only a directory of the dataset $(dataset_of "$1") is mounted at $(findmnt -n -o TARGET -T "$1"): name the path below the dataset's own mount point"
	elif ! zfs list -H -o name "$(dataset_of "$1")" >/dev/null 2>"$scratch/err"; then
		echo "zfs does not answer for $1: $(tail -n 1 "$scratch/err")"
	elif [ ! -w "$(dirname "$1")" ]; then
		echo "$(dirname "$1") is on a file system that is mounted read-only"
	fi
}

dataset_of() { findmnt -n -v -o SOURCE -T "$1"; }

# A rebuilt tree is a copy; block cloning, where it is on, is a bonus.
store_cost() {
	kept_bytes=$((1 << 20))
	back_bytes=$(tree_bytes "$1")
}

store_describe() {
	vol=$(dataset_of "$2")
	point=$(findmnt -n -o TARGET -T "$2")
	inner=${2#"$point"}
	printf 'volume.%s=%s\nkept.%s=%s\ninner.%s=%s\n' "$1" "$vol" "$1" "$vol@ncfleet-$(volume_name "$vol")" "$1" "${inner#/}"
}

identify() { identity=$(zfs get -H -p -o value guid "$1" 2>"$scratch/err"); }

volume_take() {
	volume_drop "$2"
	zfs snapshot -o "ncfleet:key=$key" "$2" 2>"$scratch/err" || die "cannot snapshot the dataset $1: $(tail -n 1 "$scratch/err")" "$(room_or_not)"
	# The pool's next transaction group makes it durable.
	sync
	identify "$2" || die "cannot read the guid of $2: $(tail -n 1 "$scratch/err")"
}

# snapshot_there says whether it exists; a pool that does not answer is no "no".
snapshot_there() {
	if zfs list -H -o name -t snapshot -d 1 "${1%@*}" >"$scratch/snapshots" 2>"$scratch/err"; then
		grep -qxF -- "$1" "$scratch/snapshots"
		return
	fi
	grep -q 'does not exist' "$scratch/err" || die "cannot list the snapshots of ${1%@*}: $(tail -n 1 "$scratch/err")"
	return 1
}

volume_same() {
	if ! snapshot_there "$1"; then
		why="the snapshot $1 is gone"
	elif ! identify "$1"; then
		why="cannot read the guid of $1: $(tail -n 1 "$scratch/err")"
	fi
	[ -z "$why" ]
}

# volume_dir reads a snapshot below its dataset's mount point, wherever that is
# now. Looking into the directory mounts it.
volume_dir() {
	# Bind mounts of its directories do not count.
	point=$(findmnt -n -v -o FSROOT,TARGET -S "${1%@*}" | sed -n 's,^/  *,,p' | sed -n 1p)
	dir=${point%/}/.zfs/snapshot/${1#*@}
	if [ -z "$point" ] || ! [ -d "$dir/." ]; then
		why="the snapshot $1 is not to be read at $dir: is its dataset mounted?"
		return 1
	fi
}

# volume_drop never takes anything along: no -r, no -R.
volume_drop() {
	case $1 in
	*@ncfleet-?*) ;;
	*) return 0 ;;
	esac
	snapshot_there "$1" || return 0
	zfs destroy "$1" 2>"$scratch/err" || die "cannot destroy the snapshot $1: $(tail -n 1 "$scratch/err")"
}
