# Carries out one verb of the zypper driver:
#   refresh                  renews the package index of every repository
#   stage NAME=EVR ...       downloads exactly these packages
#   apply NAME=EVR ...       installs exactly these packages, or nothing
#   repair                   ends what an interrupted transaction began
# NAME may be NAME:ARCH. Locks are waited for ZYPP_LOCK_TIMEOUT seconds, by
# zypper itself. The exit status is zypper's own or: 65 the transaction would
# not be the planned one, 66 a scriptlet failed, 67 what is installed is not
# what was planned, 68 still locked.
set -u

say() { echo "ncfleet: error $*"; }

joined() { awk 'NR <= 10 { printf "%s%s", sep, $0; sep = ", " } END { if (NR > 10) printf " and %d more", NR - 10 }' "$1"; }

# zypp runs zypper; its output stays in $T/out. Status 102 and 103 are news of a
# wanted restart, no failures.
zypp() {
	rm -f "$T/status"
	{
		zypper --non-interactive "$@"
		echo $? >"$T/status"
	} 2>&1 | tee "$T/out"
	status=$(cat "$T/status" 2>/dev/null || echo 70)
	case $status in
	0 | 102 | 103) return 0 ;;
	7) return 68 ;;
	esac
	return "$status"
}

still_locked() {
	say "still locked after ${ZYPP_LOCK_TIMEOUT:-0} seconds: $(sed -n 's/.*is locked by the application with \(pid [0-9]* ([^)]*)\).*/\1/p' "$T/out" | head -n 1)"
	return 68
}

# old uses the index that the plan was made from, however old it has become.
old() { zypp --no-refresh "$@"; }

# spec turns NAME:ARCH=EVR into NAME.ARCH=EVR.
spec() {
	name=${1%%=*}
	case $name in
	*:*) printf '%s.%s=%s\n' "${name%%:*}" "${name#*:}" "${1#*=}" ;;
	*) printf '%s\n' "$1" ;;
	esac
}

# unplanned prints what the resolution in $T/out would do beyond $T/planned. A
# new package may come in as a dependency; nothing else may.
unplanned() {
	rpm -qa --qf '%{NAME}\n' >"$T/names"
	awk -v planned_in="$T/planned" -v names_in="$T/names" -v verb="$verb" '
	BEGIN {
		while ((getline line <planned_in) > 0) planned[line] = 1
		while ((getline line <names_in) > 0) installed[line] = 1
	}
	function value(name,  text) {
		if (!match($0, " " name "=\"[^\"]*\"")) return ""
		text = substr($0, RSTART, RLENGTH)
		sub(/^[^"]*"/, "", text)
		sub(/"$/, "", text)
		return text
	}
	/^<to-[a-z-]*>/ { kind = $0; gsub(/[<>]/, "", kind) }
	/^<\/to-/ { kind = "" }
	/^<solvable type="package"/ {
		name = value("name"); edition = value("edition"); arch = value("arch")
		wanted = (name "=" edition) in planned || (name ":" arch "=" edition) in planned
		if (kind == "to-install" && !wanted && !(name in installed)) next
		if (wanted && (kind == "to-install" || kind == "to-upgrade" || kind == "to-reinstall" || kind == "to-upgrade-change-arch")) next
		if (verb == "repair" && wanted && kind == "to-remove") next # the newer of two, installed again
		sub(/^to-/, "", kind)
		print kind " " name "-" edition "." arch
		kind = "to-" kind
	}
	' "$T/out"
}

# checked carries out an installation once its resolution is the planned one.
checked() {
	zypp --no-refresh --xmlout install --dry-run --no-recommends --auto-agree-with-licenses "$@" >/dev/null
	status=$?
	[ "$status" -ne 68 ] || still_locked || return
	if [ "$status" -ne 0 ] || ! grep -q '<install-summary' "$T/out"; then
		cat "$T/out"
		say "nothing was changed: the transaction cannot be resolved: $(grep -m 1 -e 'Problem: ' -e 'type="error"' "$T/out" | sed 's/<[^>]*>//g')"
		[ "$status" -ne 0 ] || status=65
		return "$status"
	fi
	unplanned >"$T/unplanned"
	if [ -s "$T/unplanned" ]; then
		say "nothing was changed: the transaction would not be the planned one, it would also $(joined "$T/unplanned")"
		return 65
	fi
	if [ -n "${NCFLEET_AGREE_LICENSES:-}" ]; then set -- --auto-agree-with-licenses "$@"; fi
	old install --no-recommends "$@"
	status=$?
	[ "$status" -ne 68 ] || still_locked || return
	return "$status"
}

scriptlets() {
	failed=$(sed -n -e 's/.*%[a-z]*(\([^)]*\)) scriptlet failed.*/\1/p' "$T/out" | sort -u | tr '\n' ' ' | sed 's/ $//')
	if [ -n "$failed" ]; then
		say "scriptlets failed in: $failed"
		return 66
	fi
}

installed_as_planned() {
	rpm -qa --qf '%{NAME}=%|EPOCH?{%{EPOCH}:}|%{VERSION}-%{RELEASE}\n%{NAME}:%{ARCH}=%|EPOCH?{%{EPOCH}:}|%{VERSION}-%{RELEASE}\n' | sed 's/=0:/=/' >"$T/now"
	grep -Fxv -f "$T/now" "$T/planned" >"$T/missing"
	if [ -s "$T/missing" ]; then
		say "not installed as planned: $(joined "$T/missing")"
		return 67
	fi
}

# transact installs, or only downloads, the planned packages.
transact() {
	printf '%s\n' "$@" >"$T/planned"
	for word in "$@"; do
		shift
		set -- "$@" "$(spec "$word")"
	done
	if [ "$verb" = stage ]; then
		checked --download-only "$@"
		return
	fi
	checked "$@"
	status=$?
	scriptlets || return
	[ "$status" -eq 0 ] || return "$status"
	installed_as_planned
}

# repair installs the newer of two versions again where both are there, which
# takes the older one away as the interrupted transaction would have. Kernels
# and their modules are meant to be there more than once.
repair() {
	if ! rpmdb --verifydb; then
		echo "ncfleet: note the package database was damaged and is rebuilt"
		rpm --rebuilddb || return
	fi
	rpm -qa --qf '%{NAME}:%{ARCH}\n' | grep -v -e '^kernel' -e '-kmp-' -e '^gpg-pubkey:' | sort | uniq -d >"$T/twice"
	[ -s "$T/twice" ] || return 0
	: >"$T/planned"
	while read -r name; do
		# The one that came last has the highest number in the database.
		edition=$(rpm -q --qf '%{DBINSTANCE} %|EPOCH?{%{EPOCH}:}|%{VERSION}-%{RELEASE}\n' "${name%%:*}.${name#*:}" | sort -n | tail -n 1 | cut -d ' ' -f 2)
		echo "$name=$edition" >>"$T/planned"
	done <"$T/twice"
	set --
	while read -r word; do set -- "$@" "$(spec "$word")"; done <"$T/planned"
	checked --force "$@"
	status=$?
	scriptlets || return
	return "$status"
}

main() {
	verb=$1
	shift
	T=$(mktemp -d) || exit
	trap 'rm -rf "$T"' EXIT
	case $verb in
	refresh)
		zypp refresh
		status=$?
		[ "$status" -ne 68 ] || still_locked
		exit "$status"
		;;
	stage | apply) transact "$@" ;;
	repair) repair ;;
	*) say "unknown verb $verb" && exit 64 ;;
	esac
	exit
}
main "$@" </dev/null
