# The store of the archive driver: one tar archive for each tree, and a second
# one of what changed since Prepare.
store_ready() { gnu || echo "note=tar or find is not GNU's: the trees are archived while the instance is closed"; }

store_cost() {
	kept_bytes=$(tree_bytes "$1")
	back_bytes=$kept_bytes
}

store_ahead() { gnu; }

# store_prepare archives a tree while users work. What changes meanwhile or
# later is found by take_unit, so a file that changes under tar's eyes does no
# harm.
store_prepare() {
	tree=$(unit "$1") to=$work/tree-$1.tar$(suffix)
	out=$(leave_out "$tree")
	# The time is the file system's own, and two seconds of doubt are taken off:
	# an entry that changed within them is archived again by create.
	touch "$tree.ncfleet-clock-$name" || die "cannot write to $(dirname "$tree"): it is needed to rebuild the tree beside the live one"
	now=$(stat -c %Y "$tree.ncfleet-clock-$name")
	rm -f "$tree.ncfleet-clock-$name"
	list_tree "$tree" "$out" detail >"$scratch/list" || die "cannot list $tree"
	# Records end in NUL: sed drops those whose ctime, the seventh field, is recent.
	awk_limit=$((now - 2))
	tr '\n\0' '\0\n' <"$scratch/list" | awk -v limit="$awk_limit" '$7 < limit' | tr '\n\0' '\0\n' >"$work/tree-$1.seen"
	pack_tree "$to" "$tree" "$out" 2>"$scratch/err"
	case $? in
	0 | 1) ;;
	*) die "cannot archive $tree into $base: $(tail -n 2 "$scratch/err" | sed -n 1p)" 74 ;;
	esac
	flush "$to"
	(cd "$work" && sums "tree-$1.tar$(suffix)") >>"$work/sums" && grep -q "^[0-9a-f]\{64\}  tree-$1.tar" "$work/sums" || die "cannot read $to back"
}

store_take() {
	prepared=no
	if [ -f "$snap~prepared/plan" ] && cmp -s "$snap~prepared/plan" "$scratch/plan"; then prepared=yes; fi
	i=0
	while [ "$i" -lt "$units" ]; do
		take_unit "$i"
		i=$((i + 1))
	done
}

take_unit() {
	tree=$(unit "$1") file=tree-$1.tar$(suffix)
	out=$(leave_out "$tree")
	if [ "$prepared" = yes ]; then
		list_tree "$tree" "$out" detail >"$scratch/list" || die "cannot list $tree"
		ln "$snap~prepared/$file" "$work/$file" || cp "$snap~prepared/$file" "$work/$file" || die "cannot take over $snap~prepared/$file" 74
		sed -n "/ $file\$/p" "$snap~prepared/sums" >>"$scratch/sums"
		comm -z -13 "$snap~prepared/tree-$1.seen" "$scratch/list" | names_of 8 >"$scratch/changed"
		pack "$work/tree-$1.delta.tar$(suffix)" --no-recursion -C "$tree" --null -T "$scratch/changed" 2>"$scratch/err" ||
			die "cannot archive what changed in $tree into $base: $(sed -n 1p "$scratch/err")" "$(room_or_not)"
		plain_list <"$scratch/list" >"$work/tree-$1.list" || die "cannot write to $work" 74
		return
	fi
	list_tree "$tree" "$out" >"$work/tree-$1.list" || die "cannot list $tree into $work" "$(room_or_not)"
	pack_tree "$work/$file" "$tree" "$out" 2>"$scratch/err" ||
		die "cannot archive $tree into $base: $(sed -n 1p "$scratch/err")" "$(room_or_not)"
	list_tree "$tree" "$out" >"$scratch/list"
	cmp -s "$scratch/list" "$work/tree-$1.list" || die "$tree changed while it was archived: something writes to it although the instance is closed" 75
}

# store_fill N unpacks the archives and compares them with the result.
store_fill() {
	mkdir "$build" || die "cannot create $build" 74
	bulk=$snap/tree-$1.tar$(suffix) delta=$snap/tree-$1.delta.tar$(suffix)
	unpack "$bulk" "$build" 2>"$scratch/err" || no_build
	give "$build" "$1" || no_build
	if gnu; then unpack "$bulk" "$build" --compare >"$scratch/err" 2>&1 || no_build; fi
	if [ -f "$delta" ]; then
		# What was deleted or changed its type since the bulk goes first.
		list_tree "$build" '' | sed -z 's/^\(.\) \([^ ]* \)\{5\}/\1 /' | sort -z >"$scratch/have"
		sed -z 's/^\(.\) \([^ ]* \)\{5\}/\1 /' "$snap/tree-$1.list" | sort -z >"$scratch/want"
		comm -z -23 "$scratch/have" "$scratch/want" | sed -z 's/^. //' >"$scratch/gone"
		(cd "$build" && xargs -0 rm -rf -- <"$scratch/gone") || no_build
		unpack "$delta" "$build" 2>"$scratch/err" || no_build
		unpack "$delta" "$build" --compare >"$scratch/err" 2>&1 || no_build
	fi
}
