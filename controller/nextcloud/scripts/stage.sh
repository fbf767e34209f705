# stage: the next release waits beside the live tree, complete and checked,
# while users work. Unpacked with tar or unzip, never with PHP's ZipArchive,
# which takes a full disk for success. The finished tree is readable by root
# alone until it is swapped in, because it lies where a web server may look.

low() {
	if ionice -c 3 true 2>/dev/null; then
		ionice -c 3 nice -n 19 "$@"
	else
		nice -n 19 "$@"
	fi
}

sha512_of() {
	if command -v sha512sum >/dev/null 2>&1; then
		low sha512sum "$1" | cut -d ' ' -f 1
	else
		openssl dgst -sha512 -r "$1" | cut -d ' ' -f 1
	fi
}

fetch() {
	[ -n "$FETCH" ] || return 0
	if [ -f "$ARCHIVE" ] && [ "$(sha512_of "$ARCHIVE")" = "$SHA512" ]; then return 0; fi
	mkdir -p "${ARCHIVE%/*}"
	for t in 1 2 3; do
		if command -v curl >/dev/null 2>&1; then
			low curl -fsSL --connect-timeout 20 -o "$ARCHIVE.part" -- "$FETCH" 2>"$SITE/err" </dev/null && break
		elif command -v wget >/dev/null 2>&1; then
			low wget -q -T 60 -O "$ARCHIVE.part" "$FETCH" 2>"$SITE/err" </dev/null && break
		else
			fail "cannot fetch $FETCH: neither curl nor wget is on this host; install one, or let the controller send the archive"
		fi
		[ "$t" != 3 ] || fail "cannot fetch $FETCH from this host: $(tail -n 1 "$SITE/err")"
		pause 3
	done
	mv "$ARCHIVE.part" "$ARCHIVE"
}

check_archive() {
	[ -f "$ARCHIVE" ] || fail "cannot unpack $ARCHIVE: it is not on this host"
	found=$(sha512_of "$ARCHIVE")
	[ "$found" = "$SHA512" ] || fail "cannot use $ARCHIVE: its SHA-512 is $found, the plan says $SHA512; remove it and run again"
}

kb_of() { du -sk "$1" 2>/dev/null | cut -f 1; }

check_room() {
	dir=${P%/*}
	need=$(($(kb_of "$ARCHIVE") * 6 + $(kb_of "$APPS_FROM/apps" || echo 0)))
	free=$(df -Pk "${dir:-/}" | awk 'NR == 2 { print $4 }')
	[ "${free:-0}" -ge "$need" ] || fail "not enough room in ${dir:-/}: $((need / 1024)) MiB are needed for the new tree, $((free / 1024)) MiB are free; free some, or remove old $P.ncfleet-* trees"
	a=$(stat -c %d "$P") b=$(stat -c %d "${dir:-/}")
	[ "$a" = "$b" ] || fail "$P is a mount point of its own: the new tree beside it would lie on another file system and could not be swapped in; move the instance into a directory of that mount"
}

# unbzip2 writes the unpacked archive to stdout, by whatever is there.
unbzip2() {
	for c in lbzip2 pbzip2 bzip2; do
		if command -v "$c" >/dev/null 2>&1; then
			low "$c" -dc "$ARCHIVE"
			return
		fi
	done
	if command -v busybox >/dev/null 2>&1 && busybox bunzip2 --help >/dev/null 2>&1; then
		low busybox bunzip2 -c "$ARCHIVE"
	elif command -v python3 >/dev/null 2>&1; then
		low python3 -c 'import bz2, shutil, sys; shutil.copyfileobj(bz2.open(sys.argv[1]), sys.stdout.buffer, 1 << 20)' "$ARCHIVE"
	else
		printf 'bzip2 is not on this host; install it\n' >&2
		return 127
	fi
}

unpack() {
	remove_tree "$STAGED.part"
	mkdir "$STAGED.part" && chmod 700 "$STAGED.part" || fail "cannot make $STAGED.part"
	case $ARCHIVE in
	*.zip)
		command -v unzip >/dev/null 2>&1 || fail "cannot unpack $ARCHIVE: unzip is not on this host; install it or use the tar.bz2 release"
		low unzip -q "$ARCHIVE" -d "$STAGED.part" 2>"$SITE/err" </dev/null || fail "cannot unpack $ARCHIVE: $(tail -n 1 "$SITE/err")"
		;;
	*.tar.gz | *.tgz)
		low tar -xzof "$ARCHIVE" -C "$STAGED.part" 2>"$SITE/err" || fail "cannot unpack $ARCHIVE: $(tail -n 1 "$SITE/err")"
		;;
	*)
		rm -f "$SITE/unbzip2"
		{ unbzip2 2>"$SITE/err2"; echo $? >"$SITE/unbzip2"; } | low tar -xof - -C "$STAGED.part" 2>"$SITE/err" ||
			fail "cannot unpack $ARCHIVE: $(tail -n 1 "$SITE/err") $(tail -n 1 "$SITE/err2")"
		[ "$(cat "$SITE/unbzip2")" = 0 ] || fail "cannot unpack $ARCHIVE: $(tail -n 1 "$SITE/err2")"
		;;
	esac
	NEW=$STAGED.part/nextcloud
	[ -f "$NEW/version.php" ] && [ -f "$NEW/occ" ] && [ -d "$NEW/lib" ] || fail "$ARCHIVE is no Nextcloud release: it has no nextcloud/version.php"
}

check_release() {
	new=$(code_version "$NEW")
	is_release "$new" "$TO" || fail "$ARCHIVE holds Nextcloud ${new:-of unknown version}, the plan says $TO"
	old=$(code_version "$APPS_FROM")
	if [ -n "$old" ]; then
		major=${old%%.*} rest=${old#*.}
		allowed=$(sed -n "/OC_VersionCanBeUpgradedFrom/,/;/p" "$NEW/version.php")
		awk -v a="$allowed" -v maj="$major" -v min="${rest%%.*}" 'BEGIN {
			n = split(a, l, "\n"); v = 0; x = "\047" maj "." min "\047"
			if (index(a, x)) exit 0
			for (i = 1; i <= n; i++) if (l[i] ~ "\047" maj "\047" || l[i] ~ "\047" maj "[.]" min "[.0-9]*\047") exit 0
			exit 1 }' || fail "Nextcloud $new cannot be reached from $old: $NEW/version.php allows $(printf '%s' "$allowed" | tr -dc "0-9.,\n" | tr '\n' ' ')"
	fi
	say "version $new"
}

# carry copies the apps that the release does not ship, and themes.
carry() {
	for a in "$APPS_FROM"/apps/*/; do
		a=${a%/}
		id=${a##*/}
		[ -f "$a/appinfo/info.xml" ] && [ ! -d "$NEW/apps/$id" ] || continue
		! grep -q "\"$id\"" "$NEW/core/shipped.json" 2>/dev/null || continue
		low cp -a "$a" "$NEW/apps/$id" || fail "cannot carry over $a"
		echo "$id" >>"$NEW/.ncfleet-carried"
		say "carried app $id"
	done
	for t in "$APPS_FROM"/themes/*; do
		id=${t##*/}
		{ [ -e "$t" ] || [ -L "$t" ]; } && [ ! -e "$NEW/themes/$id" ] || continue
		low cp -a "$t" "$NEW/themes/$id" || fail "cannot carry over $t"
		say "carried theme $id"
	done
	for f in .user.ini robots.txt; do
		if [ -f "$P/$f" ] && [ -f "$NEW/$f" ] && ! cmp -s "$P/$f" "$NEW/$f"; then
			say "note $P/$f differs from the release's; local edits are not carried over"
		fi
	done
}

# dress gives the new tree the owner and modes of the live one.
dress() {
	low chown -R "$(stat -c %u:%g "$P/version.php")" "$NEW" || fail "cannot change the owner of $NEW"
	for e in "$NEW"/* "$NEW"/.[!.]*; do
		n=${e##*/}
		[ -e "$P/$n" ] && [ "$n" != version.php ] || continue
		own=$(stat -c %u:%g "$P/$n")
		[ "$own" = "$(stat -c %u:%g "$e")" ] || low chown -R "$own" "$e" || fail "cannot change the owner of $e"
	done
	fm=$(stat -c %a "$P/version.php") dm=$(stat -c %a "$P/lib")
	low find "$NEW" -type d ! -perm "$dm" -exec chmod "$dm" {} + || fail "cannot change modes in $NEW"
	low find "$NEW" -type f ! -perm "$fm" -exec chmod "$fm" {} + || fail "cannot change modes in $NEW"
	[ ! -f "$P/occ" ] || chmod "$(stat -c %a "$P/occ")" "$NEW/occ"
	rm -f "$NEW/config/CAN_INSTALL"
}

# swappable finds out early what hop.sh would refuse.
swappable() {
	for e in "$NEW"/* "$NEW"/.[!.]*; do
		n=${e##*/}
		case $n in config | themes | .ncfleet-*) continue ;; esac
		{ [ -e "$P/$n" ] || [ -L "$P/$n" ]; } || continue
		[ ! -L "$P/$n" ] || fail "cannot swap $P/$n: it is a symbolic link, and part of every release; replace it by what it points to"
		case $DATA/ in "$P/$n"/*) fail "cannot swap $P/$n: the data directory $DATA lies in it" ;; esac
		m=$(mounts_in "$P/$n" | head -n 1)
		[ -z "$m" ] || fail "cannot swap $P/$n: $m is a mount point"
	done
}

main() {
	parse "$@"
	need_tree
	one_writer
	mark stage-begin
	APPS_FROM=${APPS_FROM:-$P}
	[ -n "$STAGED" ] && [ -n "$TO" ] && [ -n "$ARCHIVE" ] || fail "cannot stage: --staged, --to and --archive are needed"
	echo "$ARCHIVE" >"$SITE/archive-$TO"
	if [ -f "$STAGED/.ncfleet-staged" ] && [ "$(cat "$STAGED/.ncfleet-staged")" = "$SHA512" ] && is_release "$(code_version "$STAGED")" "$TO"; then
		say "already staged"
		return 0
	fi
	if is_release "$(code_version "$P")" "$TO"; then
		say "already live"
		return 0
	fi
	fetch
	check_archive
	check_room
	remove_tree "$STAGED"
	unpack
	check_release
	swappable
	carry
	dress
	printf '%s\n' "$SHA512" >"$NEW/.ncfleet-staged"
	chown "$(id -u):$(id -g)" "$NEW" && chmod 700 "$NEW"
	mark staged-before-sync
	sync
	mv "$NEW" "$STAGED" || fail "cannot rename $NEW to $STAGED"
	rmdir "$STAGED.part" 2>/dev/null || remove_tree "$STAGED.part"
	say "staged $STAGED"
	mark stage-end
}
