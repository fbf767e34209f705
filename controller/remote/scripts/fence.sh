# The lease and its fence; needs lib.sh. A token is "ROLLOUT EPOCH NONCE": of
# two controllers of one rollout the one that came later has the higher epoch,
# and the nonce tells two with equal epochs apart. The lease is one file with
# token, holder and time. A rollout's fence is one file with the highest epoch
# that the lease was ever taken under, and with how that came about; it
# outlasts the lease, so that a controller that was passed by stays refused.
lease=$state/lease

# parts TOKEN: its words; an older lease holds the rollout alone.
parts() {
	set -f
	# shellcheck disable=SC2086 # split on purpose
	set -- $1
	set +f
	rollout=${1:-} epoch=${2:-0} nonce=${3:-}
	case $epoch in *[!0-9]*) epoch=0 ;; esac
}

# fence: the fence of the rollout that parts has read.
fence() {
	f_epoch='' f_nonce='' f_how='' f_at='' f_who='' f_why=''
	f_name=$(printf '%s' "$rollout" | tr -c 'A-Za-z0-9._-' '_')
	f_file=$state/fences/$f_name.fence
	if [ -r "$f_file" ]; then
		{
			read -r f_epoch f_nonce
			read -r f_how f_at f_who
			IFS= read -r f_why
		} <"$f_file"
	fi
	case $f_epoch in '' | *[!0-9]*) f_epoch=-1 ;; esac
}

# raise HOW WHO WHY: puts the fence to epoch and nonce, at once.
raise() {
	f_how=$1 f_at=$(date +%s) f_who=$2 f_why=$3
	printf '%s %s\n%s %s %s\n%s\n' "$epoch" "$nonce" "$f_how" "$f_at" "$f_who" "$f_why" >"$f_file.tmp" &&
		mv -f "$f_file.tmp" "$f_file" || fail "cannot write $f_file: is the disk full?"
}

# verdict TOKEN: why the token may not change the host, into refused; empty when
# the lease is the token's.
#   stale  a later controller of the rollout came, or the lease was broken
#   older  the lease is still that of an earlier controller of the rollout
#   gone   there is no lease
#   held   it is another rollout's
verdict() {
	parts "$1"
	fence
	first "$lease"
	if [ "$f_epoch" -gt "$epoch" ] || { [ "$f_epoch" = "$epoch" ] && [ "$f_nonce" != "$nonce" ]; }; then
		refused=stale
	elif [ "$v" = "$1" ]; then
		refused=
	elif [ -z "$v" ]; then
		refused=gone
	elif [ "${v%% *}" != "$rollout" ]; then
		refused=held
	else
		mine=$epoch refused=stale
		parts "$v"
		[ "$epoch" -ge "$mine" ] || refused=older
		parts "$1"
	fi
}

# tell WORD: an answer: the word, the lease as it is, and the fence's story.
tell() {
	printf '%s\n' "$1"
	if [ -s "$lease" ]; then
		l_token='' l_holder='' l_taken=''
		{
			IFS= read -r l_token
			IFS= read -r l_holder
			IFS= read -r l_taken
		} <"$lease"
		printf 'token %s\nholder %s\ntaken %s\n' "$l_token" "$l_holder" "$l_taken"
	fi
	[ -z "${f_how:-}" ] || printf 'how %s\nat %s\nwho %s\nwhy %s\n' "$f_how" "$f_at" "$f_who" "$f_why"
	printf 'now %s\nend\n' "$(date +%s)"
}

# heard tells the watchdog of a closed site that whoever has the lease is there:
# the file changes at each call.
heard() { { printf '%s\n' "$$" >"$state/heard"; } 2>/dev/null; }

# guard TOKEN: goes on only when the lease is the token's.
guard() {
	verdict "$1"
	if [ -z "$refused" ]; then
		heard
		return 0
	fi
	tell "$refused"
	exit 0
}

# lock: keeps other scripts from changing the lease, until unlock. A link is
# made or not made at once, contents included; the lock of a process that is
# gone counts for nothing.
lock() {
	boot
	s_start=
	stat "$$" || :
	k_tmp=$lease.lock.$$
	printf '%s %s %s\n' "$$" "${s_start:--}" "${v:--}" >"$k_tmp" || fail "cannot write $k_tmp: is the disk full?"
	k_tries=$((30 * naps))
	until ln "$k_tmp" "$lease.lock" 2>/dev/null; do
		if left_lock; then continue; fi
		k_tries=$((k_tries - 1))
		if [ "$k_tries" -le 0 ]; then
			rm -f "$k_tmp"
			fail "cannot make $lease.lock within thirty seconds: another ncfleet holds it, or hard links cannot be made there"
		fi
		nap
	done
	rm -f "$k_tmp"
}

# left_lock: removes a lock whose process is gone; false when there is none. Only
# whoever made the mark of that very lock may remove it, so that it cannot be
# another one by then.
left_lock() {
	read_lock || return 1
	k_seen=$v
	set -f
	# shellcheck disable=SC2086 # split on purpose
	set -- $k_seen
	set +f
	boot
	if [ "${3:-}" = "${v:--}" ] && alive "$1" "$2"; then return 1; fi
	k_mark=$lease.lock.of.$(printf '%s' "$k_seen" | tr -c 'A-Za-z0-9' _)
	ln "$k_tmp" "$k_mark" 2>/dev/null || return 1
	if read_lock && [ "$v" = "$k_seen" ]; then rm -f "$lease.lock"; fi
	rm -f "$k_mark"
}

# read_lock: the lock's line into v; false when there is none.
read_lock() {
	k_open=no v=
	{ k_open=yes; IFS= read -r v || :; } 2>/dev/null <"$lease.lock"
	[ "$k_open" = yes ]
}

unlock() {
	rm -f "$lease.lock"
}
