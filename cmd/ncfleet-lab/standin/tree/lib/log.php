<?php
// Stand-in for tests, not Nextcloud; see README.md.
namespace Standin;

/** nextcloud.log: one JSON object a line, from loglevel on. */
final class Log
{
    public static function write(Site $site, int $level, string $app, string $message): void
    {
        if ($level < (int)$site->config->get('loglevel', 2)) {
            return;
        }
        $file = (string)$site->config->get('logfile', $site->dataDir() . '/nextcloud.log');
        $line = json_encode([
            'reqId' => bin2hex(random_bytes(10)), 'level' => $level, 'time' => date(DATE_ATOM),
            'remoteAddr' => $_SERVER['REMOTE_ADDR'] ?? '', 'user' => '--', 'app' => $app,
            'method' => $_SERVER['REQUEST_METHOD'] ?? '', 'url' => $_SERVER['REQUEST_URI'] ?? '--',
            'message' => $message, 'version' => $site->installedVersion(),
        ], JSON_UNESCAPED_SLASHES | JSON_INVALID_UTF8_SUBSTITUTE);
        @file_put_contents($file, $line . "\n", FILE_APPEND | LOCK_EX);
    }
}
