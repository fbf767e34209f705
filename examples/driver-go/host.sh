# What the driver does on a host: sh -s -- create|verify|restore|delete|list …
# Exit status: 66 no such copy, 74 no room.
set -u
LC_ALL=C
export LC_ALL
umask 077

die() {
	printf '%s\n' "$1" >&2
	exit "${2:-65}"
}

sums() { (cd "$1" && find . -type f -exec sha256sum {} + | sort); }

# create DIR OWNER PATH...: whole or not at all; what is there already stays.
create() {
	dir=$1 owner=$2
	shift 2
	[ ! -d "$dir" ] || return 0
	mkdir -p "${dir%/*}" || die "cannot make ${dir%/*}"
	rm -rf "$dir"~*
	part=$(mktemp -d "$dir~XXXXXX") && mkdir "$part/places" || die "cannot make $dir" 74
	n=0
	for p; do
		[ ! -s "$p-wal" ] || die "$p is in use: $p-wal is not empty"
		n=$((n + 1))
		cp -a -- "$p" "$part/places/$n" && printf '%s\n' "$p" >>"$part/paths" || die "cannot copy $p" 74
	done
	printf '%s\n' "$owner" >"$part/owner"
	date +%s >"$part/created"
	sums "$part/places" >"$part/sums" && sync && mv "$part" "$dir" || die "cannot finish $dir" 74
}

verify() {
	[ -d "$1" ] || die "there is no copy $1" 66
	if [ "$(sums "$1/places")" = "$(cat "$1/sums")" ]; then echo whole; else echo damaged; fi
}

# restore DIR: each place is copied beside itself first, then swapped in.
restore() {
	[ "$(verify "$1")" = whole ] || die "the copy $1 is missing or damaged" 66
	n=0
	while IFS= read -r p; do
		n=$((n + 1))
		rm -rf "$p.ncfleet-copy" "$p.ncfleet-gone" "$p-wal" "$p-shm"
		cp -a -- "$1/places/$n" "$p.ncfleet-copy" || die "cannot copy $p back" 74
		[ ! -e "$p" ] || mv "$p" "$p.ncfleet-gone" || die "cannot move $p aside"
		mv "$p.ncfleet-copy" "$p" || die "cannot put $p in its place"
		rm -rf "$p.ncfleet-gone"
	done <"$1/paths"
}

delete() { rm -rf "$1" "$1"~*; }

# list FOLDER OWNER DRIVER: "CREATED NAME", newest first.
list() {
	for d in "$1/$3"+*; do
		case $d in *~*) continue ;; esac
		[ "$(cat "$d/owner" 2>/dev/null)" = "$2" ] || continue
		printf '%s %s\n' "$(cat "$d/created")" "${d##*/}"
	done | sort -rn
}

"$@" </dev/null
