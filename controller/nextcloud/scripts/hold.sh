# hold: rival updaters stopped, each remembered as it was found in
# $STATE/held/NAME. A cron file is renamed to .ncfleet-held-FILE beside itself,
# which cron and run-parts ignore; in a crontab the updater's lines are
# commented out with a marker.
RIVAL='updater\.phar|occ +(upgrade|app:update|update)|apt(-get)? |dnf5? |yum |zypper |apk |microdnf |transactional-update|online_update|os-update|yum-cron|dnf-automatic|pkcon |unattended|auto-?update|ncp-update'

systemd_runs() { [ -d "$SYSROOT/run/systemd/system" ] && command -v systemctl >/dev/null 2>&1; }

hold_unit() {
	systemd_runs || { say "note systemd does not run: $1 is not held"; return 0; }
	if ! cut -f 1 "$HELD/units" 2>/dev/null | grep -q -x -F -e "$1"; then
		# Another site of this host may hold it already: what it found counts.
		known=$(cat "$STATE"/held/*/units 2>/dev/null | awk -F '\t' -v u="$1" '$1 == u { print; exit }')
		[ -n "$known" ] || known=$1$TAB$(systemctl is-active "$1" 2>/dev/null)$TAB$(systemctl is-enabled "$1" 2>/dev/null)
		printf '%s\n' "$known" >>"$HELD/units"
	fi
	# A run that is under way is not cut off: it may be installing packages.
	end=$(($(date +%s) + 900))
	case $1 in *.timer) job=${1%.timer}.service ;; *) job=$1 ;; esac
	case $1 in *.timer) systemctl stop "$1" 2>/dev/null ;; esac
	while [ "$(systemctl is-active "$job" 2>/dev/null)" = activating ]; do
		[ "$(date +%s)" -lt "$end" ] || fail "$job still runs after 15 minutes: wait until it ended, or stop it by hand"
		pause 2
	done
	systemctl disable "$1" >/dev/null 2>&1
	systemctl stop "$1" 2>"$SITE/err" || say "note cannot stop $1: $(tail -n 1 "$SITE/err")"
	# A unit of the administrator's own cannot be masked where its file lies: it
	# stays disabled.
	[ "$NAME" != @absent ] || systemctl mask "$1" >/dev/null 2>"$SITE/err" || say "note $1 is disabled, not masked: $(tail -n 1 "$SITE/err")"
	say "held $1"
}

# The survey names files as the host itself does, a simulated one's without
# its own root.
hold_cron() {
	case $1 in
	"$SYSROOT"/*) ;;
	/*) set -- "$SYSROOT$1" ;;
	esac
	case $1 in
	'crontab of '*) hold_crontab "${1#crontab of }" ;;
	"$SYSROOT"/var/spool/cron/*) hold_crontab "${1##*/}" ;;
	*/crontab) hold_lines "$1" ;;
	*) hold_file "$1" ;;
	esac
}

hold_file() {
	place_of "$1"
	h=$PLACE
	if [ "$NAME" = @absent ]; then
		mkdir -p "$STATE/aside" || fail "cannot make $STATE/aside"
		# The rollout holds it already.
		b=${1%/*}/.ncfleet-held-${1##*/}
		if [ -e "$b" ]; then
			{ [ ! -e "$h" ] || cmp -s "$b" "$h"; } || set_apart "$h" "$1"
			mv -f "$b" "$h" || fail "cannot move $b to $h"
		fi
	fi
	{ [ -e "$1" ] || [ -e "$h" ]; } || { say "note $1 is not there"; return 0; }
	if ! grep -q -x -F -e "file $1" "$HELD/crons" 2>/dev/null; then
		if owned "$1"; then echo "$1" >>"$HELD/owned"; fi
		echo "file $1" >>"$HELD/crons"
	fi
	if [ -e "$1" ]; then
		# Written again since it was held: the newer one counts.
		if [ -e "$h" ] && ! cmp -s "$1" "$h"; then
			set_apart "$h" "$1"
			say "note $1 was written again while it was held: the newer one is held now, the older one is $APART"
		fi
		mv -f "$1" "$h" || fail "cannot move $1 aside"
	fi
	say "held $1"
}

comment() {
	awk -v r="$RIVAL" -v m="#ncfleet-held:$NAME# " '$0 !~ /^[ \t]*(#|$)/ && $0 ~ r { print m $0; next } { print }' "$1" >"$SITE/cron.part" && cat "$SITE/cron.part" >"$1"
}

hold_lines() {
	[ -f "$1" ] || return 0
	grep -q -x -F -e "lines $1" "$HELD/crons" 2>/dev/null || echo "lines $1" >>"$HELD/crons"
	comment "$1" || fail "cannot comment out lines in $1"
	say "held lines of $1"
}

hold_crontab() {
	command -v crontab >/dev/null 2>&1 || return 0
	crontab -u "$1" -l >"$SITE/crontab" 2>/dev/null || return 0
	grep -q -x -F -e "crontab $1" "$HELD/crons" 2>/dev/null || echo "crontab $1" >>"$HELD/crons"
	comment "$SITE/crontab" && crontab -u "$1" "$SITE/crontab" || fail "cannot change the crontab of $1"
	say "held lines of the crontab of $1"
}

main() {
	parse "$@"
	one_writer
	HELD=$STATE/held/${SITE##*/}
	mkdir -p "$HELD" && touch "$HELD/units" "$HELD/crons" || fail "cannot make $HELD"
	if [ -n "$WHO" ]; then
		printf 'who\t%s\nat\t%s\nwhy\t%s\n' "$WHO" "$(date +%s)" "$WHY" >"$HELD/why.part" && mv -f "$HELD/why.part" "$HELD/why" || fail "cannot write $HELD/why"
	fi
	lines "$UNITS" hold_unit
	lines "$CRONS" hold_cron
}
