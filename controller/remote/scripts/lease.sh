# usage: STATE x take|release|look TOKEN HOLDER
# The lease is one file with token, holder and time; a link is made or not
# made at once, contents included.
verb=$1 token=$2 holder=$3
lease=$state/lease
show() {
	printf '%s\n' "$1"
	[ ! -e "$lease" ] || cat "$lease"
	printf 'now %s\nend\n' "$(date +%s)"
	exit 0
}
mkdir -p "$state" 2>/dev/null || fail "cannot create the state folder $state"
first "$lease"
case $verb in
take)
	if [ -e "$lease" ]; then
		if [ "$v" = "$token" ]; then show yours; fi
		show held
	fi
	tmp=$state/lease.tmp.$$
	printf '%s\n%s\n%s\n' "$token" "$holder" "$(date +%s)" >"$tmp" || {
		rm -f "$tmp"
		fail "cannot write $tmp: is the disk full?"
	}
	if ln "$tmp" "$lease" 2>/dev/null; then
		rm -f "$tmp"
		show yours
	fi
	rm -f "$tmp"
	first "$lease"
	if [ "$v" = "$token" ]; then show yours; fi
	[ -e "$lease" ] || fail "cannot create $lease"
	show held
	;;
release)
	[ -e "$lease" ] || show free
	[ "$v" = "$token" ] || show held
	rm -f "$lease" || fail "cannot remove $lease"
	show free
	;;
look)
	[ -e "$lease" ] || show free
	show held
	;;
*) fail "unknown verb $verb" ;;
esac
