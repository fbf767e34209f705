# What opens a closed site again: of open.sh, and of the watchdog in close.sh.
# It needs no database, and done twice it has the effect of once.

restore_settings() {
	set -- maintenance false
	if [ -f "$SITE/before" ]; then
		while read -r key value; do
			case $key in
			upgrade.disable-web | appstoreenabled | loglevel) set -- "$@" "$key" "$value" ;;
			esac
		done <"$SITE/before"
	fi
	config_set "$P/config/config.php" "$@" >"$SITE/out" 2>"$SITE/err" ||
		fail "cannot end maintenance mode in $P/config/config.php: $(tail -n 1 "$SITE/err")"
	say "config $(tail -n 1 "$SITE/out")"
}

resume_cron() {
	[ -f "$SITE/paused" ] || return 0
	while read -r kind what; do
		case $kind in
		file) [ ! -f "$what" ] || uncomment "$what" || fail "cannot resume the background jobs in $what" ;;
		crontab)
			crontab -u "$what" -l >"$SITE/crontab" 2>/dev/null && uncomment "$SITE/crontab" && crontab -u "$what" "$SITE/crontab" ||
				fail "cannot resume the background jobs in the crontab of $what"
			;;
		timer) systemctl start "$what" || fail "cannot start the timer $what" ;;
		esac
		say "resumed $kind $what"
	done <"$SITE/paused"
}

uncomment() {
	awk -v m="#ncfleet:$NAME# " 'index($0, m) == 1 { print substr($0, length(m) + 1); next } { print }' "$1" >"$SITE/cron.part" &&
		cat "$SITE/cron.part" >"$1"
}

# seen_open: 0 open, 1 closed, 2 cannot tell.
seen_open() {
	http_get "$URL/status.php"
	[ "$CODE" = 200 ] && grep -q '"maintenance"' "$SITE/body" || return 2
	grep -q '"maintenance":false' "$SITE/body" || return 1
	http_get "$URL/index.php/login"
	[ "$CODE" != 503 ]
}

wait_open() {
	[ -n "$URL" ] || { say "seen unknown: no URL"; return 0; }
	end=$(($(date +%s) + 90)) n=0
	while :; do
		seen_open
		case $? in
		0)
			mark open-seen
			say "seen open"
			return 0
			;;
		2)
			if [ "$n" -ge 20 ]; then
				say "seen unknown: $URL/status.php answers $CODE from this host"
				return 0
			fi
			;;
		esac
		[ "$(date +%s)" -lt "$end" ] || fail "$URL is still closed 90 s after maintenance mode was ended (HTTP $CODE): look at $P/config/config.php and reload PHP"
		n=$((n + 1))
		[ $((n % 20)) != 10 ] || reload
		pause 0.1
	done
}

# let_in: settings as close.sh found them, then our file in config/ goes, which
# opens the site at once, then background jobs.
let_in() {
	spare
	restore_settings
	reload
	rm -f "$P"/config/zz-ncfleet*.config.php "$P"/config/zz-ncfleet*.config.php.part || fail "cannot remove $P/config/zz-ncfleet.config.php"
	mark opened
	wait_open
	resume_cron
	rm -f "$SITE/before" "$SITE/paused" "$SITE/changing" "$SITE/restoring"
}
