<?php
// Prints where the database is. Called as: php -r CODE -- ncfleet-db-facts CONFIGDIR
ini_set('display_errors', 'stderr');
$dir = $argv[2];
$more = glob($dir . '/*.config.php') ?: [];
natsort($more);
$all = [];
ob_start();
foreach (array_merge([$dir . '/config.php'], $more) as $file) {
    if (!is_readable($file)) { ob_end_clean(); fwrite(STDERR, "cannot read $file\n"); exit(3); }
    unset($CONFIG);
    include $file;
    if (isset($CONFIG) && is_array($CONFIG)) { $all = array_merge($all, $CONFIG); }
}
ob_end_clean();
$host = (string)($all['dbhost'] ?? '');
if (preg_match('/^(.*):([^\]:]*)$/', $host, $m) && (substr_count($host, ':') === 1 || $host[0] === '[')) { $host = $m[1]; }
echo 'host=', trim($host, '[]'), "\n";
