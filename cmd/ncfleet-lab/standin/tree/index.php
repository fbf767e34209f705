<?php
// Stand-in for tests, not Nextcloud; see lib/README.md.
namespace Standin;

require __DIR__ . '/lib/base.php';
require __DIR__ . '/lib/web.php';

Web::serve(function (Site $site): void {
    $path = Web::pathInfo();
    if ($path === '' || $path === '/') {
        header('Location: ' . rtrim(dirname((string)$_SERVER['SCRIPT_NAME']), '/') . '/index.php/login', true, 302);
    } elseif ($path === '/login') {
        Web::login($site);
    } elseif ($path === '/ocs-provider' || $path === '/ocm-provider') {
        header('Content-Type: application/json');
        echo '{"version":2,"services":{}}';
    } else {
        Web::page(404, 'Nextcloud', '<h1>Page not found</h1>');
    }
}, Web::updater(...), false);
