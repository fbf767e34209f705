<?php
// Stand-in for tests, not Nextcloud; see lib/README.md.
namespace Standin;

require __DIR__ . '/lib/base.php';
require __DIR__ . '/lib/web.php';
require __DIR__ . '/lib/dav.php';

Web::serve(Dav::serve(...), fn () => Web::davError(503, 'Sabre\DAV\Exception\ServiceUnavailable', 'Service unavailable'), true);
