# cover tells what a snapshot would capture and what stands in the way.
say() { printf '%s%s%s%s%s%s%s\n' "$1" "$tab" "$2" "$tab" "$3" "$tab" "${4:-}"; }

cover_units() {
	need=0 trees=0
	i=0
	while [ "$i" -lt "$units" ]; do
		tree=$(unit "$i")
		part=apps
		[ "$tree" != "$code" ] || part=code
		why=$(unfit "$tree")
		if [ -n "$why" ]; then
			say missing "$part" "$tree" "$why"
		else
			say captured "$part" "$tree"
			store_cost "$tree"
			trees=$((trees + kept_bytes)) bytes=$back_bytes
			# A rebuilt tree stands beside the bad one for a while.
			room=$(bytes_free "$(dirname "$tree")")
			if [ "$(stat -c %d "$(dirname "$tree")")" = "$(stat -c %d "$(existing "$base")")" ]; then
				need=$((need + bytes))
			elif [ "${room:-0}" -lt $((bytes / 1024)) ]; then
				echo "note=restoring $tree needs $((bytes / 1048576)) MiB beside it, $((room / 1024)) MiB are free"
			fi
		fi
		i=$((i + 1))
	done
	# App directories within another unit are captured with it.
	printf '%s' "$apps" | while IFS= read -r dir; do
		i=0
		while [ "$i" -lt "$units" ]; do
			tree=$(unit "$i")
			if inside "$dir" "$tree" && [ -z "$(unfit "$tree")" ]; then
				if [ "$(real "$dir")" = "$dir" ]; then say captured apps "$dir" "with $tree"; else say missing apps "$dir" "it leads through a symbolic link to $(real "$dir"): name that path in the inventory"; fi
				break
			fi
			i=$((i + 1))
		done
	done
	need=$((need + trees))
}

cover_database() {
	where=
	if ! db_facts "$config" || ! db_tools || ! db_login "$config"; then
		say missing database "$where" "$why"
		return
	fi
	if [ -n "$kind" ] && [ "$kind" != "$db_kind" ]; then
		say missing database "$where" "config.php names a database of type $db_kind where the inventory says $kind: survey the host again"
		return
	fi
	if ! bytes=$(db_bytes 2>"$scratch/err") || ! strangers=$(db_strangers 2>"$scratch/err"); then
		say missing database "$where" "cannot read the database $db_name: $(tail -n 1 "$scratch/err" | tr '\t' ' ')"
		return
	fi
	if [ "$db_kind" = sqlite3 ]; then say captured database "$db_file" "SQLite"; else say captured database "$where" "$db_kind $db_name, by $db_dump"; fi
	[ "$strangers" = 0 ] || echo "note=the database $db_name holds $strangers tables without the prefix $db_prefix: they are neither captured nor touched"
	need=$((need + bytes + bytes / 4))
}

main() {
	parse "$@"
	begin
	for tool in tar sha256sum find stat sed sort awk; do
		has "$tool" || die "$tool is missing on this host: install it"
	done
	[ "$compress" != gzip ] || has gzip || die 'gzip is missing on this host: install it or set compress = "none"'
	need=0
	store_ready
	cover_units
	if [ -n "$config_asked" ]; then
		if [ -f "$config/config.php" ]; then
			say captured config "$config"
		else
			say missing config "$config" "there is no config.php in it: check the path in the inventory"
		fi
	fi
	[ -z "$db_asked" ] || cover_database
	free=$(bytes_free "$(existing "$base")")
	[ -z "$free" ] || echo "free=${free}"
	echo "need=$need"
}
main "$@" </dev/null
