# usage: STATE RUN GRACE TOKEN
# Ends the command of a run and everything it started in its group, session or
# descent: TERM, and after GRACE seconds KILL. The keeper stays and tells the end.
grace=$1
guard "$2"
look
if [ "$phase" = never ]; then fail "no such run: $run"; fi
if [ "$phase" != running ]; then
	report
	exit 0
fi
first "$run/pid"
keeper=${v%% *}
[ -n "$keeper" ] || fail "the run has not begun yet: $run"

# family: the processes of the run without its keeper into members, each as
# PID:START; whoever belonged to it once still does.
members=
family() {
	known=" $keeper " left=
	for m in $members; do
		alive "${m%%:*}" "${m#*:}" || continue
		known="$known${m%%:*} "
		left="$left $m"
	done
	members=$left
	grown=yes
	while [ "$grown" = yes ]; do
		grown=no
		for p in /proc/[0-9]*; do
			p=${p#/proc/}
			case $known in *" $p "*) continue ;; esac
			stat "$p" || continue
			if [ "$s_pgrp" != "$keeper" ] && [ "$s_sid" != "$keeper" ]; then
				case $known in *" $s_ppid "*) ;; *) continue ;; esac
			fi
			known="$known$p "
			members="$members $p:$s_start"
			grown=yes
		done
	done
}

signal() {
	if [ ! -r /proc/self/stat ]; then
		first "$run/child"
		[ "$phase" != running ] || members=$(printf '%s' "$v" | tr ' ' ':')
		for m in $members; do kill -s "$1" "${m%%:*}" 2>/dev/null; done
		return 0
	fi
	family
	for m in $members; do kill -s "$1" "${m%%:*}" 2>/dev/null; done
	return 0
}

# going: whether the run or one of its processes lives.
going() {
	look
	[ "$phase" != running ] || return 0
	for m in $members; do
		if alive "${m%%:*}" "${m#*:}"; then return 0; fi
	done
	return 1
}

signal TERM
n=0
while going && [ "$n" -lt "$((grace * naps))" ]; do
	nap
	n=$((n + 1))
done
n=0
while going && [ "$n" -lt "$((5 * naps))" ]; do
	signal KILL
	nap
	n=$((n + 1))
done
if going; then fail "the run does not end, not even after KILL: $run"; fi
report
