# Held cron files, of hold.sh and unhold.sh.

# set_apart FILE PATH: a held file that must not go back to PATH is kept in
# $STATE/aside, at APART; never beside PATH, where a cron may read it.
set_apart() {
	mkdir -p "$STATE/aside" || fail "cannot make $STATE/aside"
	apart_name=${2#"$SYSROOT"}
	apart_name=$STATE/aside/$(printf '%s' "${apart_name#/}" | tr / +)
	APART=$apart_name i=1
	while [ -e "$APART" ] && ! cmp -s "$1" "$APART"; do
		APART=$apart_name-$i
		i=$((i + 1))
	done
	mv -f "$1" "$APART" || fail "cannot move $1 to $APART"
}

# place_of PATH: where a held file waits: beside itself, or, when it was removed
# for good, apart.
place_of() {
	if [ "$NAME" != @absent ]; then
		PLACE=${1%/*}/.ncfleet-held-${1##*/}
	else
		PLACE=${1#"$SYSROOT"}
		PLACE=$STATE/aside/absent+$(printf '%s' "${PLACE#/}" | tr / +)
	fi
}

# owned PATH: whether a package knows the file.
owned() {
	command -v dpkg-query >/dev/null 2>&1 && dpkg-query -S "${1#"$SYSROOT"}" >/dev/null 2>&1
}
