# Trees: what belongs to one, listing it, archiving it, telling whether it can be
# put back.

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
			find . "$@" -o -type l -exec stat -c '%f 0 0 %s 0 %n' {} + # not every tar gives a link its owner
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

# plain_list turns a listing with ctime and inode into one without.
plain_list() { sed -z 's/^\(\([^ ]* \)\{6\}\)[^ ]* [^ ]* /\1/' | sort -z; }

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

# pack_entries is for tars that can leave nothing out: it names what is on the
# first level. The directory's own mode and owner are in the memory then.
pack_entries() {
	cd "$2" || return 2
	if printf '%s\n' "$3" | grep -q '^\./.*/'; then
		echo "leaving out a directory deep in $2 needs GNU tar and find: install them" >&2
		return 2
	fi
	entries_to=$1 entries_out="$nl$3$nl"
	set --
	for entry in ./* ./.[!.]* ./..?*; do
		[ -e "$entry" ] || [ -L "$entry" ] || continue
		case $entries_out in
		*"$nl$entry$nl"*) ;;
		*) set -- "$@" "$entry" ;;
		esac
	done
	cd / || return 2
	pack "$entries_to" -C "$tree" "$@"
}

# pack_tree OUT TREE LEFT_OUT archives a whole tree.
pack_tree() {
	to=$1 tree=$2 out=$3
	set --
	if ! gnu; then
		pack_entries "$to" "$tree" "$out"
		return
	fi
	set -- --one-file-system --anchored --no-wildcards
	old_ifs=$IFS
	IFS=$nl
	set -f
	for dir in $out; do set -- "$@" "--exclude=$dir"; done
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

# mount_points prints every mount point of this host.
mount_points() {
	[ -r /proc/self/mounts ] || return 0
	cut -d' ' -f2 /proc/self/mounts | while IFS= read -r escaped; do
		case $escaped in
		*\\*) escaped=$(printf '%b' "$(printf '%s' "$escaped" | sed 's/\\\([0-7][0-7][0-7]\)/\\0\1/g')") ;;
		esac
		printf '%s\n' "$escaped"
	done
}

# mounts_in TREE prints the mount points at or below the tree.
mounts_in() {
	mount_points | while IFS= read -r point; do
		if [ "$point" = "$1" ] || inside "$point" "$1"; then printf '%s\n' "$point"; fi
	done
}

# mount_of PATH prints the mount point that the path lies on.
mount_of() {
	mount_points | while IFS= read -r point; do
		if [ "$point" = "$1" ] || inside "$1" "$point"; then printf '%s %s\n' "${#point}" "$point"; fi
	done | sort -n | sed -n '$s/^[0-9]* //p'
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
	if inside "$(real "$(existing "$base")")/x" "$1"; then
		echo "the snapshots' directory $base is inside $1: set directory to a place outside"
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
		store_unfit "$1"
	fi
}

# describe prints what is captured and how, as the snapshot's memory keeps it.
describe() {
	i=0
	while [ "$i" -lt "$units" ]; do
		tree=$(unit "$i")
		printf 'unit.%s=%s\nroot.%s=%s\n' "$i" "$tree" "$i" "$(stat -c '%a %u:%g' "$tree")"
		leave_out "$tree" | sed "s/^/out.$i=/"
		for dir in config data; do
			eval "dir_real=\$(real \"\$$dir\")"
			if [ -n "$dir_real" ] && inside "$dir_real" "$tree"; then
				printf '%s.%s=./%s\n' "$dir" "$i" "${dir_real#"${tree%/}"/}"
			fi
		done
		store_describe "$i" "$tree"
		i=$((i + 1))
	done
	if [ -n "$config_asked" ]; then
		printf 'config=%s\nroot.config=%s\n' "$(real "$config")" "$(stat -c '%a %u:%g' "$(real "$config")")"
	fi
	printf 'compress=%s\n' "$compress"
	if gnu; then echo names=nul; else echo names=line; fi
}

# outs N prints what unit N of the snapshot leaves out.
outs() { sed -n "s/^out\\.$1=//p" "$snap/meta"; }

suffix() { if [ "$compress" = gzip ]; then echo .gz; fi; }

# tree_bytes TREE [EACH] prints what the tree's files hold, EACH bytes being
# added for every entry.
tree_bytes() {
	if gnu; then
		list_tree "$1" "$(leave_out "$1")" | tr '\0' '\n' | awk -v each="${2:-1536}" '{ n += $5 + each } END { printf "%.0f", n }'
	else
		list_tree "$1" "$(leave_out "$1")" | awk -v each="${2:-1536}" '{ n += $4 + each } END { printf "%.0f", n }'
	fi
}

# copy_tree FROM TO LEFT_OUT copies a tree, sharing blocks where the file
# system can. FROM does not change meanwhile. Directories on the way to what is
# left out are made one by one, all else goes by whole entries.
copy_tree() {
	copy_flags=-a
	if cp --help 2>&1 | grep -q -- --reflink; then copy_flags='-a --reflink=auto'; fi
	copy_from=$1 copy_to=$2 copy_out=$3
	copy_level .
}
copy_level() (
	mkdir -p "$copy_to/$1" && cd "$copy_from/$1" || exit 1
	level=$1
	set --
	for entry in * .[!.]* ..?*; do
		[ -e "$entry" ] || [ -L "$entry" ] || continue
		case "$nl$copy_out$nl" in
		*"$nl$level/$entry$nl"*) ;;
		*"$nl$level/$entry/"*) copy_level "$level/$entry" || exit 1 ;;
		*) set -- "$@" "./$entry" ;;
		esac
	done
	[ "$#" = 0 ] || cp $copy_flags -- "$@" "$copy_to/$level/" || exit 1
	tar_flags
	set -f
	# Owner, mode, attributes and time of the directory itself.
	tar -cf - $flags --no-recursion -C "$copy_from" "$level" | tar -xpf - -C "$copy_to"
)

# check_units refuses trees that could not be put back.
check_units() {
	i=0
	while [ "$i" -lt "$units" ]; do
		why=$(unfit "$(unit "$i")")
		[ -z "$why" ] || die "$why"
		i=$((i + 1))
	done
}
