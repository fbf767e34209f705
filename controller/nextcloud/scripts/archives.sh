# What several rollouts leave behind: archives, and trees that a rollback put
# aside.

# forget_archives removes those that no site of this host needs any more.
forget_archives() {
	for r in "$SITE"/archive-*; do
		[ -f "$r" ] || continue
		a=$(cat "$r")
		rm -f "$r"
		case $a in "$STATE"/?*) ;; *) continue ;; esac
		grep -l -s -x -F -e "$a" "$STATE"/sites/*/archive-* >/dev/null 2>&1 || rm -f "$a" "$a.part"
	done
}

# remove_bad removes what a rollback put aside; what cannot be removed is told.
remove_bad() {
	for t in "$P".ncfleet-bad-*; do
		{ [ -e "$t" ] || [ -L "$t" ]; } || continue
		why=$(remove_tree "$t" 2>/dev/null) && continue
		say "degraded $t stays: $(printf '%s\n' "$why" | sed -n 's/^ncfleet: error //p')"
	done
}
