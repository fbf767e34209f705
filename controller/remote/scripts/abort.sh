# usage: STATE RUN GRACE
# Ends the command of a run and everything it started in its group, session or
# family: TERM, and after GRACE seconds KILL. The keeper stays and tells the end.
grace=$1
look
if [ "$phase" = never ]; then fail "no such run: $run"; fi
if [ "$phase" != running ]; then
	report
	exit 0
fi
first "$run/pid"
keeper=${v%% *}
[ -n "$keeper" ] || fail "the run has not begun yet: $run"

# family: the pids that belong to the run, without its keeper.
family() {
	set -- "$keeper"
	known=" $keeper "
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
			grown=yes
		done
	done
	known=${known#" $keeper "}
}

signal() {
	if [ -r /proc/self/stat ]; then
		family
		# shellcheck disable=SC2086 # a list of pids
		[ -z "$known" ] || kill -s "$1" $known 2>/dev/null
	else
		first "$run/child"
		kill -s "$1" "${v%% *}" 2>/dev/null
	fi
	return 0
}

signal TERM
n=0
while [ "$n" -lt "$((grace * naps))" ]; do
	look
	[ "$phase" = running ] || break
	nap
	n=$((n + 1))
done
n=0
while [ "$phase" = running ] && [ "$n" -lt "$((5 * naps))" ]; do
	signal KILL
	nap
	look
	n=$((n + 1))
done
[ "$phase" != running ] || fail "the run does not end, not even after KILL: $run"
report
