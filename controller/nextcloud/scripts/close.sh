# close: users out. Background jobs are paused and waited for, every web
# request is answered by our own file in config/ and maintenance mode is on;
# then the site is looked at until it is seen closed. What was changed is
# remembered in $SITE/before first; open.sh puts it back.
ZZ='<?php
// Written by ncfleet: this site is closed for an upgrade. Removed when it opens again.
$CONFIG = array("maintenance" => true);
if (PHP_SAPI !== "cli" && getenv("NC_maintenance") !== "0") {
	$ncfleetScript = (string)($_SERVER["SCRIPT_NAME"] ?? "");
	header("Cache-Control: no-store");
	if (substr($ncfleetScript, -11) === "/status.php") {
		$OC_Version = array(); $OC_VersionString = "";
		include dirname(__DIR__) . "/version.php";
		header("Access-Control-Allow-Origin: *");
		header("Content-Type: application/json");
		echo json_encode(array("installed" => true, "maintenance" => true, "needsDbUpgrade" => false,
			"version" => implode(".", $OC_Version), "versionstring" => $OC_VersionString,
			"edition" => "", "productname" => "Nextcloud", "extendedSupport" => false));
		exit;
	}
	http_response_code(503);
	header("Retry-After: 120");
	header("X-Nextcloud-Maintenance-Mode: 1");
	if (preg_match("#/(remote|public)\.php$#", $ncfleetScript)) {
		header("Content-Type: application/xml; charset=utf-8");
		echo "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<d:error xmlns:d=\"DAV:\" xmlns:s=\"http://sabredav.org/ns\">\n",
			"  <s:exception>OCA\\DAV\\Connector\\Sabre\\Exception\\ServerMaintenanceMode</s:exception>\n",
			"  <s:message>System is in maintenance mode.</s:message>\n</d:error>\n";
	} else {
		header("Content-Type: text/html; charset=utf-8");
		echo "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta http-equiv=\"refresh\" content=\"20\"><title>Maintenance</title></head>",
			"<body style=\"font-family:sans-serif;text-align:center;padding-top:15vh\"><h1>Maintenance mode</h1>",
			"<p>This site is being upgraded, which may take a while. This page will refresh itself when it is available again.</p></body></html>\n";
	}
	exit;
}
'

KEYS='maintenance upgrade.disable-web appstoreenabled loglevel'

# remember keeps the settings as they were before the first close.
remember() {
	[ -f "$SITE/before" ] && return 0
	# shellcheck disable=SC2086
	config_get "$P/config/config.php" $KEYS logfile >"$SITE/before.part" 2>"$SITE/err" ||
		fail "cannot read $P/config/config.php as $WEB with $PHP: $(tail -n 1 "$SITE/err")"
	[ "$(grep -c . "$SITE/before.part")" = 5 ] || fail "cannot read the settings in $P/config/config.php with $PHP"
	: >"$SITE/paused"
	log=$(sed -n 's/^logfile "\(.*\)"$/\1/p' "$SITE/before.part")
	log=${LOGFILE:-${log:-$DATA/nextcloud.log}}
	printf '%s %s\n' "$(size_of "$log")" "$log" >"$SITE/log"
	mv "$SITE/before.part" "$SITE/before"
}

PHP_STORE='
$t = microtime(true);
$c = stream_context_create(array("http" => array("method" => "HEAD", "timeout" => 2, "ignore_errors" => true, "user_agent" => "ncfleet"), "ssl" => array("verify_peer" => false)));
$h = @fopen($argv[2], "r", false, $c); $s = microtime(true) - $t;
echo $h ? "reachable" : ($s > 1.5 ? "hangs" : "refused"), "\n";'

# check_store finds out whether the app store would hang: a minute of closed
# time for nothing. A store that refuses at once does no harm.
check_store() {
	STORE_OFF=''
	config_get "$P/config" appstoreenabled appstoreurl has_internet_connection proxy >"$SITE/store" 2>/dev/null || return 0
	grep -q -x -e 'appstoreenabled false' -e 'has_internet_connection false' "$SITE/store" && return 0
	grep -q -x -e 'proxy unset' -e 'proxy ""' "$SITE/store" || return 0
	store=$(sed -n 's/^appstoreurl "\(.*\)"$/\1/p' "$SITE/store")
	seen=$(as_web "$PHP" -r "$PHP_STORE" -- ncfleet-store "${store:-https://apps.nextcloud.com/api/v1}/apps.json" 2>/dev/null </dev/null)
	say "store ${seen:-unknown}"
	if [ "$seen" = hangs ]; then
		STORE_OFF=yes
		say "note the app store does not answer within 2 s: it is switched off while the site is closed, apps are not updated"
	fi
}

cron_line() { grep -F -e "$P/cron.php" "$1" 2>/dev/null | grep -v -q '^[[:space:]]*#'; }

# pause_cron comments out the lines that start this tree's cron.php, and stops
# timers that do. In maintenance mode cron.php ends by itself; this keeps it
# away from a tree that is half swapped.
pause_cron() {
	for f in "$SYSROOT/etc/crontab" "$SYSROOT"/etc/cron.d/*; do
		[ -f "$f" ] && cron_line "$f" || continue
		grep -q -x -F -e "file $f" "$SITE/paused" || echo "file $f" >>"$SITE/paused"
		comment "$f" || fail "cannot pause the background jobs in $f"
		say "paused $f"
	done
	if [ -z "$SYSROOT" ] && command -v crontab >/dev/null 2>&1; then
		if crontab -u "$WEB" -l >"$SITE/crontab" 2>/dev/null && cron_line "$SITE/crontab"; then
			grep -q -x -F -e "crontab $WEB" "$SITE/paused" || echo "crontab $WEB" >>"$SITE/paused"
			comment "$SITE/crontab" && crontab -u "$WEB" "$SITE/crontab" || fail "cannot pause the background jobs in the crontab of $WEB"
			say "paused crontab of $WEB"
		fi
	fi
	[ -d "$SYSROOT/run/systemd/system" ] || return 0
	for f in $(grep -l -s -F -e "$P/cron.php" "$SYSROOT"/etc/systemd/system/*.service 2>/dev/null); do
		u=${f##*/}
		u=${u%.service}.timer
		[ "$(systemctl is-active "$u" 2>/dev/null)" = active ] || continue
		grep -q -x -F -e "timer $u" "$SITE/paused" || echo "timer $u" >>"$SITE/paused"
		systemctl stop "$u" || fail "cannot stop the timer $u"
		say "paused $u"
	done
}

comment() {
	awk -v p="$P/cron.php" -v m="#ncfleet:$NAME# " 'index($0, p) && $0 !~ /^[ \t]*#/ { print m $0; next } { print }' "$1" >"$SITE/cron.part" &&
		cat "$SITE/cron.part" >"$1"
}

write_zz() {
	zz=$P/config/zz-ncfleet.config.php
	if [ ! -f "$zz" ] || [ "$(cat "$zz")" != "$(printf %s "$ZZ")" ]; then
		printf '%s' "$ZZ" | as_web sh -c 'umask 027; cat >"$1.part" && mv "$1.part" "$1"' sh "$zz" ||
			fail "cannot write $zz as $WEB: the web user must be able to write $P/config"
	fi
}

# seen_closed: 0 closed, 1 open, 2 cannot tell.
seen_closed() {
	http_get "$URL/status.php"
	[ "$CODE" = 200 ] && grep -q '"maintenance"' "$SITE/body" || return 2
	grep -q '"maintenance":true' "$SITE/body" || return 1
	http_get "$URL/index.php/login"
	[ "$CODE" = 503 ]
}

wait_closed() {
	[ -n "$URL" ] || { say "seen unknown: no URL"; return 0; }
	end=$(($(date +%s) + 90)) n=0
	while :; do
		seen_closed
		case $? in
		0)
			mark closed-seen
			say "seen closed"
			return 0
			;;
		2)
			if [ "$n" -ge 5 ]; then
				say "seen unknown: $URL/status.php answers $CODE from this host"
				return 0
			fi
			;;
		esac
		[ "$(date +%s)" -lt "$end" ] || fail "$URL still lets users in after 90 s (HTTP $CODE): reload PHP on this host, see the reload commands of the plan"
		n=$((n + 1))
		[ $((n % 20)) != 10 ] || reload
		pause 0.1
	done
}

no_cron() {
	quiet cron.php "$1" || fail "a background job (cron.php, pid $(processes cron.php | tr '\n' ' ')) of $P still runs after $1 s: try again when it ended"
}

main() {
	parse "$@"
	need_tree
	one_writer
	rm -f "$SITE/changing" "$SITE/restoring" "$SITE/reopened" "$SITE/watchdog"
	remember
	reserve
	if [ ! -f "$P/config/zz-ncfleet.config.php" ]; then
		check_store
		pause_cron
		# Users are still in: jobs may take their time. One of Nextcloud's own
		# sleeps for up to three minutes.
		no_cron 300
	fi
	mark close-begin
	write_zz
	# Before anything can go wrong: users are out from here on.
	start_watchdog
	mark closed
	config_set "$P/config/config.php" maintenance true upgrade.disable-web true ${STORE_OFF:+appstoreenabled false} >"$SITE/out" 2>"$SITE/err" ||
		fail "cannot set maintenance mode in $P/config/config.php: $(tail -n 1 "$SITE/err")"
	wait_closed
	# The reload also ends requests that began before the site was closed.
	reload
	no_cron 60
	mark close-end
}
