# hop: the staged tree in, occ upgrade, PHP reloaded. It may be started again
# after it was lost anywhere: the list of the swap, version.php and the
# version in config.php say how far it came.

# late carries what changed in the live tree since stage: config always, apps
# and themes where they differ.
late() {
	if stays config; then
		rm -rf "$STAGED/config"
		cp -aL "$P/config" "$STAGED/config" || fail "cannot copy $P/config"
	else
		rm -rf "$STAGED/config" && cp -a "$P/config" "$STAGED/config" || fail "cannot copy $P/config"
	fi
	rm -f "$STAGED/config/CAN_INSTALL"
	cmp -s "$P/config/config.php" "$STAGED/config/config.php" || fail "$P/config/config.php changed while it was copied: something else writes it"
	for a in "$P"/apps/*/; do
		a=${a%/}
		id=${a##*/}
		t=$STAGED/apps/$id
		[ -f "$a/appinfo/info.xml" ] || continue
		if [ -d "$t" ] && ! grep -q -x -F -e "$id" "$STAGED/.ncfleet-carried" 2>/dev/null; then continue; fi
		if [ ! -d "$t" ] && grep -q "\"$id\"" "$STAGED/core/shipped.json" 2>/dev/null; then continue; fi
		if [ -d "$t" ] && cmp -s "$a/appinfo/info.xml" "$t/appinfo/info.xml" && [ -z "$(newer "$a")" ]; then continue; fi
		rm -rf "$t" && cp -a "$a" "$t" || fail "cannot carry over $a"
		grep -q -x -F -e "$id" "$STAGED/.ncfleet-carried" 2>/dev/null || echo "$id" >>"$STAGED/.ncfleet-carried"
		say "carried app $id, changed since it was staged"
	done
	for t in "$P"/themes/*; do
		id=${t##*/}
		{ [ -e "$t" ] || [ -L "$t" ]; } || continue
		case $id in example | README) continue ;; esac
		if [ -e "$STAGED/themes/$id" ] && [ -z "$(newer "$t")" ]; then continue; fi
		rm -rf "$STAGED/themes/$id" && cp -a "$t" "$STAGED/themes/$id" || fail "cannot carry over $t"
		say "carried theme $id, changed since it was staged"
	done
}

newer() { find "$1" -newer "$STAGED/.ncfleet-staged" 2>/dev/null | head -n 1; }

# swap_in: three states of the world lead here, all end with the release of
# $TO live and the tree before it at $KEEP.
swap_in() {
	if [ -f "$KEEP/.ncfleet-swap" ] && [ ! -d "$STAGED" ] && is_release "$(code_version "$P")" "$TO"; then
		say "already swapped"
		return 0
	fi
	[ ! -e "$KEEP" ] || fail "cannot keep the old tree at $KEEP: it exists; remove it when it is no longer needed"
	[ -d "$STAGED" ] || fail "there is no staged tree $STAGED"
	if [ ! -f "$STAGED/.ncfleet-swap" ]; then
		[ -f "$STAGED/.ncfleet-staged" ] && is_release "$(code_version "$STAGED")" "$TO" || fail "$STAGED is not a complete staged tree of $TO: run stage again"
		closed_config || fail "$P is not in maintenance mode: close it first"
		late
		swap_plan "$STAGED"
	fi
	mark swap-begin
	swap_run "$STAGED" forward
	mark swap-end
	mv "$STAGED" "$KEEP" || fail "cannot rename $STAGED to $KEEP"
}

closed_config() {
	[ -f "$P/config/zz-ncfleet.config.php" ] && grep -q "'maintenance' => true" "$P/config/config.php"
}

upgrade() {
	mark upgrade-begin
	rm -f "$SITE/upgrade.rc"
	{ occ upgrade --no-interaction 2>"$SITE/upgrade.err"; echo $? >"$SITE/upgrade.rc"; } | tee "$SITE/upgrade.out"
	rc=$(cat "$SITE/upgrade.rc" 2>/dev/null || echo 255)
	mark upgrade-end
	say "upgrade exit $rc"
}

# judge reads success from the state, never from the exit status alone.
judge() {
	versions
	grep -a -e '^ *Repair error:' -e '^ *Repair warning:' "$SITE/upgrade.out" | head -n 20 | while IFS= read -r l; do say "degraded $l"; done
	sed -n 's/^.*Disabled incompatible app: /disabled-app /p' "$SITE/upgrade.out" | while IFS= read -r l; do say "$l"; done
	say "config-version $CONFIG_VERSION"
	say "code-version $CODE_VERSION"
	if [ "$rc" = 0 ] && grep -q -a -e 'Update successful' "$SITE/upgrade.out" && [ "$CONFIG_VERSION" = "$CODE_VERSION" ] && is_release "$CODE_VERSION" "$TO"; then
		return 0
	fi
	tell_log
	# The last lines say that it failed; why stands above them.
	why=$(grep -a -e 'Exception: ' -e 'Error: ' -e 'An exception occurred' -e '^This version of Nextcloud' "$SITE/upgrade.out" | head -n 2 | tr '\n' ' ' | cut -c 1-600)
	[ -n "$why" ] || why=$(grep -a -v -e '^$' "$SITE/upgrade.out" | tail -n 3 | tr '\n' ' ')$(tail -n 2 "$SITE/upgrade.err" | tr '\n' ' ')
	case $rc in
	137 | 143 | 129) fail "occ upgrade in $P was killed (exit $rc) before it was complete: config.php says $CONFIG_VERSION, the code is $CODE_VERSION" ;;
	0) fail "occ upgrade in $P ended without success: config.php says $CONFIG_VERSION, the code is $CODE_VERSION; it said: $why" ;;
	*) fail "occ upgrade in $P failed (exit $rc): $why" ;;
	esac
}

tell_log() {
	log_file
	errors_since_close | tail -n 5 | cut -c 1-600 | while IFS= read -r l; do say "log $l"; done
}

still_closed() {
	closed_config && return 0
	say "note maintenance mode was gone from $P/config/config.php after the swap; set again"
	config_set "$P/config/config.php" maintenance true upgrade.disable-web true >"$SITE/out" 2>"$SITE/err" ||
		fail "cannot set maintenance mode in $P/config/config.php: $(tail -n 1 "$SITE/err")"
}

main() {
	parse "$@"
	need_tree
	one_writer
	[ -n "$STAGED" ] && [ -n "$KEEP" ] && [ -n "$TO" ] || fail "cannot hop: --staged, --keep and --to are needed"
	begin_change
	# An upgrade that outlived its keeper is left to end by itself.
	quiet occ 3600 || fail "an occ of $P still runs (pid $(processes occ | tr '\n' ' ')): wait until it ended"
	mark hop-begin
	swap_in
	chmod 700 "$KEEP" 2>/dev/null
	reload
	still_closed
	versions
	if [ "$CONFIG_VERSION" = "$CODE_VERSION" ] && is_release "$CODE_VERSION" "$TO"; then
		say "already upgraded to $CODE_VERSION"
	else
		upgrade
		judge
	fi
	reload || fail "cannot reload PHP after the swap ($reload_bad): old code would go on being served; run it by hand"
	still_closed
	mark hop-end
}
