<?php
// Stand-in for tests, not Nextcloud; see lib/README.md.
namespace Standin;

require __DIR__ . '/../lib/base.php';
require __DIR__ . '/../lib/web.php';

Web::serve(function (Site $site): void {
    $path = Web::pathInfo();
    $user = $path === '/cloud/capabilities' ? '' : Web::user($site);
    if ($user === null) {
        return;
    }
    $data = match ($path) {
        '/cloud/capabilities' => ['version' => ['major' => $site->version[0], 'minor' => $site->version[1], 'micro' => $site->version[2], 'string' => $site->versionString]],
        '/cloud/user' => ['id' => $user, 'enabled' => true],
        default => null,
    };
    http_response_code($data === null ? 404 : 200);
    header('Content-Type: application/json');
    echo json_encode(['ocs' => ['meta' => ['status' => $data === null ? 'failure' : 'ok', 'statuscode' => $data === null ? 998 : 200], 'data' => $data ?? []]]);
}, fn () => Web::page(503, 'Nextcloud', 'Service unavailable'), false);
