# Runs in a container on a new data disk: installs Nextcloud with its own
# installer. install.sh DB APP; standard input: the password of ada, then one
# that holds only until a host is made from this disk.
set -eu
db=$1 app=$2
LC_ALL=C.UTF-8
export LC_ALL
IFS= read -r ada
IFS= read -r passing
cd /srv/nextcloud/html

occ() { runuser -u www-data -- php occ --no-interaction "$@" </dev/null; }

# within SECONDS WHAT COMMAND…: waits until the command succeeds.
within() {
	limit=$1 what=$2
	shift 2
	while ! "$@" >/dev/null 2>&1; do
		limit=$((limit - 1))
		[ $limit -gt 0 ] || { echo "$what did not come up" >&2; exit 1; }
		sleep 0.5
	done
}

case $db in
mariadb)
	install -d -o mysql -g mysql /run/mysqld
	mariadbd --user=mysql >/tmp/mariadb.log 2>&1 &
	within 120 MariaDB mariadb-admin ping
	mariadb <<X
CREATE DATABASE nextcloud CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci;
CREATE USER nextcloud@localhost IDENTIFIED BY '$passing';
GRANT ALL ON nextcloud.* TO nextcloud@localhost;
X
	set -- --database=mysql --database-host=localhost --database-name=nextcloud --database-user=nextcloud --database-pass="$passing" ;;
postgres)
	pg_ctlcluster 15 main start
	within 120 PostgreSQL runuser -u postgres -- psql -qc 'SELECT 1'
	cd /
	runuser -u postgres -- psql -q <<X
CREATE ROLE nextcloud LOGIN PASSWORD '$passing';
CREATE DATABASE nextcloud OWNER nextcloud ENCODING 'UTF8';
X
	cd /srv/nextcloud/html
	set -- --database=pgsql --database-host=127.0.0.1 --database-name=nextcloud --database-user=nextcloud --database-pass="$passing" ;;
sqlite)
	set -- --database=sqlite ;;
esac

# The installer takes its passwords as arguments only: those of this call are
# replaced before anybody can reach the database or the site.
occ maintenance:install "$@" --admin-user=installer --admin-pass="$passing" --data-dir=/srv/nextcloud/data
occ config:system:set trusted_domains 0 --value=10.77.255.254
occ config:system:set overwrite.cli.url --value=http://10.77.255.254
occ config:system:set appstoreurl --value=http://10.77.0.1:8080/store
occ config:system:set allow_local_remote_servers --type=boolean --value=true
occ background:cron
OC_PASS=$ada
export OC_PASS
occ user:add --password-from-env --group=admin ada
unset OC_PASS
occ user:delete installer
[ -z "$app" ] || occ app:enable "$app"
occ status

case $db in
mariadb) mariadb-admin shutdown && wait ;;
postgres) pg_ctlcluster 15 main stop ;;
esac
