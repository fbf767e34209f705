# The store of the lvm driver: one read-only snapshot of every logical volume
# that holds a tree. Scripts run in a mount namespace of their own, so a
# snapshot that is mounted to be read is unmounted however they end.

export LVM_SUPPRESS_FD_WARNINGS=1

store_unfit() {
	if ! has lvs || ! has findmnt || ! gnu; then
		echo "lvs, findmnt, or GNU's tar, find, sed or coreutils, is missing on this host: install lvm2 and util-linux and them"
		return
	fi
	found=$(findmnt -n -o FSTYPE -T "$1")
	case $found in
	ext2 | ext3 | ext4 | xfs) ;;
	*)
		echo "$1 is on a file system of type ${found:-unknown}, of which this driver cannot mount a snapshot beside the original: use the snapshot driver archive for this host"
		return
		;;
	esac
	if ! vol=$(volume_of "$1") || [ -z "$vol" ]; then
		echo "$1 is on $(findmnt -n -v -o SOURCE -T "$1"), which is no logical volume: use the snapshot driver archive for this host"
	elif [ ! -w "$(dirname "$1")" ]; then
		echo "$(dirname "$1") is on a file system that is mounted read-only"
	elif pool=$(field pool_lv "$vol") && [ -n "$pool" ]; then
		full=$(field data_percent "${vol%/*}/$pool")
		[ "${full%.*}" -lt 90 ] || echo "the thin pool ${vol%/*}/$pool of $1 is $full % full: extend it"
	else
		free=$(vgs --noheadings --nosuffix --units b -o vg_free "${vol%/*}" 2>/dev/null | tr -d ' ')
		wanted=$(($(field lv_size "$vol") * size / 100))
		[ "${free:-0}" -ge "$wanted" ] ||
			echo "the volume group ${vol%/*} has $((${free:-0} >> 20)) MiB free, a snapshot of $vol takes $((wanted >> 20)): extend the group, or set percent lower"
	fi
}

# volume_of DIRECTORY prints VG/LV.
volume_of() { lvs --noheadings --separator / -o vg_name,lv_name "$(findmnt -n -v -o SOURCE -T "$1")" 2>/dev/null | tr -d ' '; }

# field NAME VG/LV prints one value.
field() { lvs --noheadings --nosuffix --units b -o "$1" "$2" 2>/dev/null | tr -d ' '; }

store_cost() {
	kept_bytes=$((1 << 20))
	back_bytes=$(tree_bytes "$1")
}

store_describe() {
	vol=$(volume_of "$2") point=$(findmnt -n -o TARGET -T "$2") root=$(findmnt -n -o FSROOT -T "$2")
	inner=${root%/}${2#"${point%/}"}
	printf 'volume.%s=%s\nkept.%s=%s\ninner.%s=%s\n' "$1" "$vol" "$1" "${vol%/*}/ncfleet-$(volume_name "$vol")" "$1" "${inner#/}"
}

volume_take() {
	why=
	volume_drop "$2"
	set -- "$1" "$2" -y -q -s -p r --addtag ncfleet -n "${2#*/}"
	if [ -n "$(field pool_lv "$1")" ]; then set -- "$@" -kn; else set -- "$@" -l "$size%ORIGIN"; fi
	origin=$1 kept=$2
	shift 2
	# The kernel freezes the file system for that moment.
	lvcreate "$@" "$origin" >/dev/null 2>"$scratch/err" || die "cannot snapshot the logical volume $origin: $(tail -n 1 "$scratch/err")" "$(lack)"
	volume_same "$kept" || die "$why"
}

lack() { if grep -qi 'insufficient\|no space\|not enough' "$scratch/err"; then echo 74; else echo 65; fi; }

# snapshot_there says whether it exists; a group that does not answer is no "no".
snapshot_there() {
	lvs --noheadings -o lv_name "${1%/*}" >"$scratch/volumes" 2>"$scratch/err" || die "cannot list the volume group ${1%/*}: $(tail -n 1 "$scratch/err")"
	sed 's/ //g' "$scratch/volumes" | grep -qxF -- "${1#*/}"
}

# volume_same reads lv_attr: the second letter is r for read-only (R when that
# is only so by activation), the fifth I for a snapshot that ran full.
volume_same() {
	identity=
	if ! snapshot_there "$1"; then
		why="the snapshot $1 is gone"
		return 1
	fi
	case $(field lv_attr "$1") in
	????I*) why="the snapshot $1 ran full and lost what it held: set percent higher" ;;
	?r*) identity="$(field lv_uuid "$1") $(field origin_uuid "$1")" ;;
	*) why="the snapshot $1 is not read-only any more" ;;
	esac
	[ -z "$why" ]
}

# volume_dir mounts the snapshot without replaying its journal, which the freeze
# has emptied and a read-only volume could not take.
volume_dir() {
	dir=$scratch/volume-${1#*/}
	[ ! -d "$dir" ] || return 0
	if lvchange -q -ay -K "$1" >/dev/null 2>"$scratch/err" && mkdir "$dir"; then
		# As ext4, XFS and ext2 want it.
		for options in ro,noload ro,norecovery,nouuid ro; do
			mount -o "$options" "/dev/$1" "$dir" 2>"$scratch/err" && return
		done
		rmdir "$dir"
	fi
	why="cannot mount the snapshot $1: $(tail -n 1 "$scratch/err")"
	return 1
}

volume_drop() {
	case $1 in
	*/ncfleet-?*) ;;
	*) return 0 ;;
	esac
	snapshot_there "$1" || return 0
	[ "$(field lv_tags "$1")" = ncfleet ] || die "the logical volume $1 has our name but not the tag ncfleet: look at it"
	lvremove -y -q "$1" >/dev/null 2>"$scratch/err" || die "cannot remove the snapshot $1: $(tail -n 1 "$scratch/err")"
}

store_end() {
	for dir in "${scratch:-/nowhere}"/volume-*; do
		[ ! -d "$dir" ] || umount "$dir" 2>/dev/null || umount -l "$dir"
	done
}
