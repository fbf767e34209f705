# swapback: the tree that was live before the rollout is live again, with the
# config.php it had when it was closed. Done twice it has the effect of once;
# where no swap was made it does nothing.

# later_news takes away what a later hop brought and the first did not know.
later_news() {
	for l in "$P".ncfleet-old-*/.ncfleet-swap; do
		[ -f "$l" ] && [ "$l" != "$KEEP/.ncfleet-swap" ] || continue
		while IFS=$TAB read -r pi ti n; do
			[ "$pi" = - ] || continue
			if ! cut -f 3 "$KEEP/.ncfleet-swap" | grep -q -x -F -e "$n" && [ -e "$P/$n" ] && [ ! -e "$KEEP/$n" ]; then
				mv "$P/$n" "$KEEP/$n" || fail "cannot take $P/$n away"
			fi
		done <"$l"
	done
}

# config_back: where config could not be moved, its copy is put back.
config_back() {
	grep -q -x -e "stay${TAB}stay${TAB}config" "$KEEP/.ncfleet-swap" || return 0
	for f in "$KEEP"/config/*.php; do
		cp -p "$f" "$P/config/" || fail "cannot restore $P/config/${f##*/}"
	done
}

# end_occ: an occ that still runs would write into the restored database.
end_occ() {
	quiet occ 60 && return 0
	for s in TERM KILL; do
		for pid in $(processes occ); do
			say "note occ of $P (pid $pid) still ran and was ended with SIG$s"
			kill -"$s" "$pid" 2>/dev/null
		done
		quiet occ 10 && return 0
	done
	fail "an occ of $P cannot be ended (pid $(processes occ | tr '\n' ' '))"
}

aside() {
	bad=$P.ncfleet-bad-$(code_version "$1")
	i=0
	while [ -e "$bad$([ $i = 0 ] || echo "-$i")" ]; do i=$((i + 1)); done
	bad=$bad$([ $i = 0 ] || echo "-$i")
	mv "$1" "$bad" || fail "cannot rename $1 to $bad"
	say "aside $bad"
}

# between puts the trees of the hops in between aside: nothing needs them, and
# a later survey would take them for an interrupted upgrade.
between() {
	for t in "$P".ncfleet-old-*; do
		[ -d "$t" ] && [ "$t" != "$KEEP" ] && aside "$t"
	done
	return 0
}

main() {
	parse "$@"
	need_tree
	one_writer
	[ -n "$KEEP" ] && [ -n "$FROM" ] || fail "cannot swap back: --keep and --from are needed"
	end_occ
	mark swapback-begin
	# A hop that was lost while swapping left its list in the staged tree.
	for l in "$P".ncfleet-new-*/.ncfleet-swap; do
		[ -f "$l" ] || continue
		t=${l%/.ncfleet-swap}
		say "taking back the swap begun with $t"
		swap_run "$t" back
		rm -f "$l"
	done
	if [ -f "$KEEP/.ncfleet-swap" ]; then
		later_news
		swap_run "$KEEP" back
		config_back
		aside "$KEEP"
		between
		reload
		is_release "$(code_version "$P")" "$FROM" || fail "$P is of version $(code_version "$P") after swapping back, expected $FROM: look at $P.ncfleet-*"
	elif is_release "$(code_version "$P")" "$FROM"; then
		say "nothing to swap back"
	else
		say "note the tree of $FROM is no longer kept beside $P: the snapshot brings it back"
	fi
	say "version $(code_version "$P")"
	mark swapback-end
}
