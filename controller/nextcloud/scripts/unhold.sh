# unhold: rival updaters as hold.sh found them. What another site of this host
# still holds stays held.
shared() { grep -q -F -e "$1" "$STATE"/held/*/"$2" 2>/dev/null; }

uncomment() {
	awk -v m="#ncfleet-held:$NAME# " 'index($0, m) == 1 { print substr($0, length(m) + 1); next } { print }' "$1" >"$SITE/cron.part" && cat "$SITE/cron.part" >"$1"
}

release_unit() {
	unit=${1%%"$TAB"*} rest=${1#*"$TAB"}
	if shared "$unit$TAB" units; then
		say "still held by another site: $unit"
		return 0
	fi
	case ${rest#*"$TAB"} in enabled*) systemctl enable "$unit" >/dev/null 2>&1 || fail "cannot enable $unit" ;; esac
	case ${rest%%"$TAB"*} in active*) systemctl start "$unit" 2>"$SITE/err" || fail "cannot start $unit: $(tail -n 1 "$SITE/err")" ;; esac
	say "released $unit"
}

release_cron() {
	kind=${1%% *} what=${1#* }
	case $kind in
	file)
		if shared "file $what" crons; then return 0; fi
		h=${what%/*}/.ncfleet-held-${what##*/}
		if [ -e "$h" ]; then
			if [ -e "$what" ]; then
				rm -f "$h"
				say "note $what was written again while it was held; the newer one stays"
			else
				mv "$h" "$what" || fail "cannot move $h back to $what"
			fi
		fi
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
