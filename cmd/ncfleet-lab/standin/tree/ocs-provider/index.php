<?php
// Stand-in for tests, not Nextcloud; see lib/README.md.
header("Content-Type: application/json");
echo "{\"version\":2,\"services\":{}}";
