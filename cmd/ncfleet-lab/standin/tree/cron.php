<?php
// Stand-in for tests, not Nextcloud; see lib/README.md.
namespace Standin;

require __DIR__ . '/lib/base.php';

// Jobs need an open site; otherwise this ends without a word.
try {
    $site = new Site();
    if (!$site->installed() || $site->needsUpgrade() || $site->inMaintenance()) {
        exit(0);
    }
    $jobs = $site->db()->all('SELECT id FROM *PREFIX*jobs ORDER BY id');
    foreach ($jobs as $job) {
        usleep((int)((float)$site->config->get('standin_cron_seconds', 1) * 1e6 / count($jobs)));
        $site->db()->run('UPDATE *PREFIX*jobs SET last_run = ? WHERE id = ?', [time(), $job['id']]);
    }
    $site->db()->setAppValue('core', 'lastcron', (string)time());
} catch (\Throwable $e) {
    fwrite(fopen('php://stderr', 'w'), Failure::text($e) . "\n");
    exit(1);
}
