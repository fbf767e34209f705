<?php
// Stand-in for tests, not Nextcloud; see lib/README.md.
namespace Standin;

require __DIR__ . '/lib/base.php';

header('Access-Control-Allow-Origin: *');
header('Content-Type: application/json');
header('Cache-Control: no-store');
try {
    echo json_encode((new Site())->status());
} catch (\Throwable $e) {
    http_response_code(500);
}
