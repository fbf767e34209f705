<?php
// Answers one question about the instance's database, as the web user.
// Called as: php -r CODE -- OP ARGUMENT. See the package documentation.
ini_set('display_errors', 'stderr');
function fail($why) { fwrite(STDERR, $why . "\n"); exit(3); }
function readConfig($dir) {
    $files = [$dir . '/config.php'];
    $more = glob($dir . '/*.config.php') ?: [];
    natsort($more);
    $all = [];
    ob_start();
    foreach (array_merge($files, $more) as $file) {
        if (!is_readable($file)) { ob_end_clean(); fail("cannot read $file"); }
        unset($CONFIG);
        include $file;
        if (isset($CONFIG) && is_array($CONFIG)) { $all = array_merge($all, $CONFIG); }
    }
    ob_end_clean();
    if (!$all) { fail("$dir/config.php sets nothing"); }
    return $all;
}
function facts($dir) {
    $c = readConfig($dir);
    $kind = $c['dbtype'] ?? 'sqlite3';
    if ($kind === 'sqlite') { $kind = 'sqlite3'; }
    $name = $c['dbname'] ?? 'owncloud';
    $f = ['kind' => $kind, 'prefix' => $c['dbtableprefix'] ?? 'oc_', 'name' => $name,
        'user' => $c['dbuser'] ?? '', 'host' => $c['dbhost'] ?? '', 'port' => '', 'socket' => ''];
    if ($kind === 'sqlite3') {
        $f['file'] = rtrim($c['datadirectory'] ?? dirname($dir) . '/data', '/') . '/' . $name . '.db';
        return $f;
    }
    if (preg_match('/^(.*):([^\]:]+)$/', $f['host'], $m)) {
        $f['host'] = $m[1];
        $f[is_numeric($m[2]) ? 'port' : 'socket'] = $m[2];
    } elseif ($kind === 'mysql' && strncmp($f['host'], '/', 1) === 0) {
        $f['socket'] = $f['host'];
        $f['host'] = '';
    }
    if ($f['port'] === '' && is_numeric($c['dbport'] ?? '')) { $f['port'] = (string)$c['dbport']; }
    $f['host'] = trim($f['host'], '[]');
    if ($kind === 'mysql' && $f['socket'] === '' && in_array($f['host'], ['', 'localhost'], true)) {
        $f['socket'] = (string)ini_get('pdo_mysql.default_socket');
    }
    return $f;
}
function login($dir) {
    $c = readConfig($dir);
    $f = facts($dir);
    $password = (string)($c['dbpassword'] ?? '');
    if (strpbrk($password, "\n\r\0") !== false) { fail('dbpassword contains a line break'); }
    if ($f['kind'] === 'pgsql') {
        echo '*:*:*:*:', strtr($password, ['\\' => '\\\\', ':' => '\\:']), "\n";
        return;
    }
    $set = ['user' => $f['user'], 'password' => $password, 'host' => $f['host'],
        'port' => $f['port'], 'socket' => $f['socket'], 'max-allowed-packet' => '1G'];
    $tls = [1007 => 'ssl-key', 1008 => 'ssl-cert', 1009 => 'ssl-ca', 1010 => 'ssl-capath', 1011 => 'ssl-cipher'];
    foreach ($tls as $number => $option) { $set[$option] = (string)($c['dbdriveroptions'][$number] ?? ''); }
    echo "[client]\n";
    foreach ($set as $option => $value) {
        if ($value !== '') { echo $option, '="', strtr($value, ['\\' => '\\\\']), "\"\n"; }
    }
}
// Streams a SQLite file while holding its write lock, with nothing left in its
// write-ahead log: the bytes are a whole database. The file is opened once more
// and closed last, because closing any descriptor of it drops the lock.
function copyFile($file) {
    if (!is_file($file)) { fail("there is no database file $file"); }
    $db = new PDO('sqlite:' . $file, null, null, [PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION, PDO::ATTR_TIMEOUT => 30]);
    for ($try = 1; ; $try++) {
        $db->query('PRAGMA wal_checkpoint(TRUNCATE)')->fetchAll();
        $db->exec('BEGIN IMMEDIATE');
        clearstatcache();
        if ((int)@filesize($file . '-wal') === 0) { break; }
        $db->exec('ROLLBACK');
        if ($try === 20) { fail("$file is written all the time: its write-ahead log does not run empty"); }
        usleep(250000);
    }
    $found = $db->query('PRAGMA integrity_check(1)')->fetchColumn();
    if ($found !== 'ok') { fail("$file is damaged: $found"); }
    $in = fopen($file, 'rb');
    $sum = hash_init('sha256');
    while (!feof($in)) {
        $block = fread($in, 1 << 20);
        if ($block === false) { fail("cannot read $file"); }
        hash_update($sum, $block);
        for ($at = 0; $at < strlen($block); $at += $n) {
            $n = fwrite(STDOUT, substr($block, $at));
            if (!$n) { fail('cannot write the copy'); }
        }
    }
    fwrite(STDERR, 'sha256=' . hash_final($sum) . "\n");
}
function run($op, $arg) {
    if ($op === 'ncfleet-db-facts') {
        foreach (facts($arg) as $name => $value) {
            if (strpbrk($value, "\n\r\0") !== false) { fail("$name contains a line break"); }
            echo $name, '=', $value, "\n";
        }
    } elseif ($op === 'ncfleet-db-login') {
        login($arg);
    } elseif ($op === 'ncfleet-db-copy') {
        copyFile($arg);
    } else {
        fail("unknown operation $op");
    }
}
try { run($argv[1] ?? '', $argv[2] ?? ''); } catch (Throwable $e) { fail($e->getMessage()); }
