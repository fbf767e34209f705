# The prelude of every host script. It is put in front of the script's own
# text; the whole is read by "sh -s" before its last line calls main, so a
# text that arrived in part does nothing.
set -u
LC_ALL=C
export LC_ALL
PATH=${PATH:-/usr/bin:/bin}:/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin
export PATH
umask 022
SYSROOT=${NCFLEET_SYSROOT:-}
NL='
'
TAB='	'
NAME='' P='' DATA='' WEB='' PHP='' STATE='' URL='' RELOADS=''
ARCHIVE='' FETCH='' SHA512='' STAGED='' TO='' APPS_FROM='' KEEP='' FROM=''
ROUNDS=3 PINNED=no APPS='' WHO='' WHY='' UNITS='' CRONS='' REMOVES='' STAGEDS='' PROBE='' PORT='' SECONDS_MAX=600 LOGFILE='' CHECKS=yes WATCHDOG=0 CALM=''

say() { printf 'ncfleet: %s\n' "$*"; }

# fail says what, where, why and what to do, and ends the script.
fail() {
	say "error $*"
	printf '%s\n' "$*" >&2
	exit 1
}

now() {
	t=$(date +%s.%N 2>/dev/null)
	case $t in
	*[!0-9.]* | '') t=$(date +%s).0 ;;
	esac
	printf '%s\n' "$t"
}

# mark gives a moment a name; the controller reads durations from marks.
mark() { say "mark $1 $(now)"; }

parse() {
	while [ $# -gt 0 ]; do
		[ $# -ge 2 ] || fail "cannot read the arguments: $1 has no value"
		case $1 in
		--name) NAME=$2 ;;
		--path) P=$2 ;;
		--data) DATA=$2 ;;
		--user) WEB=$2 ;;
		--php) PHP=$2 ;;
		--state) STATE=$2 ;;
		--url) URL=${2%/} ;;
		--reload) RELOADS=$RELOADS$2$NL ;;
		--archive) ARCHIVE=$2 ;;
		--fetch) FETCH=$2 ;;
		--sha512) SHA512=$2 ;;
		--staged) STAGED=$2 STAGEDS=$STAGEDS$2$NL ;;
		--to) TO=$2 ;;
		--apps-from) APPS_FROM=$2 ;;
		--keep) KEEP=$2 ;;
		--from) FROM=$2 ;;
		--rounds) ROUNDS=$2 ;;
		--pinned) PINNED=$2 ;;
		--who) WHO=$2 ;;
		--why) WHY=$2 ;;
		--app) APPS=$APPS$2$NL ;;
		--unit) UNITS=$UNITS$2$NL ;;
		--cron) CRONS=$CRONS$2$NL ;;
		--remove) REMOVES=$REMOVES$2$NL ;;
		--probe) PROBE=$2 ;;
		--port) PORT=$2 ;;
		--seconds) SECONDS_MAX=$2 ;;
		--log) LOGFILE=$2 ;;
		--checks) CHECKS=$2 ;;
		--watchdog) WATCHDOG=$2 ;;
		*) fail "cannot read the arguments: unknown option $1" ;;
		esac
		shift 2
	done
	case $P$STAGED$KEEP$DATA$STATE in *"$NL"*) fail "a path with a line break is not supported" ;; esac
	[ -n "$STATE" ] && [ -n "$NAME" ] || fail "cannot start: --state and --name are needed"
	SITE=$STATE/sites/$(printf '%s' "$NAME" | tr / +)
	mkdir -p "$SITE" || fail "cannot make $SITE"
	chmod 700 "$STATE" "$SITE" 2>/dev/null
	P=${P%/}
}

need_tree() {
	case $P in /?*) ;; *) fail "cannot use the path '$P': it must be absolute" ;; esac
	[ -d "$P" ] || fail "there is no directory $P"
}

# one_writer makes this script the only one of ours that works on the site. A
# holder that is gone, or of an earlier boot, is replaced.
one_writer() {
	boot=$(cat /proc/sys/kernel/random/boot_id 2>/dev/null || echo none)
	tries=0
	until mkdir "$SITE/lock" 2>/dev/null; do
		read -r lpid lboot <"$SITE/lock/owner" 2>/dev/null || { lpid='' lboot=''; }
		if [ -n "$lpid" ] && [ "$lboot" = "$boot" ] && kill -0 "$lpid" 2>/dev/null; then
			[ "$tries" -lt 40 ] || fail "another run (pid $lpid) works on $NAME: wait until it ended"
			sleep 0.5 2>/dev/null || sleep 1
		elif [ -n "$lpid" ] || [ "$tries" -ge 4 ]; then
			rm -rf "$SITE/lock"
		else
			sleep 0.5 2>/dev/null || sleep 1
		fi
		tries=$((tries + 1))
		[ "$tries" -lt 60 ] || fail "cannot take the lock $SITE/lock"
	done
	# $$ would be the parent's in a subshell.
	echo "$(exec sh -c 'echo "$PPID"') $boot" >"$SITE/lock/owner"
	trap 'rm -rf "$SITE/lock"' EXIT
	trap 'exit 129' HUP
	trap 'exit 130' INT
	trap 'exit 143' TERM
}

# begin_change marks that this rollout now changes the site: from here on the
# watchdog leaves it alone. Refused once the watchdog has let users in, because
# what they wrote since then would be lost by going back.
begin_change() {
	[ ! -f "$SITE/reopened" ] || fail "$P was opened to its users at $(cat "$SITE/reopened") by the watchdog, because the controller was not heard: nothing was changed; make a new plan"
	[ -f "$SITE/changing" ] || : >"$SITE/changing" || fail "cannot write $SITE/changing"
}

# reserve keeps 4 MiB of the tree's disk while the site is closed; spare gives
# them back, so that a disk that fills up meanwhile cannot keep users out.
reserve() {
	[ -f "$P.ncfleet-reserve" ] || dd if=/dev/zero of="$P.ncfleet-reserve" bs=65536 count=64 2>"$SITE/err" || {
		spare
		fail "not enough room beside $P to close it safely: $(tail -n 1 "$SITE/err")"
	}
}

spare() { rm -f "$P.ncfleet-reserve"; }

# as_web runs a command as the web user, environment kept, without a shell.
as_web() {
	if [ "$(id -u)" != 0 ]; then
		if [ -n "$SYSROOT" ] || [ "$(id -un)" = "$WEB" ]; then
			"$@"
		else
			sudo -n -u "$WEB" -- "$@"
		fi
	elif command -v setpriv >/dev/null 2>&1 && setpriv --help 2>&1 | grep -q -e --init-groups; then
		setpriv --reuid "$WEB" --regid "$(id -g "$WEB")" --init-groups -- "$@"
	elif command -v runuser >/dev/null 2>&1; then
		runuser -u "$WEB" -- "$@"
	else
		su -s /bin/sh "$WEB" -c 'exec "$@"' sh "$@"
	fi
}

# occ runs with the priority of nice -n CALM where that is set.
occ() { (cd "$P" && as_web ${CALM:+nice -n "$CALM"} "$PHP" ${MEMORY:+-d "memory_limit=$MEMORY"} occ "$@" </dev/null); }

PHP_CONFIG_GET='
function ncfleet_read($f) { $CONFIG = null; if (is_file($f)) { include $f; } return is_array($CONFIG) ? $CONFIG : array(); }
function ncfleet_main($a) {
  $fs = array($a[2]); $d = dirname($a[2]);
  if (is_dir($a[2])) { $d = $a[2]; $fs = array("$d/config.php");
    foreach ((array)glob("$d/*.config.php") as $f) { if (strpos(basename($f), "zz-ncfleet") !== 0) { $fs[] = $f; } } }
  $c = array(); foreach ($fs as $f) { $c = array_merge($c, ncfleet_read($f)); }
  if (!$c) { fwrite(STDERR, "no readable \$CONFIG in $a[2]\n"); exit(1); }
  foreach (array_slice($a, 3) as $k) {
    if ($k === "@memory") { $v = ini_parse_quantity_compat((string)ini_get("memory_limit")); }
    elseif ($k === "@code") { $OC_Version = array(); include dirname($d) . "/version.php"; $v = implode(".", $OC_Version); }
    else { $v = array_key_exists($k, $c) ? json_encode($c[$k], JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE) : "unset"; }
    echo $k, " ", $v, "\n";
  }
}
function ini_parse_quantity_compat($s) { $n = (int)$s; switch (strtoupper(substr(trim($s), -1))) { case "G": $n *= 1024; case "M": $n *= 1024; case "K": $n *= 1024; } return $n; }
ncfleet_main($argv);'

# config_get FILE|DIR KEY...: lines "KEY JSON" or "KEY unset". A directory
# means config.php with its *.config.php, ours left out. @code is the version
# of the code, @memory the memory limit in bytes.
config_get() { as_web "$PHP" -r "$PHP_CONFIG_GET" -- ncfleet-config-get "$@" </dev/null; }

# versions sets CONFIG_VERSION, CODE_VERSION and MEMORY.
versions() {
	config_get "$P/config" version @code @memory >"$SITE/versions" 2>"$SITE/err" || fail "cannot read $P/config/config.php: $(tail -n 1 "$SITE/err")"
	CONFIG_VERSION=$(sed -n 's/^version "\(.*\)"$/\1/p' "$SITE/versions")
	CODE_VERSION=$(sed -n 's/^@code //p' "$SITE/versions")
	MEMORY=$(sed -n 's/^@memory //p' "$SITE/versions")
	# What is unlimited or large enough stays as the host has it.
	if [ "${MEMORY:-0}" -lt 0 ] || [ "${MEMORY:-0}" -ge 536870912 ]; then MEMORY=''; else MEMORY=512M; fi
}

PHP_CONFIG_SET='
function ncfleet_main($a) {
  $f = $a[2]; $h = @fopen($f, "r+");
  if (!$h || !flock($h, LOCK_EX)) { fwrite(STDERR, "cannot open $f for writing\n"); exit(1); }
  $CONFIG = null; include $f;
  if (!is_array($CONFIG) || !$CONFIG) { fwrite(STDERR, "no \$CONFIG in $f\n"); exit(1); }
  $old = $CONFIG;
  for ($i = 3; $i + 1 < count($a); $i += 2) {
    if ($a[$i + 1] === "unset") { unset($CONFIG[$a[$i]]); } else { $CONFIG[$a[$i]] = json_decode($a[$i + 1], true); }
  }
  if ($CONFIG === $old) { echo "unchanged\n"; return; }
  $t = "<?php\n\$CONFIG = " . var_export($CONFIG, true) . ";\n";
  $n = dirname($f) . "/.ncfleet-part.php"; $s = fstat($h); umask(0077); @unlink($n);
  $w = @fopen($n, "x");
  if ($w && fwrite($w, $t) === strlen($t) && fflush($w)) {
    if (function_exists("fsync")) { fsync($w); }
    @chgrp($n, $s["gid"]); $m = fstat($w);
    if ($m["uid"] === $s["uid"] && $m["gid"] === $s["gid"] && chmod($n, $s["mode"] & 07777) && rename($n, $f)) { echo "changed\n"; return; }
  } else { @unlink($n); fwrite(STDERR, "cannot write " . dirname($f) . ": disk full or not writable\n"); exit(1); }
  @unlink($n);
  if (!rewind($h) || !ftruncate($h, 0) || fwrite($h, $t) !== strlen($t) || !fflush($h)) { fwrite(STDERR, "cannot write $f\n"); exit(1); }
  echo "changed\n";
}
ncfleet_main($argv);'

# config_set FILE KEY JSON|unset ...: changes config.php alone, whole or not
# at all, under the lock that Nextcloud itself takes. It needs no database.
config_set() { as_web "$PHP" -r "$PHP_CONFIG_SET" -- ncfleet-config-set "$@" </dev/null; }

PHP_HTTP='
$c = stream_context_create(array("http" => array("timeout" => 5, "ignore_errors" => true, "follow_location" => 0, "user_agent" => "ncfleet"), "ssl" => array("verify_peer" => false, "verify_peer_name" => false)));
$b = @file_get_contents($argv[2], false, $c, 0, 65536);
if ($b === false || !preg_match("#^HTTP/\S+ (\d+)#", (string)($http_response_header[0] ?? ""), $m)) { fwrite(STDERR, (string)(error_get_last()["message"] ?? "no answer") . "\n"); exit(1); }
echo $m[1], "\n", $b;'

# http_get URL: sets CODE (000 when nothing answered) and leaves the body in
# $SITE/body. It only looks whether the site is closed, so any certificate does.
http_get() {
	if command -v curl >/dev/null 2>&1; then
		CODE=$(curl -s -k -m 5 -A ncfleet -o "$SITE/body" -w '%{http_code}' -- "$1" </dev/null 2>/dev/null) || CODE=000
	else
		CODE=000
		if as_web "$PHP" -r "$PHP_HTTP" -- ncfleet-http "$1" >"$SITE/answer" 2>/dev/null </dev/null; then
			CODE=$(head -n 1 "$SITE/answer")
			tail -n +2 "$SITE/answer" >"$SITE/body"
		fi
	fi
}

# code_version TREE: the four numbers of its version.php, read without PHP.
code_version() {
	[ -f "$1/version.php" ] || return 0
	sed -n 's/^[[:space:]]*\$OC_Version[[:space:]]*=[^0-9]*\([0-9][0-9, ]*\).*/\1/p' "$1/version.php" | head -n 1 | tr -d ' ' | tr , .
}

# is_release LONG SHORT: 29.0.1.1 is of 29.0.1.
is_release() { case $1. in "$2".*) return 0 ;; esac; return 1; }

# lines TEXT FUNCTION: calls FUNCTION once for each non-empty line.
lines() {
	lines_rest=$1
	while [ -n "$lines_rest" ]; do
		lines_one=${lines_rest%%"$NL"*}
		lines_rest=${lines_rest#*"$NL"}
		[ -z "$lines_one" ] || "$2" "$lines_one"
	done
}

# reload makes the web's PHP forget old code. Each line of RELOADS is an argv
# quoted for the shell by the controller.
reload() {
	reload_bad=''
	lines "$RELOADS" reload_one
	[ -z "$reload_bad" ]
}

reload_one() {
	if reload_out=$(eval "set -- $1" && "$@" 2>&1 </dev/null); then
		say "reloaded $1"
	else
		reload_bad=$1
		say "note cannot reload PHP with: $1: $(printf '%s' "$reload_out" | tail -n 1)"
	fi
}

# log_file sets LOG: the one that close.sh found, or what was given.
log_file() {
	LOG=${LOGFILE:-$DATA/nextcloud.log}
	[ ! -f "$SITE/log" ] || LOG=$(cut -d ' ' -f 3- "$SITE/log")
}

size_of() { stat -c '%i %s' "$1" 2>/dev/null || echo '0 0'; }

# errors_since INODE SIZE: entries of level 3 and 4 written since then.
errors_since() {
	set -- "$1" "$2" $(size_of "$LOG")
	skip=$2
	{ [ "$1" = "$3" ] && [ "$4" -ge "$2" ]; } || skip=0
	as_web tail -c "+$((skip + 1))" "$LOG" 2>/dev/null | head -c 16777216 | grep -a -e '"level":[34]' | tail -n 60 |
		sed -e 's/,"exception":{"Exception":"\([^"]*\)".*$/,"exception_class":"\1"}/' | cut -c 1-1200
}

# errors_since_close: what was logged since the site was closed.
errors_since_close() {
	[ -f "$SITE/log" ] || return 0
	read -r inode size rest <"$SITE/log"
	errors_since "$inode" "$size"
}

pause() { sleep "$1" 2>/dev/null || sleep 1; }

# processes SCRIPT: pids of PHP that run this script ("occ", "cron.php") of
# this tree, started with its full path or from within the tree.
processes() {
	for f in $(grep -l -s -a -F -e "$1" /proc/[0-9]*/cmdline 2>/dev/null); do
		d=${f%/cmdline}
		c=$({ tr '\000' ' ' <"$f"; } 2>/dev/null)
		case ${c%% *} in *php*) ;; *) continue ;; esac
		c=" $c "
		case $c in
		*" $P/$1 "*) printf '%s\n' "${d#/proc/}" ;;
		*" $1 "* | *" ./$1 "*) [ "$(readlink "$d/cwd" 2>/dev/null)" != "$P" ] || printf '%s\n' "${d#/proc/}" ;;
		esac
	done
}

# quiet SCRIPT SECONDS: waits until no such process is left.
quiet() {
	end=$(($(date +%s) + $2))
	while pids=$(processes "$1") && [ -n "$pids" ]; do
		[ "$(date +%s)" -lt "$end" ] || return 1
		pause 0.3
	done
}

# mounts_in DIR: mount points at or below DIR.
mounts_in() {
	awk -v d="$1" '{ m = $5; gsub(/\\040/, " ", m); if (m == d || index(m, d "/") == 1) print m }' /proc/self/mountinfo 2>/dev/null
}

# remove_tree PATH: only what is ours, beside the tree, and holds nothing else.
remove_tree() {
	[ -e "$1" ] || [ -L "$1" ] || return 0
	case $1 in
	"$P".ncfleet-*/* | *'/../'* | *'/..') fail "refused to remove $1: not a tree of ours" ;;
	"$P".ncfleet-?*) ;;
	*) fail "refused to remove $1: its name does not start with $P.ncfleet-" ;;
	esac
	if [ -L "$1" ]; then
		rm -f "$1"
		return
	fi
	case $DATA/ in "$1"/*) fail "refused to remove $1: it holds the data directory $DATA" ;; esac
	real=$(cd "$1" && pwd -P) || fail "cannot enter $1"
	data_real=$(cd "$DATA" 2>/dev/null && pwd -P) || data_real=$DATA
	case $data_real/ in "$real"/*) fail "refused to remove $1: it holds the data directory $data_real" ;; esac
	for d in "$real" "$real"/* "$real"/*/*; do
		# Every data directory has this file; a release has none.
		{ [ ! -f "$d/.ocdata" ] && [ ! -f "$d/.ncdata" ]; } || fail "refused to remove $1: users' files are in $d; move them to where they belong, then remove it by hand"
	done
	[ -z "$(mounts_in "$real")" ] || fail "refused to remove $1: $(mounts_in "$real" | head -n 1) is mounted in it; unmount it first"
	rm -rf "$1" || fail "cannot remove $1"
	say "removed $1"
}
