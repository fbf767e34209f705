# look: what an upgrade that did not end left behind, for people and for
# nextcloud.Classify. It changes nothing.

# swapped: how many entries of the list of a swap are as it wants them.
swapped() {
	done=0 all=0
	while IFS=$TAB read -r pi ti n; do
		[ "$pi" != stay ] || continue
		all=$((all + 1))
		[ "$(inode "$P/$n")" != "$ti" ] || done=$((done + 1))
	done <"$1"
	printf '%s %s\n' "$done" "$all"
}

inode() { stat -c %i "$1" 2>/dev/null || echo -; }

look_trees() {
	if [ -f "$KEEP/.ncfleet-swap" ] && [ ! -d "$STAGED" ]; then
		say "swap done"
	elif [ -f "$STAGED/.ncfleet-swap" ]; then
		say "swap $(swapped "$STAGED/.ncfleet-swap")"
	elif [ -f "$STAGED/.ncfleet-staged" ]; then
		say "swap staged"
	else
		say "swap none"
	fi
}

look_database() {
	MEMORY=''
	occ status --output=json >"$SITE/look" 2>/dev/null
	if grep -q -a '"needsDbUpgrade":' "$SITE/look"; then
		say "database reachable"
		case $(cat "$SITE/look") in *'"needsDbUpgrade":true'*) say "needs-upgrade yes" ;; *) say "needs-upgrade no" ;; esac
	elif grep -q -a -i -e 'failed to connect to the database' -e 'gone away' -e 'connection refused' -e 'could not connect' "$SITE/look"; then
		say "database unreachable"
	fi
}

main() {
	parse "$@"
	need_tree
	say "code-version $(code_version "$P")"
	say "config-version $(config_get "$P/config" version 2>/dev/null | sed -n 's/^version "\(.*\)"$/\1/p')"
	if [ -f "$P/config/zz-ncfleet.config.php" ] || grep -q -s "'maintenance' => true" "$P/config/config.php"; then say "closed yes"; else say "closed no"; fi
	look_trees
	say "processes $(processes occ | tr '\n' ' ')"
	look_database
}
