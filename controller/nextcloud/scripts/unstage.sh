# unstage: staged trees, what was unpacked in part, what a rollback put aside,
# and the archives of this site. Never the live tree, never the kept one.
unstage_one() {
	[ ! -f "$1/.ncfleet-swap" ] || fail "refused to remove $1: a swap with it was begun; swap back first"
	remove_tree "$1"
	remove_tree "$1.part"
}

main() {
	parse "$@"
	need_tree
	one_writer
	lines "$STAGEDS" unstage_one
	remove_bad
	forget_archives
}
