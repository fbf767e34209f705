# restored: after the snapshot driver put back what it holds, the web's PHP
# must forget the code that it served before.
main() {
	parse "$@"
	need_tree
	one_writer
	found=$(code_version "$P")
	[ -z "$FROM" ] || is_release "$found" "$FROM" || fail "$P is of version ${found:-unknown} after the snapshot was put back, expected $FROM: look at $P and $P.ncfleet-*"
	reload || fail "cannot reload PHP after the snapshot was put back ($reload_bad): old code would go on being served; run it by hand, then roll back again"
	say "version $found"
}
