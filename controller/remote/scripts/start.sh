# usage: STATE RUN TOKEN MARK UNIT LINE KEEPER MAX SIZE, on stdin the command for
# people, MARK, and SIZE bytes for the command to read.
token=$1 mark=$2 unit=$3 line=$4 keeper=$5 oo=0 oe=0 mo=$6 me=$6 bytes=$7
mkdir -p "$state/runs" 2>/dev/null || fail "cannot create the state folder $state/runs"
guard "$token"
# attach answers with the run as another start claimed it; false when that one
# gave up meanwhile.
attach() {
	begun
	look
	[ "$phase" != never ] || return 1
	emit_all
	printf 'attached\n'
	report
}

# Whoever makes the folder owns the run. A start that gives up removes it, and
# then it is to have again, at most so many times.
tries=5
until mkdir "$run" 2>/dev/null; do
	if attach; then exit 0; fi
	tries=$((tries - 1))
	[ "$tries" -gt 0 ] || fail "cannot create the run folder $run: can it be written to? If so, other starts of this run gave up again and again: start again"
done

# On a full disk the reserve makes room for this run; its own standard input can
# be read only once, so that it is tried with other text first.
if ! printf '%262144s' '' 2>/dev/null >"$state/room"; then rm -f "$state/reserve"; fi
rm -f "$state/room"

save() {
	printf '%s\n' "$mark" >"$run/mark" && date +%s >"$run/claimed" &&
		boot && printf '%s\n' "$v" >"$run/boot_id" &&
		printf '%s\n' "$token" >"$run/token" &&
		printf '%s\n' "$line" >"$run/line" &&
		printf '%s\n' "$keeper" >"$run/keeper" &&
		printf '' >"$run/stdout" && printf '' >"$run/stderr" &&
		while IFS= read -r l && [ "$l" != "$mark" ]; do
			printf '%s\n' "$l" || return 1
		done >"$run/command" &&
		[ "$l" = "$mark" ] && cat >"$run/stdin" &&
		[ "$(($(wc -c <"$run/stdin")))" = "$bytes" ]
}

# give_up frees the id, at once by a rename: nobody sees half a folder. A folder
# that was forgotten and claimed anew meanwhile is another start's.
give_up() {
	first "$run/mark"
	if [ -n "$v" ] && [ "$v" != "$mark" ]; then return 0; fi
	gone=$state/runs/.gone.$$
	mv "$run" "$gone" 2>/dev/null || gone=$run
	rm -rf "$gone"
}

if ! save 2>/dev/null; then
	give_up
	fail "cannot write the run folder $run: is the disk full, or was the connection lost?"
fi

# The scope takes the run out of the login session, which would otherwise take
# it along at logout where KillUserProcesses is set. A second keeper ends at once.
# shellcheck disable=SC2016 # expands later
launch='if [ -d /run/systemd/system ] && [ "$(id -u)" = 0 ] &&
command -v systemd-run >/dev/null 2>&1; then
systemd-run --scope --quiet --unit="$2" setsid sh "$1/keeper" "$1"; fi
exec sh "$1/keeper" "$1"'
# Whoever takes the lease over from here on finds the run claimed; one that was
# passed by while it read or wrote starts nothing.
lock
verdict "$token"
if [ -n "$refused" ]; then
	unlock
	give_up
	tell "$refused"
	exit 0
fi
if command -v setsid >/dev/null 2>&1; then
	setsid sh -c "$launch" sh "$run" "$unit" </dev/null >/dev/null 2>&1 &
else
	trap '' HUP
	sh "$run/keeper" "$run" </dev/null >/dev/null 2>&1 &
fi
unlock
begun || detail=
look
report
