# What stores share that keep trees in snapshots of volumes: a volume is
# whatever can be snapshotted as one, and may hold more than the trees. The
# memory has, for unit N, volume.N, kept.N (the name of its snapshot) and
# inner.N (the tree's path in it). A store of this kind answers
#   volume_take VOLUME KEPT  takes the snapshot, replacing one of that name;
#                            sets identity, a line without tabs
#   volume_same KEPT         whether it is there and unchanged; sets identity, or why
#   volume_drop KEPT         deletes it; a missing one is no error
#   volume_dir KEPT          sets dir, where its content is to be read; may fail

# volume_name VOLUME prints a name for this key's snapshot of a volume. It tells
# apart controllers that have the same key and other directories.
volume_name() { printf '%s\n%s\n%s' "$base" "$name" "$1" | sha256sum | cut -c1-20; }

# kept_tree DIRECTORY N sets tree_dir, where unit N lies in that snapshot.
kept_tree() {
	volume_dir "$(memory "$1" "kept\\.$2")" || return 1
	inner=$(memory "$1" "inner\\.$2")
	tree_dir=$dir${inner:+/$inner}
}

store_take() {
	# Before there is a snapshot there is the memory of where it is.
	flush "$work/meta" "$work" "$base"
	i=0 taken=$nl
	while [ "$i" -lt "$units" ]; do
		kept=$(memory "$work" "kept\\.$i")
		case $taken in
		*"$nl$kept$nl"*) ;;
		*)
			volume_take "$(memory "$work" "volume\\.$i")" "$kept"
			[ -n "$identity" ] || die "cannot tell the identity of the snapshot $kept"
			printf '%s%s%s\n' "$identity" "$tab" "$kept" >>"$work/volumes" || die "cannot write to $work" 74
			;;
		esac
		taken=$taken$kept$nl
		i=$((i + 1))
	done
	i=0
	while [ "$i" -lt "$units" ]; do
		tree=$(unit "$i")
		kept_tree "$work" "$i" || die "$why"
		# A snapshot keeps inode numbers, so this is that directory.
		[ "$(stat -c %i "$tree_dir" 2>/dev/null)" = "$(stat -c %i "$tree")" ] || die "$tree_dir is not what $tree was: is a directory above it a mount point?"
		list_tree "$tree_dir" "$(leave_out "$tree")" detail >"$work/tree-$i.seen" && plain_list <"$work/tree-$i.seen" >"$work/tree-$i.list" ||
			die "cannot list $tree_dir into $work" "$(room_or_not)"
		i=$((i + 1))
	done
}

store_fill() {
	kept_tree "$snap" "$1" || die "$why"
	copy_tree "$tree_dir" "$build" "$(outs "$1")" 2>"$scratch/err" || no_build
}

store_check() {
	why=
	[ -s "$snap/volumes" ] || why="$snap/volumes is empty"
	while IFS=$tab read -r wanted kept; do
		[ -z "$why" ] || break
		if volume_same "$kept" && [ "$identity" != "$wanted" ]; then
			why="$kept is another snapshot than the one that was taken"
		fi
	done <"$snap/volumes"
	k=0 seen=0
	for list in "$snap"/tree-*.seen; do
		[ -z "$why" ] || break
		k=${list##*tree-} k=${k%.seen}
		kept_tree "$snap" "$k" || break
		list_tree "$tree_dir" "$(outs "$k")" detail >"$scratch/list" && cmp -s "$scratch/list" "$list" || why="$tree_dir is not what was captured"
		seen=$((seen + $(tr -cd '\0' <"$list" | wc -c)))
	done
	proved=", $(sed -n '$=' "$snap/volumes") snapshots with the identity and $seen entries as taken"
	[ -z "$why" ]
}

store_drop() {
	[ -f "$1/meta" ] || return 0
	sed -n 's/^kept\.[0-9]*=//p' "$1/meta" | sort -u | while IFS= read -r kept; do volume_drop "$kept"; done || exit $?
	return 0
}
