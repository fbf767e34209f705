# The instance's database. Every tool runs as the web user, as PHP itself does,
# so that socket and peer logins work too. The password goes from PHP into a
# file that is unlinked before any tool starts: tools read it through the open
# descriptor 3, and nothing is left behind however the script ends.

as_web() {
	if [ "$(id -u)" != 0 ] || [ "$(id -un)" = "$web" ] || [ -z "$web" ]; then
		env HOME=/nonexistent "$@"
	elif has runuser; then
		env HOME=/nonexistent runuser -u "$web" -- "$@"
	elif has setpriv && setpriv --help 2>&1 | grep -q -- --init-groups; then
		env HOME=/nonexistent setpriv "--reuid=$web" "--regid=$(id -g "$web")" --init-groups -- "$@"
	else
		line=exec
		for word; do line="$line '$(printf '%s' "$word" | sed "s/'/'\\\\''/g")'"; done
		env HOME=/nonexistent su -s /bin/sh "$web" -c "$line"
	fi
}

# php_op is the one place where PHP is called.
php_op() { as_web "$php" -r "$php_code" -- "$@"; }

fact() { printf '%s\n' "$facts" | sed -n "s/^$1=//p"; }

# db_facts CONFIG reads the settings; why is set when it fails.
db_facts() {
	why=
	has "$php" || {
		why="there is no $php on this host: name the PHP command line in the inventory"
		return 1
	}
	facts=$(php_op ncfleet-db-facts "$1" 2>"$scratch/err") || {
		why="PHP as ${web:-this user} cannot read the database settings in $1: $(sed -n 1p "$scratch/err")"
		return 1
	}
	db_kind=$(fact kind) db_name=$(fact name) db_file=$(fact file) db_prefix=$(fact prefix)
	case $db_prefix in
	*[!A-Za-z0-9_]*)
		why="the table prefix $db_prefix in $1/config.php has characters that Nextcloud does not allow"
		return 1
		;;
	esac
	case $db_name in
	-* | '')
		why="the database name in $1/config.php is empty or starts with a dash"
		return 1
		;;
	esac
}

# db_tools finds the client programs of db_kind.
db_tools() {
	why=
	case $db_kind in
	sqlite3) return 0 ;;
	mysql)
		db_dump=mariadb-dump db_client=mariadb
		has mariadb-dump || db_dump=mysqldump
		has mariadb || db_client=mysql
		want='mariadb-client (or mysql-client)'
		;;
	pgsql) db_dump=pg_dump db_client=psql want=postgresql-client ;;
	*)
		why="databases of type $db_kind are not supported: use a snapshot driver that covers it"
		return 1
		;;
	esac
	for tool in "$db_dump" "$db_client"; do
		has "$tool" || why="$tool is missing on this host: install the package $want"
	done
	if [ "$db_kind" = pgsql ] && ! has pg_restore; then why="pg_restore is missing on this host: install the package $want"; fi
	[ -z "$why" ]
}

# db_login CONFIG opens descriptor 3.
db_login() {
	[ "$db_kind" != sqlite3 ] || return 0
	php_op ncfleet-db-login "$1" >"$scratch/login" 2>"$scratch/err" ||
		{
			why="PHP cannot read the database login in $1: $(sed -n 1p "$scratch/err")"
			return 1
		}
	if [ "$(id -u)" = 0 ] && [ -n "$web" ]; then chown "$web" "$scratch/login"; fi
	exec 3<"$scratch/login"
	rm -f "$scratch/login"
	login=/proc/self/fd/3
	[ "$db_kind" = pgsql ] || return 0
	PGPASSFILE=$login PGHOST=$(fact socket) PGPORT=$(fact port) PGUSER=$(fact user) PGDATABASE=$db_name PGCONNECT_TIMEOUT=15
	[ -n "$PGHOST" ] || PGHOST=$(fact host)
	[ -n "$PGPORT" ] || unset PGPORT
	[ -n "$PGHOST" ] || unset PGHOST
	[ -n "$PGUSER" ] || unset PGUSER
	PGOPTIONS='-c lock_timeout=60s -c client_min_messages=warning'
	export PGPASSFILE PGDATABASE PGCONNECT_TIMEOUT PGOPTIONS
	[ -z "${PGHOST:-}" ] || export PGHOST
	[ -z "${PGPORT:-}" ] || export PGPORT
	[ -z "${PGUSER:-}" ] || export PGUSER
}

mysql_client() {
	as_web "$db_client" "--defaults-file=$login" --default-character-set=utf8mb4 \
		--batch --skip-column-names "$@" -- "$db_name"
}
pg_client() { as_web psql -X -q -At -w -v ON_ERROR_STOP=1 "$@"; }

mysql_ours="table_schema=DATABASE() AND table_type<>'SYSTEM VIEW'"
pg_ours="FROM pg_class c JOIN pg_namespace n ON n.oid=c.relnamespace WHERE pg_table_is_visible(c.oid)
AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'"

# db_tables prints the instance's tables and views, one per line, sorted.
db_tables() {
	case $db_kind in
	sqlite3) ;;
	mysql) mysql_client -e "SELECT table_name FROM information_schema.tables WHERE $mysql_ours AND LEFT(table_name,CHAR_LENGTH('$db_prefix'))='$db_prefix'" </dev/null ;;
	pgsql) pg_client -c "SELECT c.relname $pg_ours AND c.relkind IN ('r','p','v','m','f') AND left(c.relname,length('$db_prefix'))='$db_prefix'" </dev/null ;;
	esac | sort
}

# db_bytes prints an estimate of the dump's size.
db_bytes() {
	case $db_kind in
	sqlite3) stat -c %s "$db_file" ;;
	mysql) mysql_client -e "SELECT COALESCE(SUM(data_length),0) FROM information_schema.tables WHERE $mysql_ours" </dev/null ;;
	pgsql) pg_client -c "SELECT COALESCE(sum(pg_table_size(c.oid)),0)::bigint $pg_ours AND c.relkind IN ('r','m')" </dev/null ;;
	esac
}

# db_strangers prints how many tables of other applications share the database.
db_strangers() {
	case $db_kind in
	sqlite3) echo 0 ;;
	mysql) mysql_client -e "SELECT COUNT(*) FROM information_schema.tables WHERE $mysql_ours AND LEFT(table_name,CHAR_LENGTH('$db_prefix'))<>'$db_prefix'" </dev/null ;;
	pgsql) pg_client -c "SELECT count(*) $pg_ours AND c.relkind IN ('r','p') AND left(c.relname,length('$db_prefix'))<>'$db_prefix'" </dev/null ;;
	esac
}

# through writes a command's output to a file, compressed or not, and fails
# when either side does.
through() {
	to=$1
	shift
	if [ "$compress" != gzip ]; then
		"$@" >"$to"
		return
	fi
	{
		"$@"
		echo $? >"$to.exit"
	} | gzip -1 >"$to"
	piped=$?
	read -r wrote <"$to.exit" || wrote=1
	rm -f "$to.exit"
	[ "$piped" = 0 ] && return "$wrote"
}

plain() {
	case $1 in
	*.gz) gzip -dc <"$1" ;;
	*) cat "$1" ;;
	esac
}

# db_save DIRECTORY dumps the database into it.
db_save() {
	suffix=
	[ "$compress" != gzip ] || suffix=.gz
	case $db_kind in
	sqlite3)
		[ -f "$db_file" ] || die "there is no database file $db_file: check datadirectory and dbname in config.php"
		stat -c 'db.mode=%a' "$db_file" >>"$1/meta"
		through "$1/db.sqlite$suffix" php_op ncfleet-db-copy "$db_file" 2>"$scratch/err" ||
			no_dump "cannot copy $db_file: $(sed -n 1p "$scratch/err")"
		said=$(sed -n 's/^sha256=//p' "$scratch/err")
		[ "$said" = "$(plain "$1/db.sqlite$suffix" | sha256sum | cut -d' ' -f1)" ] ||
			die "the copy of $db_file differs from what was read: check the disk below $base"
		;;
	mysql)
		# mysqldump of MySQL 8 asks for rights and tables that MariaDB has not.
		set -- "$1"
		as_web "$db_dump" --no-defaults --help >"$scratch/help" 2>/dev/null </dev/null
		if grep -q -- --set-gtid-purged "$scratch/help"; then set -- "$@" --set-gtid-purged=OFF; fi
		if grep -q -- --column-statistics "$scratch/help"; then set -- "$@" --column-statistics=0; fi
		dir=$1
		shift
		set -- "$@" -- "$db_name"
		# In a database shared with others only this instance's tables are saved.
		if [ "$(db_strangers)" != 0 ]; then
			while IFS= read -r table; do set -- "$@" "$table"; done <"$dir/db.tables"
		fi
		through "$dir/db.sql$suffix" as_web "$db_dump" "--defaults-file=$login" --single-transaction --quick --hex-blob \
			--no-tablespaces --skip-dump-date --default-character-set=utf8mb4 "$@" 2>"$scratch/err" ||
			no_dump "$db_dump of $db_name failed: $(tail -n 1 "$scratch/err")"
		;;
	pgsql)
		pattern='*'
		[ -z "$db_prefix" ] || pattern="\"$db_prefix\"*"
		through "$1/db.pgdump$suffix" as_web pg_dump -w --format=custom --compress=0 --lock-wait-timeout=60000 \
			-t "$pattern" 2>"$scratch/err" ||
			no_dump "pg_dump of $db_name failed: $(tail -n 1 "$scratch/err")"
		;;
	*) die "databases of type $db_kind are not supported" ;;
	esac
	db_whole "$1" || die "$why"
}

no_dump() {
	if grep -qi 'no space left' "$scratch/err"; then die "$1" 74; fi
	die "$1"
}

# db_whole DIRECTORY checks that the dump in it is a complete one.
db_whole() {
	why=
	wanted=$(sed -n '$=' "$1/db.tables")
	for file in "$1"/db.sql "$1"/db.sql.gz; do
		[ -f "$file" ] || continue
		plain "$file" | tail -n 3 | grep -q '^-- Dump completed' || why="the dump $file does not end with its trailer"
		found=$(plain "$file" | grep -c -e '^CREATE TABLE ' -e '^/\*!50001 CREATE .*VIEW\|^/\*!50001 VIEW ' || true)
		[ "$found" -ge "${wanted:-0}" ] || why="the dump $file has $found of ${wanted:-0} tables"
	done
	for file in "$1"/db.pgdump "$1"/db.pgdump.gz; do
		[ -f "$file" ] || continue
		found=$(plain "$file" | pg_restore --list 2>/dev/null | grep -c -e ' TABLE [^ ]* ' -e ' VIEW ' || true)
		[ "$found" -ge "${wanted:-0}" ] || why="the dump $file has $found of ${wanted:-0} tables"
	done
	for file in "$1"/db.sqlite "$1"/db.sqlite.gz; do
		[ -f "$file" ] || continue
		[ "$(plain "$file" | dd bs=1 count=15 2>/dev/null)" = 'SQLite format 3' ] || why="$file is not a SQLite database"
	done
	[ -z "$why" ]
}

# db_empty drops what the instance owns. Dropping the whole database instead
# would need the right to create it again and would take other applications'
# tables along.
db_empty() {
	case $db_kind in
	mysql)
		{
			echo 'SET SESSION lock_wait_timeout=60; SET FOREIGN_KEY_CHECKS=0;'
			mysql_client -e "SELECT CONCAT('DROP ',IF(table_type='VIEW','VIEW','TABLE'),' IF EXISTS \`',REPLACE(table_name,'\`','\`\`'),'\`;')
FROM information_schema.tables WHERE $mysql_ours AND LEFT(table_name,CHAR_LENGTH('$db_prefix'))='$db_prefix'" </dev/null || echo 'cannot list;'
		} >"$scratch/drop.sql"
		mysql_client <"$scratch/drop.sql"
		;;
	pgsql)
		pg_client -c "SELECT format('DROP %s IF EXISTS %I.%I CASCADE;', CASE c.relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW'
WHEN 'S' THEN 'SEQUENCE' WHEN 'f' THEN 'FOREIGN TABLE' ELSE 'TABLE' END, n.nspname, c.relname) $pg_ours
AND c.relkind IN ('r','p','v','m','S','f') AND left(c.relname,length('$db_prefix'))='$db_prefix' ORDER BY c.relkind='S'" \
			</dev/null >"$scratch/drop.sql" && pg_client <"$scratch/drop.sql"
		;;
	esac
}

# undefined takes the owner off views and triggers: creating one in the name of
# somebody else needs rights that the instance has not. Only structural lines of
# a dump start like this, and they are short.
undefined() { sed '/^\/\*!500[0-9][0-9] /s/DEFINER=`[^`]*`@`[^`]*`//'; }

# whole is plain, and remembers when it could not read to the end.
whole() { plain "$1" || : >"$scratch/cut"; }

# db_load puts the snapshot's dump into the emptied database.
db_load() {
	case $db_kind in
	sqlite3) db_load_file ;;
	mysql)
		db_empty 2>"$scratch/err" || die "cannot empty the database $db_name: $(tail -n 1 "$scratch/err")"
		for file in "$snap"/db.sql "$snap"/db.sql.gz; do
			[ -f "$file" ] || continue
			whole "$file" | undefined | mysql_client 2>"$scratch/err" || die "cannot load $file into $db_name: $(tail -n 1 "$scratch/err")"
		done
		;;
	pgsql)
		db_empty 2>"$scratch/err" || die "cannot empty the database $db_name: $(tail -n 1 "$scratch/err")"
		for file in "$snap"/db.pgdump "$snap"/db.pgdump.gz; do
			[ -f "$file" ] || continue
			whole "$file" | as_web pg_restore -w --exit-on-error -d "$db_name" 2>"$scratch/err" ||
				die "cannot load $file into $db_name: $(sed -n 1p "$scratch/err")"
		done
		;;
	*) die "databases of type $db_kind are not supported" ;;
	esac
	[ ! -e "$scratch/cut" ] || die "cannot read the dump in $snap to its end: check the disk"
	[ "$db_kind" = sqlite3 ] || db_tables >"$scratch/tables"
	[ "$db_kind" = sqlite3 ] || cmp -s "$scratch/tables" "$snap/db.tables" ||
		die "the database $db_name does not have the tables of the snapshot after loading it: run the restore again, then look into $snap"
}

# db_load_file replaces a SQLite file. The old log goes first: next to a
# restored file it would be replayed into it.
db_load_file() {
	for file in "$snap"/db.sqlite "$snap"/db.sqlite.gz; do
		[ -f "$file" ] || continue
		plain "$file" | as_web sh -c 'umask 077; cat >"$1" && chmod "$2" "$1" && { sync "$1" 2>/dev/null || sync; } &&
rm -f "$3-wal" "$3-shm" "$3-journal" && mv -f "$1" "$3"' sh "$db_file.ncfleet-new" "$(meta db.mode)" "$db_file" 2>"$scratch/err" ||
			die "cannot replace $db_file: $(sed -n 1p "$scratch/err")"
		said=$(plain "$file" | sha256sum | cut -d' ' -f1)
		[ "$said" = "$(sha256sum <"$db_file" | cut -d' ' -f1)" ] || die "$db_file differs from the snapshot after writing it: check the disk"
	done
}
