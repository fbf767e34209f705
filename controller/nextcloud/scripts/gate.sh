# gate: the private door. While users see 503, PHP serves the tree on a
# loopback port with NC_maintenance=0, for whoever sends the token in
# $NCFLEET_DOOR. A probe user is made with the password in $OC_PASS. Beside the
# site the door serves /.ncfleet/state, what became of the probe user, and
# /.ncfleet/stop, which closes it. It closes too when $SITE/door-stop appears,
# and after --seconds, whatever becomes of the controller; the probe user goes
# with it.
ROUTER='<?php
$t = (string)getenv("NCFLEET_DOOR");
if ($t === "" || !hash_equals($t, (string)($_SERVER["HTTP_X_NCFLEET_DOOR"] ?? ""))) { http_response_code(403); echo "closed\n"; return; }
unset($_SERVER["HTTP_X_NCFLEET_DOOR"], $t);
if ($_SERVER["REQUEST_URI"] === "/.ncfleet/state") { readfile(__DIR__ . "/state"); return; }
if ($_SERVER["REQUEST_URI"] === "/.ncfleet/stop") { touch(__DIR__ . "/sessions/stop"); return; }
$ncfRoot = $_SERVER["DOCUMENT_ROOT"];
$ncfPath = rawurldecode((string)parse_url("http://x" . $_SERVER["REQUEST_URI"], PHP_URL_PATH));
if (strpos($ncfPath, "..") !== false || strpos($ncfPath, "\0") !== false) { http_response_code(400); return; }
if (preg_match("#^/(?:build|tests|config|lib|3rdparty|templates|data)(?:/|$)|^/(?:\.|autotest|occ|issue|indie|db_|console)#", $ncfPath)) { http_response_code(404); return; }
$ncfInfo = "";
if (preg_match("#^(/(?:index|remote|public|status|ocs/v[12]|ocs-provider/index)\.php)(/.*)?$#", $ncfPath, $ncfM)) { $ncfScript = $ncfM[1]; $ncfInfo = $ncfM[2] ?? ""; }
else {
  $ncfTypes = array("css" => "text/css", "js" => "text/javascript", "mjs" => "text/javascript", "svg" => "image/svg+xml", "png" => "image/png", "jpg" => "image/jpeg", "ico" => "image/x-icon", "webp" => "image/webp", "woff" => "font/woff", "woff2" => "font/woff2", "map" => "application/json", "json" => "application/json", "txt" => "text/plain", "wasm" => "application/wasm");
  $ncfType = $ncfTypes[strtolower(pathinfo($ncfPath, PATHINFO_EXTENSION))] ?? "";
  foreach (array($ncfPath, (string)preg_replace("#^/[^/]+#", "", $ncfPath)) as $ncfFile) {
    $ncfReal = $ncfType === "" || $ncfFile === "" ? false : realpath($ncfRoot . $ncfFile);
    if ($ncfReal === false || !is_file($ncfReal) || strpos($ncfReal . "/", getenv("NCFLEET_DATA") . "/") === 0) { continue; }
    header("Content-Type: " . $ncfType); readfile($ncfReal); return;
  }
  $ncfScript = "/index.php"; $ncfInfo = $ncfPath === "/" ? "" : $ncfPath;
}
if (!is_file($ncfRoot . $ncfScript)) { http_response_code(404); echo "no such script\n"; return; }
$_SERVER["SCRIPT_NAME"] = $ncfScript; $_SERVER["SCRIPT_FILENAME"] = $ncfRoot . $ncfScript; $_SERVER["PHP_SELF"] = $ncfScript . $ncfInfo;
if ($ncfInfo !== "") { $_SERVER["PATH_INFO"] = $ncfInfo; } else { unset($_SERVER["PATH_INFO"]); }
chdir(dirname($ncfRoot . $ncfScript));
unset($ncfPath, $ncfInfo, $ncfM, $ncfTypes, $ncfType, $ncfFile, $ncfReal);
require $ncfRoot . $ncfScript;
'

DOOR='' DOOR_PID='' PROBE_MADE=''

# end_door tells PHP with its workers to end; they are a session of their own.
end_door() { [ -z "$DOOR_PID" ] || kill -TERM "-$DOOR_PID" 2>/dev/null; }

# close_door ends what is left of them.
close_door() {
	if [ -n "$DOOR_PID" ]; then
		# Not waited for: the workers are orphans then, and whoever reaps them
		# may take its time.
		kill -KILL "-$DOOR_PID" 2>/dev/null
		DOOR_PID=''
	fi
	[ -z "$DOOR" ] || rm -rf "$DOOR"
	DOOR=''
}

open_door() {
	DOOR=$(mktemp -d "${TMPDIR:-/tmp}/ncfleet-door.XXXXXX") || fail "cannot make a directory in ${TMPDIR:-/tmp}"
	chmod 711 "$DOOR"
	printf '%s' "$ROUTER" >"$DOOR/door.php"
	chmod 644 "$DOOR/door.php"
	: >"$DOOR/state"
	chmod 644 "$DOOR/state"
	mkdir "$DOOR/sessions" && chmod 700 "$DOOR/sessions"
	[ "$(id -u)" != 0 ] || chown "$WEB" "$DOOR/sessions"
	tries=0
	while :; do
		port=$PORT
		[ -n "$port" ] && [ "$tries" = 0 ] || port=$(awk -v s="$$$tries$(date +%S)" 'BEGIN { srand(s); print 20000 + int(rand() * 40000) }')
		door_once "$port" && break
		tries=$((tries + 1))
		[ "$tries" -lt 10 ] || fail "cannot serve the private door with $PHP -S: $(tail -n 1 "$SITE/door.log")"
	done
	mark door-open
	say "port $port"
}

door_once() {
	rm -f "$SITE/door.pid" "$SITE/door.log"
	# shellcheck disable=SC2016
	(
		cd "$P" || exit 1
		# Without a skeleton the probe's first login copies no files and leaves no
		# rows about them behind when it is removed.
		export NC_maintenance=0 NC_skeletondirectory='' NC_templatedirectory='' PHP_CLI_SERVER_WORKERS=4 NCFLEET_DATA="$DATA"
		as_web setsid sh -c 'echo "$$" >&3; exec 3>&-; exec "$@"' sh $DEADLINE "$PHP" -d memory_limit=512M \
			-d upload_max_filesize=64M -d post_max_size=64M -d output_buffering=0 -d session.save_path="$DOOR/sessions" \
			-S "127.0.0.1:$1" -t "$P" "$DOOR/door.php" 3>"$SITE/door.pid" >"$SITE/door.log" 2>&1 </dev/null
	) &
	i=0
	while [ "$i" -lt 100 ]; do
		i=$((i + 1))
		pause 0.05
		DOOR_PID=$(cat "$SITE/door.pid" 2>/dev/null)
		if grep -q -a 'started' "$SITE/door.log" 2>/dev/null; then return 0; fi
		if [ -n "$DOOR_PID" ] && ! kill -0 "$DOOR_PID" 2>/dev/null; then break; fi
	done
	kill -KILL "-$DOOR_PID" 2>/dev/null
	return 1
}

occ_open() { (NC_maintenance=0 && export NC_maintenance && occ "$@"); }

# remove_probe deletes the user with its files; a user that is not there is
# not an error.
remove_probe() {
	occ_open user:delete "$1" >"$SITE/probe.out" 2>&1
	if grep -q -a -i -e 'was deleted' -e 'does not exist' "$SITE/probe.out"; then
		case $1 in ncfleet-probe-?*) [ ! -d "$DATA/$1" ] || rm -rf "${DATA:?}/$1" ;; esac
		rm -f "$SITE/probe"
		say "probe removed"
	else
		say "note the probe user $1 could not be removed: $(grep -a . "$SITE/probe.out" | tail -n 1)"
	fi
}

make_probe() {
	if [ -f "$SITE/probe" ]; then remove_probe "$(cat "$SITE/probe")"; fi
	echo "$PROBE" >"$SITE/probe"
	if occ_open user:add --password-from-env --display-name=ncfleet -- "$PROBE" >"$SITE/probe.add" 2>&1; then
		probe_state="probe ready"
	else
		probe_state="probe failed: $(grep -a . "$SITE/probe.add" | tail -n 1)"
	fi
	mark probe-made
	say "$probe_state"
	printf '%s\n' "$probe_state" >"$DOOR/state"
}

# section NAME COMMAND...: its output whole between two lines, with its exit.
section() {
	name=$1
	shift
	"$@" >"$SITE/section-$name" 2>"$SITE/section-$name.err"
	echo $? >"$SITE/section-$name.rc"
	mark "$name-end"
}

tell() {
	[ -f "$SITE/section-$1.rc" ] || return 0
	say "begin $1"
	cat "$SITE/section-$1"
	echo
	say "end $1 $(cat "$SITE/section-$1.rc") $(tail -n 1 "$SITE/section-$1.err")"
	rm -f "$SITE/section-$1" "$SITE/section-$1.err" "$SITE/section-$1.rc"
}

main() {
	parse "$@"
	need_tree
	one_writer
	trap 'end_door; pause 0.1; close_door; [ -z "$PROBE_MADE" ] || remove_probe "$PROBE"; rm -rf "$SITE/lock"' EXIT
	rm -f "$SITE/door-stop"
	log_file
	LOG_START=$(size_of "$LOG")
	DEADLINE=''
	if command -v timeout >/dev/null 2>&1; then DEADLINE="timeout -s KILL $SECONDS_MAX"; fi
	versions
	open_door
	probe_pid='' list_pid='' checks_pid=''
	if [ -n "$PROBE" ]; then
		PROBE_MADE=yes
		make_probe &
		probe_pid=$!
	fi
	# The probe user is what the controller waits for: these give way to it.
	CALM=10
	section app-list occ_open app:list --output=json &
	list_pid=$!
	if [ "$CHECKS" = yes ]; then
		section setupchecks occ_open setupchecks --output=json &
		checks_pid=$!
	fi
	CALM=''
	end=$(($(date +%s) + SECONDS_MAX))
	while [ ! -f "$SITE/door-stop" ] && [ ! -f "$DOOR/sessions/stop" ]; do
		[ "$(date +%s)" -lt "$end" ] || { say "note the door closed by itself after $SECONDS_MAX s"; break; }
		kill -0 "$DOOR_PID" 2>/dev/null || { say "note the door's PHP is gone: $(tail -n 1 "$SITE/door.log")"; break; }
		pause 0.1
	done
	mark looked
	end_door
	[ -z "$probe_pid" ] || wait "$probe_pid"
	if [ -n "$PROBE_MADE" ]; then
		remove_probe "$PROBE"
		PROBE_MADE=''
		mark probe-removed
	else
		pause 0.1
	fi
	close_door
	mark door-closed
	wait "$list_pid"
	tell app-list
	[ -z "$checks_pid" ] || wait "$checks_pid"
	[ "$CHECKS" != yes ] || tell setupchecks
	# shellcheck disable=SC2046
	section log-gate errors_since $LOG_START
	tell log-gate
	section log-closed errors_since_close
	tell log-closed
	rm -f "$SITE/door-stop"
	mark gate-end
}
