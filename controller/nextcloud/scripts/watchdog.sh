# The watchdog of a closed site, started by close.sh as a process of its run. It
# lets users in when nothing was changed yet and the controller was not heard
# for $WATCHDOG seconds. From the first change on the site is no longer its
# matter: begin_change and the watchdog exclude each other by one_writer.
#
# Time is counted in its own naps, so that neither a clock that jumps nor a host
# that slept opens a site early. It does not outlive a reboot.

# heard changes whenever a controller asks this host anything.
heard() { cat "$STATE/heard" 2>/dev/null; }

watchdog() {
	nap=$((WATCHDOG / 5))
	[ "$nap" -ge 1 ] || nap=1
	[ "$nap" -le 20 ] || nap=20
	last=$(heard) quiet_for=0 tries=0
	while sleep "$nap"; do
		[ "$(cat "$SITE/watchdog" 2>/dev/null)" = "$1" ] || return 0
		[ -f "$P/config/zz-ncfleet.config.php" ] && [ ! -f "$SITE/changing" ] || return 0
		new=$(heard)
		if [ "$new" != "$last" ]; then
			last=$new quiet_for=0
			continue
		fi
		quiet_for=$((quiet_for + nap))
		[ "$quiet_for" -ge "$WATCHDOG" ] || continue
		(let_in_alone "$last") && return 0
		tries=$((tries + 1))
		[ "$tries" -lt 50 ] || return 1
	done
}

# let_in_alone SEEN: nothing is done when the controller came back or a change
# began before the lock was had.
let_in_alone() {
	one_writer
	[ ! -f "$SITE/changing" ] && [ -f "$P/config/zz-ncfleet.config.php" ] && [ "$(heard)" = "$1" ] || return 0
	date -u +%Y-%m-%dT%H:%M:%SZ >"$SITE/reopened.part" && mv "$SITE/reopened.part" "$SITE/reopened" || return 1
	let_in
}

# start_watchdog replaces the one of an earlier close. It holds none of the
# run's files open.
start_watchdog() {
	[ "$WATCHDOG" -gt 0 ] || return 0
	id=$$.$(date +%s)
	echo "$id" >"$SITE/watchdog" || fail "cannot write $SITE/watchdog"
	watchdog "$id" >>"$SITE/watchdog.log" 2>&1 </dev/null &
	say "watchdog $WATCHDOG"
}
