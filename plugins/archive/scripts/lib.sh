# What every operation of the archive driver needs. Composed ahead of the
# operation's own script; php_code, the answerer of database questions, is set
# by the caller. Exit status: 65 permanent, 66 not found, 74 no room, 75 busy.
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

has() { command -v "$1" >/dev/null 2>&1; }

# parse sets one variable per NAME=VALUE argument; app directories add up.
parse() {
	base='' name='' key='' host='' instance='' code='' config='' data='' apps=''
	web='' php=php kind='' compress=none keep=2 digest='' config_asked='' db_asked=''
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

# meta NAME prints one value of the snapshot's memory.
meta() { sed -n "s/^$1=//p" "$snap/meta" | sed -n 1p; }

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
	read -r h_pid h_start h_boot <"$1/holder" 2>/dev/null || return 0
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
			mv "$wanted_lock" "$wanted_lock.$$" 2>/dev/null && rm -rf "$wanted_lock.$$"
			continue
		fi
		tries=$((tries + 1))
		[ "$tries" -le 300 ] || die "another call still works on the snapshot $key in $base (process $h_pid): wait for it to end" 75
		sleep 1
	done
	lock_dir=$wanted_lock
	echo "$$ $(start_of $$) $(boot_id)" >"$wanted_lock/holder" || die "cannot write to $wanted_lock: no room" 74
}

finish() {
	[ -z "${scratch:-}" ] || rm -rf "$scratch"
	[ -z "${lock_dir:-}" ] || rm -rf "$lock_dir"
}

# set_units fills unit_0, unit_1 …: the code tree and the app directories that
# are not below another unit. A directory below one is captured with it.
set_units() {
	units=0
	[ -z "$code" ] || add_unit "$code"
	old_ifs=$IFS
	IFS=$nl
	set -f
	for dir in $apps; do
		nested=no
		for other in $code $apps; do
			inside "$dir" "$other" && nested=yes
		done
		i=0
		while [ "$i" -lt "$units" ]; do
			[ "$(unit "$i")" = "$dir" ] && nested=yes
			i=$((i + 1))
		done
		[ "$nested" = yes ] || add_unit "$dir"
	done
	set +f
	IFS=$old_ifs
}
add_unit() {
	eval "unit_$units=\$1"
	units=$((units + 1))
}
unit() { eval "printf '%s' \"\$unit_$1\""; }

# leave_out TREE prints what the tree's archive leaves out, as ./paths: the
# config directory, which is captured by itself, the data directory, which is
# never touched, and the snapshots.
leave_out() {
	tree_real=$(real "$1")
	for dir in "$config" "$data" "$base"; do
		[ -n "$dir" ] || continue
		dir_real=$(real "$dir")
		[ -n "$dir_real" ] && inside "$dir_real" "$tree_real" || continue
		printf './%s\n' "${dir_real#"${tree_real%/}"/}"
	done
}

# list_tree TREE LEFT_OUT prints one record per entry, sorted: type, mode,
# owner, group, size, mtime, name. With a third argument the ctime and the
# inode come before the name. Sockets are no content.
list_tree() (
	out=$2 detail=${3:-}
	cd "$1" || exit 1
	set -- -xdev -type s -prune
	IFS=$nl
	set -f
	for dir in $out; do
		set -- "$@" -o -path "$(printf '%s' "$dir" | sed 's/[][*?\\]/\\&/g')" -prune
	done
	set +f
	if ! gnu; then
		{
			find . "$@" -o -type d -exec stat -c '%f %u %g 0 0 %n' {} +
			find . "$@" -o -type l -exec stat -c '%f %u %g %s 0 %n' {} +
			find . "$@" -o ! -type d ! -type l -exec stat -c '%f %u %g %s %Y %n' {} +
		} | sort
		exit
	fi
	inode=
	[ -z "$detail" ] || inode='%C@ %i '
	find . "$@" -o -type d -printf "%y %m %U %G 0 0 $inode%p\\0" \
		-o -type l -printf "%y %m %U %G %s 0 $inode%p\\0" \
		-o -printf "%y %m %U %G %s %T@ $inode%p\\0" | sort -z
)

# names_of N reads records and prints their names, N fields being before them.
names_of() { sed -z "s/^\\([^ ]* \\)\\{$1\\}//"; }

# tar_flags sets the flags that keep what a file system knows of a file.
tar_flags() {
	flags=--numeric-owner
	gnu || {
		flags=
		return 0
	}
	flags="$flags --format=posix --pax-option=delete=atime,delete=ctime"
	more=$(tar --help)
	case $more in *--xattrs-include*) flags="$flags --xattrs --xattrs-include=*" ;; esac
	case $more in *--acls*) flags="$flags --acls" ;; esac
}

# pack OUT TAR-ARGUMENTS… writes one archive and returns tar's exit status.
pack() {
	to=$1
	shift
	tar_flags
	if [ "$compress" = gzip ]; then
		set -f
		{
			tar -cf - $flags "$@"
			echo $? >"$to.exit"
		} | gzip -1 >"$to"
		packed=$?
		set +f
		read -r tarred <"$to.exit" || tarred=2
		rm -f "$to.exit"
		[ "$packed" = 0 ] || return 2
		return "$tarred"
	fi
	set -f
	tar -cf "$to" $flags "$@"
	packed=$?
	set +f
	return $packed
}

# pack_tree OUT TREE LEFT_OUT archives a whole tree.
pack_tree() {
	to=$1 tree=$2 out=$3
	set --
	if gnu; then set -- --one-file-system --anchored --no-wildcards; fi
	old_ifs=$IFS
	IFS=$nl
	set -f
	for dir in $out; do
		gnu || dir=$(printf '%s' "$dir" | sed 's/[][*?\\]/\\&/g')
		set -- "$@" "--exclude=$dir"
	done
	set +f
	IFS=$old_ifs
	pack "$to" "$@" -C "$tree" .
}

# unpack ARCHIVE DIRECTORY [--compare]
unpack() {
	tar_flags
	mode=-xpf
	[ "${3:-}" = --compare ] && mode=-df
	pack_opts=$flags
	case $pack_opts in *--pax-option*) pack_opts=$(printf '%s' "$flags" | sed 's/--format=posix --pax-option=[^ ]*//') ;; esac
	set -f
	case $1 in
	*.gz) gzip -dc <"$1" | tar "$mode" - $pack_opts -C "$2" ;;
	*) tar "$mode" "$1" $pack_opts -C "$2" ;;
	esac
	unpacked=$?
	set +f
	return $unpacked
}

# mounts_in TREE prints the mount points at or below the tree.
mounts_in() {
	[ -r /proc/self/mounts ] || return 0
	cut -d' ' -f2 /proc/self/mounts | while IFS= read -r escaped; do
		point=$(printf '%b' "$(printf '%s' "$escaped" | sed 's/\\\([0-7][0-7][0-7]\)/\\0\1/g')")
		if [ "$point" = "$1" ] || inside "$point" "$1"; then printf '%s\n' "$point"; fi
	done
}

# unfit TREE prints why a tree cannot be captured and put back by rename; it
# prints nothing for a good one.
unfit() {
	if [ -L "$1" ]; then
		echo "$1 is a symbolic link to $(real "$1"): name the directory itself in the inventory"
		return
	fi
	if [ ! -d "$1" ]; then
		echo "$1 is not a directory on this host: check the path in the inventory"
		return
	fi
	if [ "$(real "$1")" != "$1" ]; then
		echo "$1 leads through a symbolic link to $(real "$1"): name that path in the inventory"
		return
	fi
	points=$(mounts_in "$1" | sed -n 1p)
	if [ "$points" = "$1" ]; then
		echo "$1 is a mount point and cannot be swapped by rename: move the tree one directory down"
	elif [ -n "$points" ]; then
		echo "$1 contains the mount point $points, which cannot follow a rebuilt tree: mount it outside the tree and link to it"
	else
		for dir in $(leave_out "$1" | sed 's/ /\\/g'); do
			# Btrfs subvolumes are no mount points, yet no rename crosses them.
			dir=$(printf '%s' "$dir" | tr '\\' ' ')
			if [ "$(stat -c %d "$1")" != "$(stat -c %d "$1/$dir" 2>/dev/null)" ]; then
				echo "$1/${dir#./} is on another file system than $1: move it outside the tree and link to it"
				return
			fi
		done
	fi
}

bytes_free() { df -Pk "$1" 2>/dev/null | sed -n '$p' | sed 's/.* \([0-9][0-9]*\)  *[0-9]*% .*/\1/'; }

# existing prints the nearest directory that is there.
existing() {
	at=$1
	while [ ! -d "$at" ] && [ "$at" != / ]; do at=$(dirname "$at"); done
	printf '%s' "$at"
}

# flush makes files durable, by name where sync can.
flush() { sync "$@" 2>/dev/null || sync; }

# begin makes a scratch directory, in memory where there is such a place. When
# the script ends, by a signal too, it goes, and the lock with it.
begin() {
	trap 'finish' EXIT
	trap 'exit 75' HUP INT TERM
	for dir in /run /dev/shm "${TMPDIR:-/tmp}"; do
		[ -w "$dir" ] && scratch=$(mktemp -d "$dir/ncfleet-archive.XXXXXX" 2>/dev/null) && break
		scratch=
	done
	[ -n "$scratch" ] || die 'cannot create a temporary directory in /run, /dev/shm or /tmp' 74
	# The config place may be the file itself.
	[ -n "$config" ] || [ -z "$code" ] || config=$code/config
	[ ! -f "$config" ] || config=$(dirname "$config")
	set_units
}

# describe prints what is captured and how, as the snapshot's memory keeps it.
describe() {
	i=0
	while [ "$i" -lt "$units" ]; do
		tree=$(unit "$i")
		printf 'unit.%s=%s\n' "$i" "$tree"
		leave_out "$tree" | sed "s/^/out.$i=/"
		for dir in config data; do
			eval "dir_real=\$(real \"\$$dir\")"
			if [ -n "$dir_real" ] && inside "$dir_real" "$tree"; then
				printf '%s.%s=./%s\n' "$dir" "$i" "${dir_real#"${tree%/}"/}"
			fi
		done
		i=$((i + 1))
	done
	[ -z "$config_asked" ] || printf 'config=%s\n' "$(real "$config")"
	printf 'compress=%s\n' "$compress"
	if gnu; then echo names=nul; else echo names=line; fi
}

# outs N prints what unit N of the snapshot leaves out.
outs() { sed -n "s/^out\\.$1=//p" "$snap/meta"; }

suffix() { if [ "$compress" = gzip ]; then echo .gz; fi; }

# check_units refuses trees that could not be put back.
check_units() {
	i=0
	while [ "$i" -lt "$units" ]; do
		why=$(unfit "$(unit "$i")")
		[ -z "$why" ] || die "$why"
		i=$((i + 1))
	done
}

# size_of prints the bytes of all files in a snapshot.
size_of() { stat -c %s "$1"/* | awk '{ n += $1 } END { printf "%.0f\n", n }'; }

# report tells the caller about one whole snapshot.
report() {
	printf 'snapshot%s%s%s%s%s%s%s%s%s%s\n' "$tab" "$(sed -n 's/^key=//p' "$1/meta")" "$tab" \
		"$(sed -n 's/^created=//p' "$1/meta")" "$tab" "$(size_of "$1")" "$tab" \
		"$(sha256sum <"$1/SHA256SUMS" | cut -d' ' -f1)" "$tab" "$(basename "$1")"
}

# same_subject DIRECTORY says whether it is of this host and instance.
same_subject() {
	[ -f "$1/meta" ] || return 1
	[ "$(sed -n 's/^host=//p' "$1/meta")" = "$host" ] && [ "$(sed -n 's/^instance=//p' "$1/meta")" = "$instance" ]
}

# remove DIRECTORY NAME deletes a snapshot and the bad trees it put aside. A
# tree with users' files or a mount point in it is left, whatever happened.
remove() {
	if [ -f "$1/meta" ]; then
		sed -n 's/^unit\.[0-9]*=//p' "$1/meta" | while IFS= read -r tree; do
			for old in "$tree.ncfleet-bad-$2" "$tree.ncfleet-bad-$2".[0-9]* "$tree.ncfleet-new-$2" "$tree.ncfleet-build-$2"; do
				[ -d "$old" ] && [ ! -L "$old" ] || continue
				[ -d "$tree" ] || die "$tree is missing while $old is there: not removing $old"
				for dir in $(sed -n 's/^data\.[0-9]*=//p' "$1/meta" | sed 's/ /?/g'); do
					if [ -e "$old/$dir" ]; then die "$old/${dir#./} holds users' files: move them to $tree, then delete $old by hand"; fi
				done
				[ -z "$(mounts_in "$old")" ] || die "$old contains a mount point: unmount it, then delete $old by hand"
				rm -rf "$old" || die "cannot delete $old"
			done
		done || exit $?
		mv "$1" "$base/$2~gone" || die "cannot rename $1"
	fi
	rm -rf "$base/$2~gone" "$base/$2~partial" "$base/$2~prepared" "$base/$2~preparing"
}
