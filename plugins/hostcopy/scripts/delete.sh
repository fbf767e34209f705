# delete removes a snapshot, whole or half-made. A missing one is no error.
main() {
	parse "$@"
	[ -d "$base" ] || exit 0
	begin
	lock
	remove "$snap" "$name"
}
main "$@" </dev/null
