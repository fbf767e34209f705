# create captures the closed target. It works in NAME~partial and renames it at
# the end: a directory without ~ in its name is always a whole snapshot.
room_or_not() {
	if grep -qi 'no space left\|disk quota' "$scratch/err" 2>/dev/null || [ "$(bytes_free "$base")" = 0 ]; then echo 74; else echo 65; fi
}

create_database() {
	db_facts "$config" && db_tools && db_login "$config" || die "$why"
	printf 'db.kind=%s\n' "$db_kind" >>"$work/meta"
	db_tables >"$work/db.tables" 2>"$scratch/err" || die "cannot list the tables of $db_name"
	[ "$db_kind" = sqlite3 ] || [ -s "$work/db.tables" ] || die "the database $db_name shows no table with the prefix $db_prefix: $(tail -n 1 "$scratch/err")"
	db_save "$work"
}

main() {
	parse "$@"
	begin
	lock
	if [ -f "$snap/SHA256SUMS" ]; then
		same_subject "$snap" || die "the snapshot $snap is of another instance: use another key"
		report "$snap"
		exit 0
	fi
	check_units
	work=$snap~partial
	discard "$work"
	mkdir "$work" || die "cannot create $work" 74
	describe >"$scratch/plan"
	{
		printf 'version=1\ndriver=%s\nkey=%s\nhost=%s\ninstance=%s\ncreated=%s\n' "$driver" "$key" "$host" "$instance" "$(date +%s)"
		cat "$scratch/plan"
	} >"$work/meta" || die "cannot write to $work" 74
	: >"$scratch/sums"
	store_take
	if [ -n "$config_asked" ]; then
		[ -f "$config/config.php" ] || die "there is no $config/config.php: check the path in the inventory"
		list_tree "$(real "$config")" '' >"$work/config.list" && pack_tree "$work/config.tar$(suffix)" "$(real "$config")" '' 2>"$scratch/err" ||
			die "cannot archive $config: $(sed -n 1p "$scratch/err")" "$(room_or_not)"
	fi
	[ -z "$db_asked" ] || create_database
	(
		cd "$work" || exit 1
		for file in *; do
			grep -q " $file\$" "$scratch/sums" && continue
			sums "$file" >>"$scratch/sums"
			grep -q "^[0-9a-f]\{64\}  $file\$" "$scratch/sums" || exit 1
		done
		sort -k2 "$scratch/sums" >SHA256SUMS
	) || die "cannot write the checksums into $work" 74
	flush "$work"/* "$work"
	mv "$work" "$snap" || die "cannot rename $work" 74
	flush "$base"
	rm -rf "$snap~prepared"
	report "$snap"
}
main "$@" </dev/null
