<?php
// Stand-in for tests, not Nextcloud; see README.md.
namespace Standin;

require __DIR__ . '/versioncheck.php';
foreach (['failure', 'config', 'database', 'site', 'log', 'migrations', 'migrator', 'apps', 'store', 'users', 'files'] as $part) {
    require __DIR__ . '/' . $part . '.php';
}
ini_set('display_errors', '0');
error_reporting(E_ALL);
umask(0022);
