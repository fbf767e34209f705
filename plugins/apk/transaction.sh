# Carries out one verb of the apk driver; each waits for the lock for WAIT seconds:
#   refresh WAIT              renews the package index of every repository
#   newer WAIT                lists what is newer than the installed; read-only
#   simulate WAIT             what an upgrade of everything would do; read-only
#   check WAIT                which packages are broken; read-only
#   stage WAIT NAME=V ...     downloads exactly these packages
#   apply WAIT NAME=V ...     installs exactly these packages, or nothing
#   repair WAIT               installs broken packages again
# The exit status is apk's own or: 65 the transaction would not be the planned
# one, 67 what is installed is not what was planned, 68 still locked.
set -u

say() { echo "ncfleet: error $*"; }

joined() { awk 'NR <= 10 { printf "%s%s", sep, $0; sep = ", " } END { if (NR > 10) printf " and %d more", NR - 10 }' "$1"; }

# tool runs apk with the driver's cache; its output stays in $T/out. An index
# that is there counts as fresh.
tool() {
	rm -f "$T/status"
	{
		apk --no-progress --wait "$limit" --cache-max-age 5256000 $cache "$@"
		echo $? >"$T/status"
	} 2>&1 | tee "$T/out"
	status=$(cat "$T/status" 2>/dev/null || echo 70)
	if grep -q 'Unable to lock database' "$T/out"; then return 68; fi
	return "$status"
}

any() {
	for file in "$@"; do
		if [ -e "$file" ]; then return 0; fi
	done
	return 1
}

# look is tool for probes: an index that is not on disk is not fetched. The
# host's own serves until the driver has renewed its own.
look() {
	if [ -n "$cache" ] && ! any /var/cache/ncfleet/apk/APKINDEX.*; then cache=; fi
	if [ -z "$cache" ] && ! any /etc/apk/cache/APKINDEX.* /var/cache/apk/APKINDEX.*; then
		echo "ERROR: there is no package index on the host yet: apk update" | tee "$T/out"
		return 1
	fi
	tool "$@"
}

still_locked() {
	say "still locked after $limit seconds: another apk runs"
	return 68
}

# simulated looks what an upgrade of everything would do. A package that cannot
# be resolved is left out, and named, for apk gives up on all of them.
simulated() {
	kept=
	tries=0
	while :; do
		look upgrade --simulate --no-self-upgrade --ignore $kept >/dev/null
		status=$?
		more=$(sed -n 's/^ *required by: \([^ []*\)-[0-9][^-]*-r[0-9]*\[.*/\1/p' "$T/out" | sort -u)
		tries=$((tries + 1))
		if [ "$status" -eq 0 ] || [ -z "$more" ] || [ "$tries" -gt 10 ]; then break; fi
		for name in $more; do
			case " $kept " in
			*" $name "*) break 2 ;;
			esac
			kept="$kept $name"
			echo "kept $name $(grep -B 1 "required by: $name-" "$T/out" | sed -n 's/^ *\([^ ].*\):$/\1/p' | head -n 1)"
		done
	done
	cat "$T/out"
	return "$status"
}

# unplanned prints what the simulation in $T/out would do beyond $T/planned, and
# what of it apk would not do. A new package may come in as a dependency.
unplanned() {
	apk info -v >"$T/now" 2>/dev/null
	awk -v planned_in="$T/planned" -v now_in="$T/now" '
	BEGIN {
		while ((getline line <planned_in) > 0) { left[line] = 1; planned[line] = 1 }
		while ((getline line <now_in) > 0) {
			name = line
			sub(/-[0-9][^-]*(-r[0-9]+)?$/, "", name)
			installed[name] = 1
			delete left[name "=" substr(line, length(name) + 2)]
		}
	}
	/^\([0-9]+\/[0-9]+\) / {
		what = $2; name = $3; version = $NF
		gsub(/[()]/, "", version)
		delete left[name "=" version]
		if ((what == "Upgrading" || what == "Installing") && (name "=" version) in planned) next
		if (what == "Installing" && !(name in installed)) next
		if (what == "Reinstalling" && (name "=" version) in planned) next
		print "do " what " " name " " version
	}
	END { for (word in left) print "not bring " word }
	' "$T/out"
}

names() { for word in "$@"; do printf '%s\n' "${word%%=*}"; done; }

transact() {
	printf '%s\n' "$@" >"$T/planned"
	tool upgrade --simulate $(names "$@") >/dev/null
	status=$?
	[ "$status" -ne 68 ] || still_locked || return
	if [ "$status" -ne 0 ]; then
		cat "$T/out"
		say "nothing was changed: the transaction cannot be resolved: $(grep -m 1 -v '^ERROR: unable to select packages:$' "$T/out" | sed 's/^ERROR: //; s/^ *//')"
		return "$status"
	fi
	unplanned >"$T/unplanned"
	if [ -s "$T/unplanned" ]; then
		say "nothing was changed: the transaction would not be the planned one, it would $(joined "$T/unplanned")"
		return 65
	fi
	if [ "$verb" = stage ]; then
		tool cache download "$@"
		status=$?
		[ "$status" -ne 68 ] || still_locked
		return "$status"
	fi
	tool upgrade $(names "$@")
	status=$?
	[ "$status" -ne 68 ] || still_locked || return
	if grep -q '^ERROR: ' "$T/out"; then
		say "$(sed -n 's/^ERROR: //p' "$T/out" | head -n 3 | tr '\n' ' ' | sed 's/ $//')"
		[ "$status" -ne 0 ] || status=66
	fi
	[ "$status" -eq 0 ] || return "$status"
	apk info -v >"$T/now"
	sed 's/=/-/' "$T/planned" | grep -Fxv -f "$T/now" >"$T/missing"
	if [ -s "$T/missing" ]; then
		say "not installed as planned: $(joined "$T/missing")"
		return 67
	fi
	if [ -n "$cache" ]; then apk --quiet $cache cache clean >/dev/null 2>&1; fi
	return 0
}

# repair does what apk fix does, but never more: a package that is broken is
# installed again in the same version, and its script runs again.
repair() {
	tool fix --simulate >/dev/null
	status=$?
	[ "$status" -ne 68 ] || still_locked || return
	if grep '^([0-9]*/[0-9]*) ' "$T/out" | grep -qv ') Reinstalling '; then
		cat "$T/out"
		say "nothing was repaired: apk fix would do more than install again what is broken"
		return 65
	fi
	grep -q ') Reinstalling ' "$T/out" || return "$status"
	tool fix
}

main() {
	verb=$1 limit=$2
	shift 2
	LC_ALL=C
	export LC_ALL
	T=$(mktemp -d) || exit
	trap 'rm -rf "$T"' EXIT
	# A host that keeps packages has its own cache; elsewhere the driver's is used.
	cache=
	if [ ! -d /etc/apk/cache ]; then cache="--cache-dir /var/cache/ncfleet/apk"; fi
	case $verb in
	newer) look version -v -l '<' ;;
	simulate) simulated ;;
	check) look fix --simulate ;;
	refresh | stage | apply | repair)
		if [ -n "$cache" ]; then mkdir -p /var/cache/ncfleet/apk || exit; fi
		case $verb in
		refresh)
			tool --force-refresh update
			status=$?
			[ "$status" -ne 68 ] || still_locked
			exit "$status"
			;;
		repair) repair ;;
		*) transact "$@" ;;
		esac
		;;
	*) say "unknown verb $verb" && exit 64 ;;
	esac
	exit
}
main "$@" </dev/null
