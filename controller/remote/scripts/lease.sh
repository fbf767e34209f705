# usage: STATE x take|release|look|break TOKEN WHO REASON
# For break the token is the one whose lease is broken.
verb=$1 token=$2 who=$3 reason=${4:-}
show() {
	[ "$verb" = look ] || unlock
	tell "$1"
	exit 0
}

# prune: fences that nobody touched for 60 days go, and all but the newest 200.
prune() {
	find "$state/fences/." -type f -mtime +60 -exec rm -f {} \; 2>/dev/null
	ls -t "$state/fences" | tail -n +201 | while IFS= read -r f; do rm -f "$state/fences/$f"; done
}

take() {
	verdict "$token"
	case $refused in
	'') show yours ;;
	gone) how=taken ;;
	older) how=taken-over ;;
	*) show "$refused" ;;
	esac
	# The fence goes first: between the two neither controller may write.
	raise "$how" "$who" ''
	printf '%s\n%s\n%s\n' "$token" "$who" "$(date +%s)" >"$lease.tmp" &&
		mv -f "$lease.tmp" "$lease" || fail "cannot write $lease: is the disk full?"
	# Kept for start.sh: on a disk that fills up meanwhile a site must still be
	# opened or taken back. Where there is no room for it the steps will tell.
	[ -s "$state/reserve" ] || dd if=/dev/zero of="$state/reserve" bs=65536 count=16 2>/dev/null || rm -f "$state/reserve"
	prune
	show yours
}

# release: what an earlier controller of this rollout took is given back, too;
# what another rollout holds is none of ours.
release() {
	verdict "$token"
	case $refused in
	'' | older) ;;
	stale) show stale ;;
	*) show free ;;
	esac
	raise released "$(sed -n 2p "$lease")" ''
	rm -f "$lease" "$state/reserve" || fail "cannot remove $lease"
	show free
}

# The epoch is nobody's then: only a controller that comes later may take it.
break_lease() {
	first "$lease"
	[ -n "$v" ] || show free
	[ "$v" = "$token" ] || show held
	parts "$token"
	fence
	[ "$f_epoch" -le "$epoch" ] || epoch=$f_epoch
	nonce=-
	raise broken "$who" "$reason"
	rm -f "$lease" || fail "cannot remove $lease"
	show free
}

case $verb in
look)
	first "$lease"
	[ -n "$v" ] || show free
	show held
	;;
take | release | break)
	mkdir -p "$state/fences" 2>/dev/null || fail "cannot create the state folder $state/fences"
	lock
	case $verb in
	take) take ;;
	release) release ;;
	break) break_lease ;;
	esac
	;;
*) fail "unknown verb $verb" ;;
esac
