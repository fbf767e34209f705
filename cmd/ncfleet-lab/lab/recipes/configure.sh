# Runs inside the new root file system: what is the same on every host.
set -eu
LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive
export LC_ALL DEBIAN_FRONTEND

# The hosts know one repository only: the lab's.
rm -rf /etc/apt/sources.list /etc/apt/sources.list.d /etc/apt/apt.conf.d/99mmdebstrap
mkdir -p /etc/apt/sources.list.d
cat >/etc/apt/sources.list <<'X'
deb [trusted=yes] http://10.77.0.1:8080/apt lab main
deb [trusted=yes] http://10.77.0.1:8080/apt lab-security main
X
echo 'Acquire::Languages "none";' >/etc/apt/apt.conf.d/90lab
rm -rf /var/lib/apt/lists/*

dpkg -i /tmp/lab/*.deb >/dev/null
rm -rf /tmp/lab
apt-mark hold lab-held >/dev/null
# A conffile that a person changed: dpkg asks at the next update.
echo 'comment=changed by the operator of this host' >>/etc/lab/lab-conf.conf

useradd --create-home --shell /bin/bash ops
install -d -m 0700 -o ops -g ops /home/ops/.ssh
echo 'ops ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/ops
chmod 0440 /etc/sudoers.d/ops
chmod 0755 /usr/local/bin/nextcloud-auto-update
chmod 0644 /etc/cron.d/*

# Web server and PHP: opcache stays as shipped.
rm -f /etc/nginx/sites-enabled/default
ln -s ../sites-available/nextcloud /etc/nginx/sites-enabled/nextcloud
sed -i -e 's/^worker_processes .*/worker_processes 1;/' /etc/nginx/nginx.conf
sed -i -e 's/^pm = .*/pm = ondemand/' -e 's/^pm.max_children = .*/pm.max_children = 6/' /etc/php/8.2/fpm/pool.d/www.conf
echo 'php_admin_value[memory_limit] = 512M' >>/etc/php/8.2/fpm/pool.d/www.conf

# Databases keep their files on the data disk, which is mounted at /srv. What
# lies in /srv here is copied to a disk when it is made.
mkdir -p /srv/postgresql
mv /var/lib/mysql /srv/mysql
pg_dropcluster 15 main 2>/dev/null || true
pg_createcluster -d /srv/postgresql/main --encoding UTF8 --locale C.UTF-8 15 main >/dev/null
cat >>/etc/postgresql/15/main/postgresql.conf <<'X'
shared_buffers = 16MB
max_connections = 30
max_wal_size = 64MB
min_wal_size = 32MB
X

# Every host starts the database that it was given.
for unit in mariadb postgresql; do rm -f /etc/systemd/system/*.wants/$unit.service; done
rm -f /etc/systemd/system/mysql.service /etc/systemd/system/mysqld.service
rm -f /etc/ssh/ssh_host_* /etc/hostname /etc/resolv.conf
: >/etc/machine-id
rm -rf /var/cache/apt/archives/*.deb /var/log/*.log /tmp/*
