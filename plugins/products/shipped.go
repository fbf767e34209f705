package products

import "regexp"

func named(product string, parts int, expression string) row {
	return row{product: product, match: regexp.MustCompile(`^(?:` + expression + `)$`), parts: parts}
}

// The parts of PHP that carry PHP's own version, as the distributions split it.
const (
	phpParts = `bcmath|bz2|calendar|cgi|cli|common|ctype|curl|dba|dbg|dev|devel|dom|embed|embedded|enchant|exif|fastcgi|ffi|fileinfo|fpm|ftp|` +
		`gd|gettext|gmp|iconv|imap|interbase|intl|json|ldap|mbstring|mysql|mysqli|mysqlnd|odbc|opcache|openssl|pcntl|pdo|pdo_mysql|pdo_pgsql|pdo_sqlite|` +
		`pgsql|phar|phpdbg|posix|process|pspell|readline|session|shmop|simplexml|snmp|soap|sockets|sodium|sqlite|sqlite3|sybase|` +
		`sysvmsg|sysvsem|sysvshm|test|tidy|tokenizer|xml|xmlreader|xmlrpc|xmlwriter|xsl|zip|zlib`
	postgresParts = `client|contrib|devel|doc|docs|docs-pdf|libs|llvmjit|llvmjit-devel|plperl|plpython3?|pltcl|private-devel|private-libs|server|server-dev|server-devel|static|test|upgrade|upgrade-devel`
	mariadbParts  = `backup|bench|client|client-compat|client-utils|common|cracklib-password-check|embedded|embedded-devel|errmsg|errormessages|galera|` +
		`gssapi-server|libs|oqgraph-engine|pam|rocksdb-engine|s3-engine|server|server-compat|server-galera|server-utils|shared|sphinx-engine|test|tools|compat`
)

// shipped are matched in order. Kernels, nginx and Apache httpd are left out:
// their next version is an update within one release of the system. Each
// product's first comment names the vendor's rule of what a major is, the
// others where the packages' names are to be found.
var shipped = []row{
	// Debian's and Ubuntu's metapackages of extensions have a version of their
	// own, as have the extensions of Fedora (php-pecl-*) and SUSE (php8-APCu).
	// https://packages.debian.org/php-apcu, https://packages.fedoraproject.org/search?query=php-pecl
	named("", 0, `php-(?:apcu|redis|imagick|pear|igbinary|memcached|pecl-.*)`),

	// MariaDB: a release series is two numbers, and each move needs mariadb-upgrade.
	// https://mariadb.org/about/#maintenance-policy
	// Debian names: https://packages.debian.org/source/stable/mariadb
	named("mariadb", 2, `mariadb-(?:server|client|backup)(?:-core)?(?:-(\d+\.\d+))?`),
	// Fedora, Enterprise Linux, SUSE, Alpine and MariaDB's own RPMs; since 2024
	// Fedora also puts the series into the name (mariadb11.8-server).
	// https://fedoraproject.org/wiki/Changes/F40_MariaDB_MySQL_repackaging
	// https://mariadb.com/kb/en/about-the-mariadb-rpm-files/, https://pkgs.alpinelinux.org/packages?name=mariadb*
	named("mariadb", 2, `(?:mariadb|MariaDB)(\d+\.\d+)?(?:-(?:`+mariadbParts+`))?`),
	// SUSE's further versions: https://software.opensuse.org/package/mariadb104
	named("mariadb", 2, `mariadb(1\d)(\d{1,2})(?:-(?:`+mariadbParts+`))?`),

	// MySQL: a series is two numbers (5.7, 8.0, 8.4).
	// https://dev.mysql.com/doc/refman/8.4/en/mysql-releases.html
	// Debian and Ubuntu: https://packages.ubuntu.com/mysql-server; Oracle's RPMs:
	// https://dev.mysql.com/doc/refman/8.4/en/linux-installation-rpm.html; Percona:
	// https://docs.percona.com/percona-server/8.4/yum-repo.html
	named("mysql", 2, `(?:mysql|mysql-community|percona-server|percona-xtradb-cluster)-(?:server|client|libs|errmsg|test)(?:-core)?(?:-(\d+\.\d+))?`),
	named("mysql", 2, `(?:mysql|community-mysql)(\d+\.\d+)?(?:-(?:server|libs|errmsg|test))?`),

	// PostgreSQL: the first number, before 10 the first two.
	// https://www.postgresql.org/support/versioning/
	// PGDG's RPMs of 9.x: https://yum.postgresql.org/
	named("postgresql", 0, `postgresql(9)([0-6])(?:-.*)?`),
	// Debian (postgresql-15, postgresql-15-cron), PGDG, SUSE and Alpine (postgresql16-server).
	// https://wiki.debian.org/PostgreSql, https://software.opensuse.org/package/postgresql16-server,
	// https://pkgs.alpinelinux.org/packages?name=postgresql*
	named("postgresql", 1, `postgresql-?(\d+(?:\.\d)?)(?:-.*)?`),
	named("postgresql", 1, `postgresql-(?:client|contrib|doc|plperl|plpython3?|pltcl|server-dev)-(\d+(?:\.\d)?)`),
	// Metapackages, and the module streams of Enterprise Linux, whose names stay.
	// https://docs.redhat.com/en/documentation/red_hat_enterprise_linux/9/html/configuring_and_using_database_servers/using-postgresql_configuring-and-using-database-servers
	named("postgresql", 1, `postgresql(?:-(?:`+postgresParts+`))?`),

	// PHP: a branch is two numbers. https://www.php.net/supported-versions.php
	// Debian, Ubuntu and packages.sury.org: https://packages.debian.org/php8.2-fpm
	named("php", 2, `(?:libapache2-mod-|libphp-?)?php(\d+\.\d+)(?:-.*)?`),
	// Remi's collections (php82-php-fpm), IUS (php74u-fpm) and Alpine (php82-fpm).
	// https://blog.remirepo.net/pages/Config-en, https://pkgs.alpinelinux.org/packages?name=php8*
	named("php", 2, `(?:apache2-mod_|mod_|apache2-)?php(\d)(\d+)[uw]?(?:-.*)?`),
	// SUSE has the first number in the name only; extensions are versioned apart.
	// https://software.opensuse.org/package/php8
	named("php", 2, `(?:apache2-mod_)?php\d(?:-(?:`+phpParts+`))?`),
	// Debian's metapackages; Fedora and the module streams of Enterprise Linux.
	// https://packages.fedoraproject.org/pkgs/php/
	named("php", 2, `(?:libapache2-mod-|mod_)?php(?:-(?:`+phpParts+`))?`),

	// Redis and Valkey: the first number. https://redis.io/about/releases/, https://valkey.io/topics/releases/
	// https://packages.debian.org/redis-server, https://software.opensuse.org/package/redis7
	named("redis", 1, `(?:redis|valkey)(\d)?(?:-(?:server|tools|sentinel|cli))?`),

	// Node.js: the first number. https://nodejs.org/en/about/previous-releases
	// https://github.com/nodesource/distributions, https://docs.fedoraproject.org/en-US/packaging-guidelines/Node.js/
	named("nodejs", 1, `nodejs(\d{2})?(?:-(?:bin|libs|npm|current))?`),

	// Search engines: the first number. https://www.elastic.co/docs/deploy-manage/upgrade,
	// https://docs.opensearch.org/latest/install-and-configure/upgrade-opensearch/
	named("elasticsearch", 1, `elasticsearch|opensearch`),

	// ONLYOFFICE Docs: the first number. https://helpcenter.onlyoffice.com/docs/installation/docs-community-install-ubuntu.aspx
	named("onlyoffice", 1, `onlyoffice-documentserver(?:-..)?`),

	// Collabora Online: year and month. https://sdk.collaboraonline.com/docs/installation/Collabora_Online_installation.html
	named("collabora", 2, `coolwsd`),

	// The release of the system. Debian's base-files carries it; Ubuntu's has
	// Debian's number, its release upgrader has Ubuntu's own.
	// https://packages.debian.org/base-files, https://packages.ubuntu.com/ubuntu-release-upgrader-core
	named(OS, 1, `base-files`),
	named(OS, 2, `ubuntu-release-upgrader-core`),
	// Fedora and Enterprise Linux: the first number; 9.3 to 9.4 is an update.
	// https://access.redhat.com/support/policy/updates/errata, https://docs.fedoraproject.org/en-US/releases/lifecycle/
	named(OS, 1, `(?:redhat|fedora|centos|centos-stream|centos-linux|rocky|almalinux|oraclelinux|system)-release`),
	// SUSE: a service pack, and a Leap, is two numbers and moves by "zypper
	// migration" or "zypper dup". A Tumbleweed has a date, which is no release.
	// https://www.suse.com/lifecycle/, https://en.opensuse.org/SDB:System_upgrade
	named(OS, 2, `(?:openSUSE|Leap|SLES|SLES_SAP|SLED)-release`),
	// Alpine: two numbers. https://wiki.alpinelinux.org/wiki/Upgrading_Alpine_to_a_new_release
	named(OS, 2, `alpine-(?:base|release)`),
}
