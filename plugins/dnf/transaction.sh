# Carries out one verb of the dnf driver:
#   refresh WAIT                 renews the package index of every repository
#   stage WAIT NAME=EVR ...      downloads exactly these packages
#   apply WAIT NAME=EVR ...      installs exactly these packages, or nothing
#   dependency WAIT NAME ...     marks packages as installed for others' sake
#   repair WAIT                  ends what an interrupted transaction began
# NAME may be NAME:ARCH. Locks are waited for WAIT seconds. The exit status is
# dnf's own or: 65 the transaction would not be the planned one, 66 a scriptlet
# failed, 67 what is installed is not what was planned, 68 still locked.
set -u

say() { echo "ncfleet: error $*"; }

joined() { awk 'NR <= 10 { printf "%s%s", sep, $0; sep = ", " } END { if (NR > 10) printf " and %d more", NR - 10 }' "$1"; }

# locked runs dnf until it gets its locks or the time is over. The output of the
# last try stays in $T/out.
locked() {
	end=$(($(date +%s) + limit))
	while :; do
		rm -f "$T/status"
		{
			dnf --setopt=skip_if_unavailable=0 '--setopt=*.skip_if_unavailable=0' --setopt=exit_on_lock=1 --color=never \
				--setopt=install_weak_deps=0 --setopt=obsoletes=0 --setopt=clean_requirements_on_remove=0 "$@"
			echo $? >"$T/status"
		} 2>&1 | tee "$T/out"
		status=$(cat "$T/status" 2>/dev/null || echo 70)
		if [ "$status" -ne 200 ] && ! grep -q "can't create transaction lock" "$T/out"; then
			return "$status"
		fi
		if [ "$(date +%s)" -ge "$end" ]; then
			say "still locked after $limit seconds: $(grep -m 1 -i -e 'locked by' -e 'application with PID' -e 'transaction lock' "$T/out")"
			return 68
		fi
		sleep 2
	done
}

# old uses the index that the plan was made from, however old it has become.
old() { locked --setopt=metadata_expire=-1 '--setopt=*.metadata_expire=-1' "$@"; }

# spec turns NAME=EVR into NAME-EVR and NAME:ARCH=EVR into NAME-EVR.ARCH.
spec() {
	name=${1%%=*}
	case $name in
	*:*) printf '%s-%s.%s\n' "${name%%:*}" "${1#*=}" "${name#*:}" ;;
	*) printf '%s-%s\n' "$name" "${1#*=}" ;;
	esac
}

# unplanned prints what the transaction in $T/out would do beyond $T/planned. A
# new package may come in as a dependency; nothing else may.
unplanned() {
	rpm -qa --qf '%{NAME}\n' >"$T/names"
	awk -v planned_in="$T/planned" -v names_in="$T/names" '
	BEGIN {
		while ((getline line <planned_in) > 0) planned[line] = 1
		while ((getline line <names_in) > 0) installed[line] = 1
	}
	function close_row(  f) {
		if (row == "") return
		split(row, f, " ")
		row = ""
		sub(/^0:/, "", f[3])
		name = f[1]
		wanted = (name "=" f[3]) in planned || (name ":" f[2] "=" f[3]) in planned
		if (kind == "Installing" || kind == "Upgrading" || kind == "Reinstalling") {
			got[name] = 1
			if (!wanted && !(dependency && !(name in installed))) print "install " name "-" f[3] "." f[2]
		} else if (kind == "Downgrading") {
			print "downgrade " name " to " f[3]
		} else if (kind == "Removing") {
			going[name] = 1
		}
	}
	/^[A-Z][a-z]+( [a-z\/]+)*:[ \r]*$/ { close_row(); kind = $1; sub(/:$/, "", kind); dependency = /dependenc/; next }
	/^  +replacing / {
		close_row()
		gone = $2
		sub(/\.[^.]*$/, "", gone)
		if (gone != name) print "replace " gone " by " name
		next
	}
	/^  / { if (row != "") row = row $0; next }
	/^ / { close_row(); row = $0; next }
	{ close_row(); kind = "" }
	END { close_row(); for (name in going) if (!(name in got)) print "remove " name }
	' "$T/out"
}

# checked carries out a dnf command once its resolution is the planned one.
checked() {
	old --assumeno "$@" >/dev/null
	status=$?
	if [ "$status" -ne 0 ] && ! grep -q '^Operation aborted' "$T/out"; then
		cat "$T/out"
		say "the transaction cannot be resolved, nothing was changed"
		return "$status"
	fi
	unplanned >"$T/unplanned"
	if [ -s "$T/unplanned" ]; then
		say "nothing was changed: the transaction would not be the planned one, it would also $(joined "$T/unplanned")"
		return 65
	fi
	old -y "$@"
}

scriptlets() {
	failed=$(sed -n -e 's/.*Error in [A-Z]* scriptlet in rpm package \(.*\)/\1/p' -e 's/.*%[a-z]*(\([^)]*\)) scriptlet failed.*/\1/p' "$T/out" | sort -u | tr '\n' ' ' | sed 's/ $//')
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

apply() {
	printf '%s\n' "$@" >"$T/planned"
	for word in "$@"; do
		shift
		set -- "$@" "$(spec "$word")"
	done
	checked install "$@"
	status=$?
	scriptlets || return
	[ "$status" -eq 0 ] || return "$status"
	installed_as_planned
}

stage() {
	printf '%s\n' "$@" >"$T/planned"
	for word in "$@"; do
		shift
		set -- "$@" "$(spec "$word")"
	done
	checked --downloadonly install "$@"
}

# repair installs the newer of two versions again where both are there, which
# takes the older one away as the interrupted transaction would have.
repair() {
	if ! rpmdb --verifydb; then
		echo "ncfleet: note the package database was damaged and is rebuilt"
		rpm --rebuilddb || return
	fi
	old -q repoquery --duplicates --latest-limit=1 --qf '%{name}:%{arch}=%{evr}\n' >/dev/null || {
		status=$?
		cat "$T/out"
		return "$status"
	}
	sed -n '/^[^ ]*:[^ ]*=[^ ]*$/p' "$T/out" >"$T/planned"
	[ -s "$T/planned" ] || return 0
	set --
	while read -r word; do set -- "$@" "$(spec "$word")"; done <"$T/planned"
	checked reinstall "$@"
	status=$?
	scriptlets || return
	return "$status"
}

main() {
	verb=$1 limit=$2
	shift 2
	T=$(mktemp -d) || exit
	trap 'rm -rf "$T"' EXIT
	case $verb in
	refresh) locked makecache --refresh ;;
	stage) stage "$@" ;;
	apply) apply "$@" ;;
	dependency) locked mark remove "$@" ;;
	repair) repair ;;
	*) say "unknown verb $verb" && exit 64 ;;
	esac
	exit
}
main "$@" </dev/null
