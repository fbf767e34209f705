<?php
// Stand-in for tests, not Nextcloud; see lib/README.md.
require __DIR__ . "/v2.php";
