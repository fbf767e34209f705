# usage: sh keeper RUN
# Runs the command of a detached run and leaves its exit status. Only the
# first keeper of a run does anything.
set -u
umask 077
cd "$1" || exit 0

start() {
	s_line=
	{ IFS= read -r s_line <"/proc/$1/stat"; } 2>/dev/null || return 0
	# shellcheck disable=SC2086 # split on purpose
	set -- ${s_line##*) }
	shift 19
	printf '%s' "$1"
}
(
	set -C
	printf '%s %s\n' "$$" "$(start "$$")" >pid
) 2>/dev/null || exit 0
date +%s >started
exec 3<stdin
rm -f stdin
line=$(cat line)
trap : HUP INT QUIT TERM
(
	# The command must not inherit the mask of these files.
	umask 022
	cd /
	exec sh -c "$line"
) <&3 3<&- >stdout 2>stderr &
child=$!
exec 3<&-
printf '%s %s\n' "$child" "$(start "$child")" >child
while :; do
	wait "$child"
	rc=$?
	# A caught signal ends wait as well, while the command goes on.
	if [ "$rc" -gt 128 ] && kill -0 "$child" 2>/dev/null; then
		continue
	fi
	break
done
date +%s >ended
if printf '%s\n' "$rc" >rc.tmp 2>/dev/null && mv rc.tmp rc; then
	exit 0
fi
# A full disk still takes a new name for an old file.
mv claimed "rc.is.$rc"
