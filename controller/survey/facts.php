<?php
// Runs on a host as the web user: php -r CODE -- ncfleet-facts PATH
// Prints one JSON object; its format is documented in the package comment.
// It writes nothing, and prints no password, salt, secret or instance id.
ini_set('display_errors', 'stderr');
error_reporting(0);
ob_start();

$problems = [];

function ncf_config(string $root, array &$problems): array {
    $files = [$root . '/config/config.php'];
    $extra = glob($root . '/config/*.config.php');
    if (is_array($extra)) {
        natsort($extra);
        $files = array_merge($files, $extra);
    }
    $all = [];
    foreach ($files as $file) {
        if (!is_readable($file)) {
            $problems[] = $file . ' cannot be read by ' . ncf_user(function_exists('posix_geteuid') ? posix_geteuid() : -1);
            continue;
        }
        unset($CONFIG);
        try {
            include $file;
        } catch (\Throwable $e) {
            $problems[] = $file . ': ' . $e->getMessage();
            continue;
        }
        if (isset($CONFIG) && is_array($CONFIG)) {
            $all = array_merge($all, $CONFIG);
        } else {
            $problems[] = $file . ' does not set $CONFIG';
        }
    }
    return [$all, array_slice($files, 1)];
}

function ncf_user(int $uid): string {
    $u = function_exists('posix_getpwuid') ? posix_getpwuid($uid) : false;
    return $u ? $u['name'] : (string)$uid;
}

function ncf_text($v): string {
    return is_scalar($v) ? (string)$v : '';
}

function ncf_cluster(array $c): bool {
    if (!empty($c['redis.cluster']['seeds'])) {
        return true;
    }
    if (stripos(ncf_text($c['memcache.locking'] ?? ''), 'redis') === false) {
        return false;
    }
    $h = ncf_text($c['redis']['host'] ?? '127.0.0.1');
    return !($h === '' || $h[0] === '/' || $h === 'localhost' || $h === '::1' || strpos($h, '127.') === 0 || strpos($h, 'unix:') === 0);
}

function ncf_connect(array $c, string $kind, string $data): \PDO {
    $host = ncf_text($c['dbhost'] ?? '');
    $port = ncf_text($c['dbport'] ?? '');
    $name = ncf_text($c['dbname'] ?? '');
    $options = [\PDO::ATTR_ERRMODE => \PDO::ERRMODE_EXCEPTION, \PDO::ATTR_TIMEOUT => 5];
    if ($kind === 'sqlite3') {
        $file = $data . '/' . ($name === '' ? 'owncloud' : $name) . '.db';
        if (!is_file($file)) {
            throw new \RuntimeException($file . ' does not exist');
        }
        $options[\PDO::SQLITE_ATTR_OPEN_FLAGS] = \PDO::SQLITE_OPEN_READONLY;
        return new \PDO('sqlite:' . $file, null, null, $options);
    }
    $socket = '';
    if (preg_match('/^(.*?):(\/.*|[0-9]+)$/', $host, $m) && substr_count($host, ':') === 1) {
        $host = $m[1];
        if ($m[2][0] === '/') {
            $socket = $m[2];
        } else {
            $port = $m[2];
        }
    }
    if ($kind === 'mysql') {
        $dsn = 'mysql:dbname=' . $name . ($socket !== '' ? ';unix_socket=' . $socket : ';host=' . $host . ($port !== '' ? ';port=' . $port : ''));
        foreach ((array)($c['dbdriveroptions'] ?? []) as $k => $v) {
            $options[$k] = $v;
        }
    } elseif ($kind === 'pgsql') {
        $dsn = 'pgsql:dbname=' . $name . ($host !== '' || $socket !== '' ? ';host=' . ($socket !== '' ? dirname($socket) : $host) : '') . ($port !== '' ? ';port=' . $port : '');
    } else {
        throw new \RuntimeException('databases of type "' . $kind . '" are not supported');
    }
    return new \PDO($dsn, ncf_text($c['dbuser'] ?? ''), ncf_text($c['dbpassword'] ?? ''), $options);
}

function ncf_database(array $c, string $data, array &$problems): array {
    $kind = ncf_text($c['dbtype'] ?? 'sqlite3');
    $db = ['kind' => $kind, 'server' => '', 'version' => '', 'host' => ncf_text($c['dbhost'] ?? ''), 'name' => ncf_text($c['dbname'] ?? ''), 'bytes' => -1, 'problem' => ''];
    $apps = [];
    try {
        $pdo = ncf_connect($c, $kind, $data);
        if ($kind === 'sqlite3') {
            $db['server'] = 'SQLite';
            $db['version'] = ncf_text($pdo->query('SELECT sqlite_version()')->fetchColumn());
            $db['bytes'] = (int)$pdo->query('PRAGMA page_count')->fetchColumn() * (int)$pdo->query('PRAGMA page_size')->fetchColumn();
        } elseif ($kind === 'mysql') {
            $v = ncf_text($pdo->query('SELECT VERSION()')->fetchColumn());
            $db['server'] = stripos($v, 'mariadb') !== false ? 'MariaDB' : 'MySQL';
            preg_match('/^(?:5\.5\.5-)?([0-9]+(?:\.[0-9]+)*)/', $v, $m);
            $db['version'] = $m[1] ?? $v;
            $db['bytes'] = (int)$pdo->query('SELECT SUM(data_length + index_length) FROM information_schema.tables WHERE table_schema = DATABASE()')->fetchColumn();
        } else {
            $db['server'] = 'PostgreSQL';
            preg_match('/^[0-9.]+/', ncf_text($pdo->query('SHOW server_version')->fetchColumn()), $m);
            $db['version'] = $m[0] ?? '';
            $db['bytes'] = (int)$pdo->query('SELECT pg_database_size(current_database())')->fetchColumn();
        }
        $prefix = ncf_text($c['dbtableprefix'] ?? 'oc_');
        if (!preg_match('/^[A-Za-z0-9_]*$/', $prefix)) {
            throw new \RuntimeException('dbtableprefix is not a plain word');
        }
        foreach ($pdo->query("SELECT appid, configkey, configvalue FROM {$prefix}appconfig WHERE configkey IN ('enabled', 'installed_version')") as $row) {
            $apps[(string)$row[0]][(string)$row[1]] = (string)$row[2];
        }
    } catch (\Throwable $e) {
        $text = $e->getMessage();
        foreach (['dbpassword', 'secret', 'passwordsalt'] as $key) {
            if (ncf_text($c[$key] ?? '') !== '') {
                $text = str_replace(ncf_text($c[$key]), '***', $text);
            }
        }
        $db['problem'] = $text === '' ? get_class($e) : $text;
    }
    return [$db, $apps];
}

function ncf_apps(array $paths, array $state, string $root, bool $known, array &$problems): array {
    $shipped = json_decode((string)@file_get_contents($root . '/core/shipped.json'), true) ?: [];
    $always = array_flip($shipped['alwaysEnabled'] ?? []);
    $ours = array_flip($shipped['shippedApps'] ?? []);
    $apps = [];
    foreach ($paths as $p) {
        foreach (@scandir($p['path']) ?: [] as $id) {
            $dir = $p['path'] . '/' . $id;
            if ($id[0] === '.' || !is_file($dir . '/appinfo/info.xml')) {
                continue;
            }
            $x = @simplexml_load_string((string)@file_get_contents($dir . '/appinfo/info.xml'), 'SimpleXMLElement', LIBXML_NONET);
            if ($x === false) {
                $problems[] = $dir . '/appinfo/info.xml cannot be read';
                continue;
            }
            $nc = $x->dependencies->nextcloud ?? null;
            $php = $x->dependencies->php ?? null;
            $app = ['id' => $id, 'version' => trim((string)$x->version), 'path' => $dir,
                'min' => trim((string)($nc['min-version'] ?? '')), 'max' => trim((string)($nc['max-version'] ?? '')),
                'minphp' => trim((string)($php['min-version'] ?? '')), 'maxphp' => trim((string)($php['max-version'] ?? '')),
                'shipped' => isset($ours[$id]), 'enabled' => isset($always[$id]) || ($state[$id]['enabled'] ?? 'no') !== 'no',
                'db' => $state[$id]['installed_version'] ?? ''];
            if (!isset($apps[$id]) || version_compare($app['version'], $apps[$id]['version'], '>')) {
                $apps[$id] = $app;
            }
        }
    }
    foreach ($state as $id => $s) {
        if ($known && ($s['enabled'] ?? 'no') !== 'no' && !isset($apps[$id]) && $id !== 'core') {
            $problems[] = 'app ' . $id . ' is enabled in the database, but its files are in none of the app directories';
        }
    }
    return array_values($apps);
}

function ncf_facts(string $root): array {
    $problems = [];
    [$c, $extra] = ncf_config($root, $problems);
    $data = rtrim(ncf_text($c['datadirectory'] ?? $root . '/data'), '/');
    $paths = [];
    foreach ((array)($c['apps_paths'] ?? []) as $p) {
        if (is_array($p) && isset($p['path'])) {
            $paths[] = ['path' => rtrim(ncf_text($p['path']), '/'), 'writable' => (bool)($p['writable'] ?? false)];
        }
    }
    if (!$paths) {
        $paths[] = ['path' => $root . '/apps', 'writable' => true];
    }
    [$db, $state] = ncf_database($c, $data, $problems);
    $apps = ncf_apps($paths, $state, $root, $db['problem'] === '', $problems);
    $store = $c['objectstore']['class'] ?? $c['objectstore_multibucket']['class'] ?? '';
    $updates = ncf_text($c['updatedirectory'] ?? $data) ?: $data;
    $log = ncf_text($c['log_type'] ?? 'file') === 'file' ? ncf_text($c['logfile'] ?? $data . '/nextcloud.log') : '';
    return [
        'ncfleet' => 1,
        'datadir' => $data,
        'appsdirs' => implode(':', array_column($paths, 'path')),
        'version' => ncf_text($c['version'] ?? ''),
        'installed' => (bool)($c['installed'] ?? false),
        'maintenance' => (bool)($c['maintenance'] ?? false),
        'channel' => ncf_text($c['updater.release.channel'] ?? ''),
        'appspaths' => $paths,
        'settings' => [
            'readonly' => (bool)($c['config_is_read_only'] ?? false),
            'appstore' => (bool)($c['appstoreenabled'] ?? true) && (bool)($c['has_internet_connection'] ?? true),
            'appstoreurl' => ncf_text($c['appstoreurl'] ?? ''),
            'objectstore' => ncf_text($store),
            'url' => ncf_text($c['overwrite.cli.url'] ?? ''),
            'domains' => array_values(array_filter(array_map('ncf_text', (array)($c['trusted_domains'] ?? [])))),
            'loglevel' => ncf_text($c['loglevel'] ?? ''),
            'logfile' => $log,
            'disableweb' => (bool)($c['upgrade.disable-web'] ?? false),
            'extra' => $extra,
            'cluster' => ncf_cluster($c),
        ],
        'database' => $db,
        'php' => ['binary' => PHP_BINARY, 'version' => PHP_MAJOR_VERSION . '.' . PHP_MINOR_VERSION . '.' . PHP_RELEASE_VERSION,
            'memory' => (string)ini_get('memory_limit'), 'scan' => (string)PHP_CONFIG_FILE_SCAN_DIR,
            'usermemory' => ncf_text((@parse_ini_file($root . '/.user.ini') ?: [])['memory_limit'] ?? ''), 'modules' => get_loaded_extensions()],
        'apps' => $apps,
        'leftovers' => glob($updates . '/updater-*/.step') ?: [],
        'problems' => $problems,
    ];
}

$op = $argv[1] ?? '';
$answer = $op === 'ncfleet-facts'
    ? ncf_facts((string)($argv[2] ?? ''))
    : ['ncfleet' => 0, 'problems' => ['unknown operation "' . $op . '"']];
ob_end_clean();
echo "\n", json_encode($answer, JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE | JSON_INVALID_UTF8_SUBSTITUTE), "\n";
