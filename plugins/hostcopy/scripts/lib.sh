# What every operation needs. Composed ahead of the operation's own script;
# php_code, the answerer of database questions, is set by the caller.
# Exit status: 65 permanent, 66 not found, 74 no room, 75 busy.
set -u
LC_ALL=C
export LC_ALL
PATH=${PATH:+$PATH:}/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH
umask 077
nl='
'
tab='	'

die() {
	printf 'ncfleet: %s\n' "$1" >&2
	exit "${2:-65}"
}

# What a store may answer. Each one overrides what it does otherwise; store_cost,
# store_take and store_fill are its own in any case.
#   store_ready           says for cover what is missing here, or notes
#   store_unfit TREE      prints why the store cannot keep that tree
#   store_cost TREE       sets kept_bytes and back_bytes: room for keeping it in
#                         $base, and for rebuilding it beside the tree
#   store_describe N TREE prints what the memory needs to know of unit N
#   store_ahead           whether prepare can do anything; store_prepare N does
#   store_take            captures all units and writes $work/tree-N.list
#   store_fill N          makes the directory $build from what was captured
#   store_check           whether all is as captured; sets why, or proved
#   store_drop DIRECTORY  deletes what that snapshot keeps outside DIRECTORY
#   store_end             undoes what the script itself set up, however it ends
#   scrap PATH…           deletes rebuilt or bad trees
store_ready() { :; }
store_unfit() { :; }
store_describe() { :; }
store_ahead() { return 1; }
store_check() { :; }
store_drop() { :; }
store_end() { :; }
scrap() { rm -rf "$@"; }

has() { command -v "$1" >/dev/null 2>&1; }

# parse sets one variable per NAME=VALUE argument; app directories add up.
parse() {
	base='' name='' key='' host='' instance='' code='' config='' data='' apps=''
	web='' php=php kind='' compress=none keep=2 digest='' config_asked='' db_asked=''
	driver=archive size=''
	for arg; do
		value=${arg#*=}
		case $arg in
		base=*) base=$value ;;
		name=*) name=$value ;;
		key=*) key=$value ;;
		host=*) host=$value ;;
		instance=*) instance=$value ;;
		code=*) code=$value ;;
		config=*) config=$value ;;
		data=*) data=$value ;;
		apps=*) apps=$apps$value$nl ;;
		web=*) web=$value ;;
		php=*) php=$value ;;
		kind=*) kind=$value ;;
		compress=*) compress=$value ;;
		keep=*) keep=$value ;;
		digest=*) digest=$value ;;
		config_asked=*) config_asked=$value ;;
		db_asked=*) db_asked=$value ;;
		driver=*) driver=$value ;;
		size=*) size=$value ;;
		*) die "unknown argument ${arg%%=*}" ;;
		esac
	done
	snap=$base/$name
	cd / || die 'cannot change to /'
}

# inside P U: P is a path strictly below U.
inside() {
	case $1 in
	"${2%/}"/?*) return 0 ;;
	esac
	return 1
}

real() { readlink -f -- "$1" 2>/dev/null; }

# memory DIRECTORY NAME prints one value of a snapshot's memory.
memory() { sed -n "s/^$2=//p" "$1/meta" | sed -n 1p; }
meta() { memory "$snap" "$1"; }

# gnu says whether tar, find, sort and comm take NUL-separated names. Without,
# a snapshot is always taken whole while the target is closed.
gnu() {
	if [ -z "${gnu_tools:-}" ]; then
		gnu_tools=no
		if tar --version 2>/dev/null | grep -q 'GNU tar' && find --version 2>/dev/null | grep -q GNU &&
			comm --version 2>/dev/null | grep -q GNU && sed --version 2>/dev/null | grep -q GNU; then
			gnu_tools=yes
		fi
	fi
	[ "$gnu_tools" = yes ]
}

# The lock is a directory with its holder's identity. A holder that is gone, or
# that belongs to an earlier boot, is replaced.
holder_alive() {
	h_pid='' h_scratch=''
	read -r h_pid h_start h_boot h_scratch <"$1/holder" 2>/dev/null || return 0
	[ "$h_boot" = "$(boot_id)" ] && [ "$h_start" = "$(start_of "$h_pid")" ]
}
boot_id() { cat /proc/sys/kernel/random/boot_id 2>/dev/null || echo none; }
start_of() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20; }

lock() {
	mkdir -p "$base" || die "cannot create $base: check the directory and its file system" 74
	wanted_lock=$base/$name~lock
	tries=0
	until mkdir "$wanted_lock" 2>/dev/null; do
		[ -d "$wanted_lock" ] || die "cannot write to $base: no room, or read-only" 74
		# A lock without a holder is being made this very moment, or was left by
		# a crash between two lines: give it some seconds.
		if ! holder_alive "$wanted_lock" || { [ "$tries" -gt 5 ] && [ ! -s "$wanted_lock/holder" ]; }; then
			mv "$wanted_lock" "$wanted_lock.$$" 2>/dev/null || continue
			# Another call may have replaced the dead lock first: this one is its.
			if [ -s "$wanted_lock.$$/holder" ] && holder_alive "$wanted_lock.$$"; then
				mv "$wanted_lock.$$" "$wanted_lock"
				continue
			fi
			rm -rf "$wanted_lock.$$"
			case $h_scratch in
			*/ncfleet-snapshot.??????) rm -rf "$h_scratch" ;;
			esac
			continue
		fi
		tries=$((tries + 1))
		[ "$tries" -le 300 ] || die "another call still works on the snapshot $key in $base (process $h_pid): wait for it to end" 75
		sleep 1
	done
	lock_dir=$wanted_lock
	echo "$$ $(start_of $$) $(boot_id) $scratch" >"$wanted_lock/holder" || die "cannot write to $wanted_lock: no room" 74
}

finish() {
	store_end
	[ -z "${scratch:-}" ] || rm -rf "$scratch"
	[ -z "${lock_dir:-}" ] || rm -rf "$lock_dir"
}

bytes_free() { df -Pk "$1" 2>/dev/null | sed -n '$p' | sed 's/.* \([0-9][0-9]*\)  *[0-9]*% .*/\1/'; }

# existing prints the nearest directory that is there.
existing() {
	at=$1
	while [ ! -d "$at" ] && [ "$at" != / ]; do at=$(dirname "$at"); done
	printf '%s' "$at"
}

# sums prints checksums as sha256sum does. openssl takes a quarter of the time
# where the processor helps, and a bulk archive is half a gigabyte.
sums() {
	if [ -z "${summer:-}" ]; then
		summer=sha256sum
		if openssl dgst -sha256 -r </dev/null >/dev/null 2>&1; then summer=openssl; fi
	fi
	case $summer in
	openssl) openssl dgst -sha256 -r "$@" | sed 's/ \*/  /' ;;
	*) sha256sum "$@" ;;
	esac
}

# first_bad DIRECTORY [SKIPPED] prints the first file that is not what it was,
# or nothing. SKIPPED is a list of names with a blank around each.
first_bad() {
	while read -r want file; do
		case ${2:-} in
		*" $file "*) continue ;;
		esac
		got=$(cd "$1" && sums "$file" 2>/dev/null)
		[ "${got%% *}" = "$want" ] || {
			printf '%s\n' "$file"
			return
		}
	done <"$1/SHA256SUMS"
}

# flush makes files durable, by name where sync can.
flush() { sync "$@" 2>/dev/null || sync; }

# begin makes a scratch directory, in memory where there is such a place. When
# the script ends, by a signal too, it goes, and the lock with it.
begin() {
	trap 'finish' EXIT
	trap 'exit 75' HUP INT TERM
	for dir in /run /dev/shm "${TMPDIR:-/tmp}"; do
		[ -w "$dir" ] && scratch=$(mktemp -d "$dir/ncfleet-snapshot.XXXXXX" 2>/dev/null) && break
		scratch=
	done
	[ -n "$scratch" ] || die 'cannot create a temporary directory in /run, /dev/shm or /tmp' 74
	# Killed scripts leave theirs behind, and nothing runs for two days.
	find "${scratch%/*}" -name 'ncfleet-snapshot.*' -prune -user "$(id -u)" -mmin +2880 -exec rm -rf {} + 2>/dev/null
	# The config place may be the file itself.
	[ -n "$config" ] || [ -z "$code" ] || config=$code/config
	[ ! -f "$config" ] || config=$(dirname "$config")
	# Never run the instance's code as root when its owner is known.
	[ -n "$web" ] || [ ! -f "$config/config.php" ] || web=$(stat -c %U "$config/config.php")
	set_units
}

# size_of prints the bytes of all files in a snapshot.
size_of() { stat -c %s "$1"/* | awk '{ n += $1 } END { printf "%.0f\n", n }'; }

# report tells the caller about one whole snapshot.
report() {
	printf 'snapshot%s%s%s%s%s%s%s%s%s%s\n' "$tab" "$(sed -n 's/^key=//p' "$1/meta")" "$tab" \
		"$(sed -n 's/^created=//p' "$1/meta")" "$tab" "$(size_of "$1")" "$tab" \
		"$(sha256sum <"$1/SHA256SUMS" | cut -d' ' -f1)" "$tab" "$(basename "$1")"
}

# same_subject DIRECTORY says whether it is this driver's, of this host and
# instance.
same_subject() {
	[ -f "$1/meta" ] || return 1
	wrote=$(memory "$1" driver)
	[ "${wrote:-archive}" = "$driver" ] || return 1
	[ "$(sed -n 's/^host=//p' "$1/meta")" = "$host" ] && [ "$(sed -n 's/^instance=//p' "$1/meta")" = "$instance" ]
}

# remove DIRECTORY NAME deletes a snapshot and the bad trees it put aside. A
# tree with users' files or a mount point in it is left, whatever happened.
remove() {
	if [ -f "$1/meta" ]; then
		sed -n 's/^unit\.[0-9]*=//p' "$1/meta" | while IFS= read -r tree; do
			rm -f "$tree.ncfleet-clock-$2"
			for old in "$tree.ncfleet-bad-$2" "$tree.ncfleet-bad-$2".[0-9]* "$tree.ncfleet-new-$2" "$tree.ncfleet-build-$2"; do
				[ -d "$old" ] && [ ! -L "$old" ] || continue
				[ -d "$tree" ] || die "$tree is missing while $old is there: not removing $old"
				for dir in $(sed -n 's/^data\.[0-9]*=//p' "$1/meta" | sed 's/ /?/g'); do
					if [ -e "$old/$dir" ]; then die "$old/${dir#./} holds users' files: move them to $tree, then delete $old by hand"; fi
				done
				[ -z "$(mounts_in "$old")" ] || die "$old contains a mount point: unmount it, then delete $old by hand"
				scrap "$old" || die "cannot delete $old"
			done
		done || exit $?
		mv "$1" "$base/$2~gone" || die "cannot rename $1"
	fi
	discard "$base/$2~gone" "$base/$2~partial" "$base/$2~prepared" "$base/$2~preparing"
}

# discard deletes directories of ours and what their snapshots keep elsewhere,
# that first: a call that is killed in between is repeated.
discard() {
	for unwanted; do
		store_drop "$unwanted"
		rm -rf "$unwanted"
	done
}
