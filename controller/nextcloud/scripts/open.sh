# open: users in, as let_in says. Also the undo of close.
main() {
	parse "$@"
	need_tree
	one_writer
	mark open-begin
	let_in
	mark open-end
}
