# prepare does ahead, while users work, what the store can do ahead.
main() {
	parse "$@"
	begin
	check_units
	lock
	[ ! -f "$snap/SHA256SUMS" ] || exit 0
	store_ahead || exit 0
	describe >"$scratch/plan"
	if [ -f "$snap~prepared/plan" ] && cmp -s "$snap~prepared/plan" "$scratch/plan"; then exit 0; fi
	work=$snap~preparing
	discard "$work" "$snap~prepared"
	mkdir "$work" || die "cannot create $work" 74
	printf 'driver=%s\nhost=%s\ninstance=%s\nkey=%s\n' "$driver" "$host" "$instance" "$key" >"$work/meta"
	i=0
	while [ "$i" -lt "$units" ]; do
		store_prepare "$i"
		i=$((i + 1))
	done
	cp "$scratch/plan" "$work/plan" && flush "$work"/* && mv "$work" "$snap~prepared" || die "cannot finish $work: no room" 74
}
main "$@" </dev/null
