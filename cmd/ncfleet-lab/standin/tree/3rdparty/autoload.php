<?php
// Stand-in for tests, not Nextcloud; see lib/README.md.
