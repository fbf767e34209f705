# unhold: rival updaters as hold.sh found them. What another site of this host
# still holds stays held.
shared() { grep -q -F -e "$1" "$STATE"/held/*/"$2" 2>/dev/null; }

# uncomment FILE: nobody else holds its lines, so whoever commented them out.
uncomment() {
	awk '{ sub(/^#ncfleet-held:[^#]*# /, ""); print }' "$1" >"$SITE/cron.part" && cat "$SITE/cron.part" >"$1"
}

release_unit() {
	unit=${1%%"$TAB"*} rest=${1#*"$TAB"}
	if shared "$unit$TAB" units; then
		say "still held by another site: $unit"
		return 0
	fi
	[ "$NAME" != @absent ] || systemctl unmask "$unit" >/dev/null 2>&1 || fail "cannot unmask $unit"
	case ${rest#*"$TAB"} in enabled*) systemctl enable "$unit" >/dev/null 2>&1 || fail "cannot enable $unit" ;; esac
	case ${rest%%"$TAB"*} in active*) systemctl start "$unit" 2>"$SITE/err" || fail "cannot start $unit: $(tail -n 1 "$SITE/err")" ;; esac
	say "released $unit"
}

# file_back HELD PATH: what happened to PATH meanwhile is not undone.
file_back() {
	if [ ! -e "$1" ]; then
		[ -e "$2" ] || say "note $2 is gone: it was removed while it was held"
	elif [ -e "$2" ] && cmp -s "$1" "$2"; then
		rm -f "$1"
	elif [ -e "$2" ]; then
		set_apart "$1" "$2"
		say "note $2 was written again while it was held: it stays as it is now, the older one is $APART"
	elif grep -q -x -F -e "$2" "$SITE/held/owned" 2>/dev/null && ! owned "$2"; then
		set_apart "$1" "$2"
		say "note $2 belongs to no package any more and is not put back: it is $APART"
	else
		mv "$1" "$2" || fail "cannot move $1 back to $2"
	fi
}

release_cron() {
	kind=${1%% *} what=${1#* }
	if shared "$1" crons; then
		say "still held by another: $what"
		return 0
	fi
	case $kind in
	file)
		place_of "$what"
		file_back "$PLACE" "$what"
		;;
	lines) [ ! -f "$what" ] || uncomment "$what" || fail "cannot restore the lines of $what" ;;
	crontab)
		if crontab -u "$what" -l >"$SITE/crontab" 2>/dev/null; then
			uncomment "$SITE/crontab" && crontab -u "$what" "$SITE/crontab" || fail "cannot restore the crontab of $what"
		fi
		;;
	esac
	say "released $what"
}

main() {
	parse "$@"
	one_writer
	HELD=$STATE/held/${SITE##*/}
	# Set apart first: a second run finds either the whole list or what is left.
	[ ! -d "$HELD" ] || [ -d "$SITE/held" ] || mv "$HELD" "$SITE/held" || fail "cannot move $HELD"
	[ -d "$SITE/held" ] || { say "nothing is held"; return 0; }
	lines "$(cat "$SITE/held/units")$NL" release_unit
	lines "$(cat "$SITE/held/crons")$NL" release_cron
	rm -rf "$SITE/held"
}
