# tidy: the work that Nextcloud leaves for later, and trees that are no longer
# needed. Users are in; a failure here is a note, never a reason to go back.
main() {
	parse "$@"
	need_tree
	one_writer
	bad=0
	versions
	for c in indices columns primary-keys; do
		if occ "db:add-missing-$c" --no-interaction >"$SITE/tidy" 2>"$SITE/err"; then
			grep -a -e '^Adding' "$SITE/tidy" | while IFS= read -r l; do say "$l"; done
		else
			bad=1
			say "degraded occ db:add-missing-$c failed: $(tail -n 1 "$SITE/tidy")"
		fi
	done
	for t in "$P".ncfleet-*.part; do [ ! -e "$t" ] || remove_tree "$t"; done
	lines "$REMOVES" remove_tree
	remove_bad
	forget_archives
	forget_runs
	forget_sites
	return $bad
}
