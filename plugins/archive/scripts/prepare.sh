# prepare archives the trees while users work. What changes meanwhile or later
# is found by create, so a file that changes under tar's eyes does no harm.
prepare_unit() {
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

main() {
	parse "$@"
	begin
	check_units
	lock
	[ ! -f "$snap/SHA256SUMS" ] || exit 0
	gnu || exit 0
	describe >"$scratch/plan"
	if [ -f "$snap~prepared/plan" ] && cmp -s "$snap~prepared/plan" "$scratch/plan"; then exit 0; fi
	work=$snap~preparing
	rm -rf "$work" "$snap~prepared"
	mkdir "$work" || die "cannot create $work" 74
	printf 'host=%s\ninstance=%s\nkey=%s\n' "$host" "$instance" "$key" >"$work/meta"
	i=0
	while [ "$i" -lt "$units" ]; do
		prepare_unit "$i"
		i=$((i + 1))
	done
	cp "$scratch/plan" "$work/plan" && flush "$work"/* && mv "$work" "$snap~prepared" || die "cannot finish $work: no room" 74
}
main "$@" </dev/null
