# apps: updates until none is left. The store itself is only asked when close
# found it answering; the gate compares the enabled apps afterwards.

# offered lists the apps to update. With pins an app goes to a pinned version or
# stays: the store offers one version, and that may be a newer one by now.
offered() {
	sed -n 's/^\([a-z0-9_]*\) new version available: \([^ ]*\).*/\1 \2/p' "$SITE/apps" | while read -r app to; do
		if [ "$PINNED" = no ] || printf '%s' "$APPS" | grep -q -x -F -e "$app=$to"; then
			echo "$app"
		else
			say "note app $app stays as it is: the store offers $to, which is not pinned" >&3
		fi
	done
}

main() {
	exec 3>&1

	parse "$@"
	need_tree
	one_writer
	begin_change
	mark apps-begin
	if config_get "$P/config" appstoreenabled 2>/dev/null | grep -q -x 'appstoreenabled false'; then
		say "note the app store is switched off: apps are left as they are"
		return 0
	fi
	versions
	i=0
	while [ "$i" -lt "$ROUNDS" ]; do
		i=$((i + 1))
		occ app:update --showonly --all >"$SITE/apps" 2>"$SITE/err" || fail "cannot ask for app updates: $(tail -n 1 "$SITE/apps")"
		left=$(offered)
		[ -n "$left" ] || break
		if [ "$PINNED" = yes ]; then
			for a in $left; do occ app:update "$a"; done >"$SITE/apps" 2>"$SITE/err"
		else
			occ app:update --all >"$SITE/apps" 2>"$SITE/err"
		fi
		sed -n 's/^\([a-z0-9_]*\) updated$/app-updated \1/p' "$SITE/apps" | while IFS= read -r l; do say "$l"; done
		failed=$(sed -n "s/^\([a-z0-9_]*\) couldn't be updated.*/\1/p" "$SITE/apps")
		for a in $failed; do say "degraded app $a could not be updated; the reason is in nextcloud.log"; done
		grep -q ' updated$' "$SITE/apps" || break
	done
	say "rounds $i"
	mark apps-end
}
