# verify reads the whole snapshot back. A good one is marked, and only then
# older snapshots of the same subject beyond the wanted number are deleted.
no() {
	printf 'verified=no\ndetail=%s\n' "$1"
	exit 0
}

retain() {
	host=$(meta host) instance=$(meta instance)
	newest=yes kept=0
	for dir in "$base"/*/; do
		dir=${dir%/}
		case $dir in
		*~prepared | *~partial | *~preparing | *~gone)
			# Left over by a rollout that was given up: nobody comes back after a day.
			own=${dir%~*}
			same_subject "$dir" && [ -n "$(find "$dir" -prune -mmin +1440)" ] && [ ! -d "$own~lock" ] && discard "$dir"
			;;
		*~*) ;;
		*) same_subject "$dir" && printf '%s %s\n' "$(sed -n 's/^created=//p' "$dir/meta")" "${dir##*/}" ;;
		esac
	done | sort -rn >"$scratch/all"
	while read -r _ one; do
		kept=$((kept + 1))
		first_verified=no
		if [ "$newest" = yes ] && [ -f "$base/$one/verified" ]; then newest=no first_verified=yes; fi
		[ "$kept" -gt "$keep" ] && [ "$first_verified" = no ] && [ "$one" != "$name" ] && [ ! -d "$base/$one~lock" ] || continue
		(remove "$base/$one" "$one") && echo "deleted=$one"
	done <"$scratch/all"
}

main() {
	parse "$@"
	begin
	lock
	[ -f "$snap/SHA256SUMS" ] || die "there is no snapshot $snap" 66
	found=$(sha256sum <"$snap/SHA256SUMS" | cut -d' ' -f1)
	[ -z "$digest" ] || [ "$digest" = "$found" ] || no "the list of checksums in $snap is not the one that was written"
	wrong=$(first_bad "$snap")
	[ -z "$wrong" ] || no "$snap/$wrong is not what was written, or cannot be read"
	entries=0
	for file in "$snap"/*.tar "$snap"/*.tar.gz; do
		[ -f "$file" ] || continue
		case $file in
		*.gz) gzip -dc <"$file" | tar -tf - ;;
		*) tar -tf "$file" ;;
		esac >"$scratch/names" 2>/dev/null || no "$file cannot be listed"
		entries=$((entries + $(sed -n '$=' "$scratch/names" | sed 's/^$/0/;q') + 0))
	done
	db_whole "$snap" || no "$why"
	proved=
	store_check || no "$why"
	: >"$snap/verified"
	retain
	printf 'verified=yes\ndigest=%s\nbytes=%s\n' "$found" "$(size_of "$snap")"
	printf 'detail=%s files match their checksums, %s archive entries%s' "$(sed -n '$=' "$snap/SHA256SUMS")" "$entries" "$proved"
	[ -z "$(meta db.kind)" ] || printf ', %s dump whole' "$(meta db.kind)"
	echo
}
main "$@" </dev/null
