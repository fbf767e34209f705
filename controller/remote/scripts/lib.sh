# What the scripts about detached runs share. A script gets the state folder
# and the run's folder name first.
set -u
umask 077
LC_ALL=C
export LC_ALL
state=$1
run=$state/runs/$2
shift 2

fail() {
	printf 'fail %s\nend\n' "$*"
	exit 0
}

# first FILE: its first line into v, empty when there is none.
first() {
	v=
	[ -r "$1" ] || return 0
	IFS= read -r v <"$1" || :
}

naps=10
sleep 0.01 2>/dev/null || naps=1
# nap: a tenth of a second, or a second where sleep knows no fractions.
nap() {
	if [ "$naps" = 10 ]; then sleep 0.1; else sleep 1; fi
}

# stat PID: the process's parent, group, session and start time; false when
# there is none or only its corpse.
stat() {
	s_line=
	{ IFS= read -r s_line <"/proc/$1/stat"; } 2>/dev/null || return 1
	set -f
	# shellcheck disable=SC2086 # split on purpose
	set -- ${s_line##*) }
	set +f
	[ $# -ge 20 ] || return 1
	[ "$1" != Z ] || return 1
	s_ppid=$2 s_pgrp=$3 s_sid=$4
	shift 19
	s_start=$1
}

# alive PID START: whether that very process lives, not a later one of its number.
alive() {
	[ -n "${1:-}" ] || return 1
	if [ -r /proc/self/stat ]; then
		stat "$1" && [ "$s_start" = "${2:-}" ]
	else
		kill -0 "$1" 2>/dev/null
	fi
}

boot() {
	first /proc/sys/kernel/random/boot_id
}

# ended: whether the exit status is on disk; sets code.
ended() {
	code=
	first "$run/rc"
	if [ -n "$v" ]; then
		code=$v
		return 0
	fi
	for f in "$run"/rc.is.*; do
		[ -e "$f" ] || continue
		code=${f##*.}
		return 0
	done
	return 1
}

# begun: waits up to five seconds for the keeper of a claimed run.
begun() {
	n=0
	while [ "$n" -lt 50 ]; do
		[ -s "$run/pid" ] && return 0
		[ -d "$run" ] || return 1
		nap
		n=$((n + 50 / (5 * naps)))
	done
	return 1
}

lost() {
	# The status may have come after the first look.
	if ended; then
		phase=exited
		return 0
	fi
	# Its start may have given up meanwhile.
	if [ ! -d "$run" ]; then
		phase=never
		return 0
	fi
	phase=lost
	detail=$1
}

# look: phase, code and detail of the run.
look() {
	phase=running code='' detail=''
	if [ ! -d "$run" ]; then
		phase=never
		return 0
	fi
	if ended; then
		phase=exited
		return 0
	fi
	first "$run/boot_id"
	was=$v
	boot
	if [ -n "$was" ] && [ "$was" != "$v" ]; then
		lost "the host rebooted: its boot id was $was and is $v"
		return 0
	fi
	first "$run/pid"
	if [ -z "$v" ]; then
		first "$run/claimed"
		if [ -z "$v" ]; then
			begun && return 0
			first "$run/claimed" # on a slow host it comes late
			[ -n "$v" ] || lost "it was claimed but never began"
		elif [ "$(($(date +%s) - v))" -gt 120 ]; then
			lost "it was claimed but never began"
		fi
		return 0
	fi
	# shellcheck disable=SC2086 # split on purpose
	set -- $v
	alive "$@" && return 0
	first "$run/child"
	# shellcheck disable=SC2086
	set -- $v
	if alive "$@"; then
		detail="its keeper is gone, the command goes on"
		return 0
	fi
	lost "its process is gone without an exit status"
}

# emit LETTER FILE OFFSET MAX: a frame of what is behind the offset, at most
# MAX and 1 MiB; sets sent.
emit() {
	sent=0
	[ -r "$2" ] || return 0
	size=$(($(wc -c <"$2")))
	n=$((size - $3))
	[ "$n" -le "$4" ] || n=$4
	[ "$n" -le 1048576 ] || n=1048576
	[ "$n" -gt 0 ] || return 0
	printf '%s %s\n' "$1" "$n"
	tail -c "+$(($3 + 1))" "$2" | head -c "$n"
	sent=$n
}

# emit_all: both outputs from offsets oo and oe, at most mo and me bytes.
emit_all() {
	while :; do
		emit o "$run/stdout" "$oo" "$mo"
		oo=$((oo + sent)) mo=$((mo - sent))
		more=$sent
		emit e "$run/stderr" "$oe" "$me"
		oe=$((oe + sent)) me=$((me - sent))
		[ "$((more + sent))" -gt 0 ] || return 0
	done
}

report() {
	printf 'phase %s\n' "$phase"
	[ -z "$code" ] || printf 'exit %s\n' "$code"
	[ -z "$detail" ] || printf 'detail %s\n' "$detail"
	first "$run/pid"
	[ -z "$v" ] || printf 'pid %s\n' "${v%% *}"
	first "$run/boot_id"
	[ -z "$v" ] || printf 'boot %s\n' "$v"
	first "$run/started"
	[ -z "$v" ] || printf 'started %s\n' "$v"
	first "$run/ended"
	[ -z "$v" ] || printf 'ended %s\n' "$v"
	printf 'end\n'
}
