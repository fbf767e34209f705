# restore puts the trees, the config and the database back. Every line may be
# the last one of an interrupted call: the next call goes on from what it finds.

# matches TREE N says whether the tree is the captured one.
matches() {
	[ -d "$1" ] || return 1
	list_tree "$1" "$(outs "$2")" >"$scratch/now" 2>/dev/null || return 1
	cmp -s "$scratch/now" "$snap/tree-$2.list"
}

# adopt TREE N brings users' files back from a tree that was put aside.
adopt() {
	rel=$(meta "data\\.$2")
	[ -n "$rel" ] || return 0
	for old in "$1.ncfleet-bad-$name" "$1.ncfleet-bad-$name".[0-9]*; do
		[ -e "$old/$rel" ] || continue
		[ ! -e "$1/$rel" ] || die "users' files are in $old/$rel and $1/$rel exists too: move the right one to $1/$rel"
		# Never a copy: a rename of a directory on the same file system.
		[ "$(stat -c %d "$old/$rel")" = "$(stat -c %d "$1")" ] || die "$old/$rel is on another file system than $1: move it to $1/$rel by hand"
		mv "$old/$rel" "$1/$rel" || die "cannot move $old/$rel to $1/$rel"
	done
	[ -e "$1/$rel" ] || die "the data directory $1/$rel is missing and in no tree that was put aside: find it (look at $1.*) and move it back"
}

# give DIRECTORY N gives a directory its captured owner and mode.
give() {
	root=$(meta "root\\.$2")
	chown "${root#* }" "$1" 2>"$scratch/err" && chmod "${root%% *}" "$1" 2>"$scratch/err"
}

# build TREE N rebuilds the captured tree beside the live one and proves it.
build() {
	build=$1.ncfleet-build-$name
	scrap "$build"
	store_fill "$2"
	list_tree "$build" "$(outs "$2")" >"$scratch/now"
	cmp -s "$scratch/now" "$snap/tree-$2.list" || die "$build differs from the snapshot after unpacking it: check the disk, then run the restore again"
	rel=$(meta "config\\.$2")
	if [ -n "$rel" ]; then
		mkdir -p "$build/$rel" && unpack "$snap/config.tar$(suffix)" "$build/$rel" 2>"$scratch/err" &&
			give "$build/$rel" config || no_build
	fi
}

no_build() {
	why=$(sed -n 1p "$scratch/err")
	if grep -qi 'no space left\|disk quota' "$scratch/err"; then
		scrap "$build"
		die "no room to rebuild $build: $why" 74
	fi
	die "cannot rebuild $build: $why"
}

restore_unit() {
	tree=$(meta "unit\\.$1")
	case $tree in
	/?*) ;;
	*) die "the memory of the snapshot $snap lacks tree $1" ;;
	esac
	new=$tree.ncfleet-new-$name
	# An earlier call ended between its two renames: new is whole by its name.
	if [ ! -e "$tree" ] && [ -d "$new" ]; then
		mv "$new" "$tree" || die "cannot rename $new to $tree"
	fi
	if [ -d "$tree" ]; then adopt "$tree" "$1"; fi
	if ! matches "$tree" "$1"; then
		build "$tree" "$1"
		flush "$build"
		scrap "$new"
		mv "$build" "$new" || die "cannot rename $build"
		if [ -e "$tree" ]; then
			bad=$tree.ncfleet-bad-$name
			n=2
			while [ -e "$bad" ]; do
				bad=$tree.ncfleet-bad-$name.$n
				n=$((n + 1))
			done
			mv "$tree" "$bad" || die "cannot rename $tree to $bad"
		fi
		mv "$new" "$tree" || die "cannot rename $new to $tree"
		adopt "$tree" "$1"
		matches "$tree" "$1" || die "$tree differs from the snapshot after the swap: run the restore again"
		echo "restored=$tree"
	else
		echo "unchanged=$tree"
	fi
	scrap "$tree.ncfleet-build-$name" "$new"
}

config_matches() {
	list_tree "$config" '' >"$scratch/now" 2>/dev/null && cmp -s "$scratch/now" "$snap/config.list" || return 1
	! gnu || unpack "$snap/config.tar$(suffix)" "$config" --compare >/dev/null 2>&1
}

# restore_config replaces file by file, each by a rename: no request ever finds
# the config directory without its config.php.
restore_config() {
	config=$(meta config)
	if config_matches; then return; fi
	mkdir -p "$config" || die "cannot create $config"
	aside=$config/.ncfleet-restore
	rm -rf "$aside"
	mkdir "$aside" && unpack "$snap/config.tar$(suffix)" "$aside" 2>"$scratch/err" || die "cannot unpack the config into $aside: $(sed -n 1p "$scratch/err")" 74
	for file in "$aside"/* "$aside"/.[!.]*; do
		[ -f "$file" ] && [ ! -L "$file" ] || continue
		mv -f "$file" "$config/" || die "cannot put $file into $config"
	done
	rm -rf "$aside"
	if config_matches; then return; fi
	# Subdirectories, links, the directory's own mode, and what is too much.
	if gnu; then
		list_tree "$config" '' | names_of 6 | sort -z >"$scratch/have"
		names_of 6 <"$snap/config.list" | sort -z >"$scratch/want"
		(cd "$config" && comm -z -23 "$scratch/have" "$scratch/want" | xargs -0 rm -rf --)
	else
		list_tree "$config" '' | sed 's/^\([^ ]* \)\{5\}//' | sort >"$scratch/have"
		sed 's/^\([^ ]* \)\{5\}//' "$snap/config.list" | sort >"$scratch/want"
		comm -23 "$scratch/have" "$scratch/want" | while IFS= read -r file; do rm -rf "$config/$file"; done
	fi
	unpack "$snap/config.tar$(suffix)" "$config" 2>"$scratch/err" && give "$config" config || die "cannot put the config into $config: $(sed -n 1p "$scratch/err")" 74
	config_matches || die "$config differs from the snapshot after restoring it: something writes to it although the instance is closed" 75
}

main() {
	parse "$@"
	begin
	lock
	[ -f "$snap/SHA256SUMS" ] || die "there is no snapshot $snap" 66
	same_subject "$snap" || die "the snapshot $snap is of another instance: not restoring it"
	[ -z "$digest" ] || [ "$digest" = "$(sha256sum <"$snap/SHA256SUMS" | cut -d' ' -f1)" ] || die "the list of checksums in $snap is not the one that was written"
	compress=$(meta compress)
	[ "$(meta names)" = nul ] || gnu_tools=no
	[ "$(meta names)" != nul ] || gnu || die "the snapshot $snap was made with GNU tar and find: install them to restore it"
	count=$(grep -c '^unit\.' "$snap/meta")
	# A tree that is the captured one already needs no archive, nor its checksum.
	skipped=' '
	k=0
	while [ "$k" -lt "$count" ]; do
		if matches "$(meta "unit\\.$k")" "$k"; then
			skipped="$skipped tree-$k.tar$(suffix)  tree-$k.delta.tar$(suffix) "
		fi
		k=$((k + 1))
	done
	wrong=$(first_bad "$snap" "$skipped")
	[ -z "$wrong" ] || die "the snapshot $snap is damaged: $wrong is not what was written, or cannot be read"
	store_check || die "$why"
	k=0
	while [ "$k" -lt "$count" ]; do
		restore_unit "$k"
		k=$((k + 1))
	done
	[ -z "$(meta config)" ] || restore_config
	if [ -n "$(meta db.kind)" ]; then
		db_facts "$config" && db_tools && db_login "$config" || die "$why"
		[ "$db_kind" = "$(meta db.kind)" ] || die "config.php names a database of type $db_kind, the snapshot has $(meta db.kind)"
		db_load
		echo "restored=$db_kind $db_name"
	fi
	sync
}
main "$@" </dev/null
