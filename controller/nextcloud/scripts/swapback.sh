# swapback: the tree that was live before the rollout is live again, with the
# config.php it had when it was closed. Done twice it has the effect of once;
# where no swap was made it does nothing. PHP is reloaded by restored.sh, once
# the snapshot is back.

# later lists the kept trees of the hops after the first, the last one first.
later() {
	for t in "$P".ncfleet-old-*; do
		[ -f "$t/.ncfleet-swap" ] && [ "$t" != "$KEEP" ] && printf '%s\n' "${t#"$P".ncfleet-old-}"
	done | sort -t . -k 1,1nr -k 2,2nr -k 3,3nr
}

# back_one takes one later hop back and puts its tree aside. Hop by hop, so
# that what only a later release replaced or brought is as it was, too.
back_one() {
	swap_run "$P.ncfleet-old-$1" back
	aside "$P.ncfleet-old-$1"
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
	# A full disk needs the room now: what stood there is needed no more.
	free=$(df -Pk "${P%/*}/" | awk 'NR == 2 { print $4 }')
	[ "${free:-0}" -ge 262144 ] || remove_tree "$bad"
}

# rest puts aside what is still kept: nothing needs it, and a later survey
# would take it for an interrupted upgrade.
rest() {
	for t in "$P".ncfleet-old-*; do
		[ ! -d "$t" ] || aside "$t"
	done
}

main() {
	parse "$@"
	need_tree
	one_writer
	[ -n "$KEEP" ] && [ -n "$FROM" ] || fail "cannot swap back: --keep and --from are needed"
	end_occ
	spare
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
		lines "$(later)$NL" back_one
		swap_run "$KEEP" back
		config_back
		aside "$KEEP"
		is_release "$(code_version "$P")" "$FROM" || fail "$P is of version $(code_version "$P") after swapping back, expected $FROM: look at $P.ncfleet-*"
	elif is_release "$(code_version "$P")" "$FROM"; then
		say "nothing to swap back"
	else
		say "note the tree of $FROM is no longer kept beside $P: the snapshot brings it back"
	fi
	rest
	say "version $(code_version "$P")"
	mark swapback-end
}
