<?php
// Stand-in for tests, not Nextcloud; see lib/README.md.
namespace Standin;

require __DIR__ . '/lib/base.php';
foreach (['console', 'commands', 'appcommands', 'configcommands', 'install', 'integrity', 'upgrade'] as $part) {
    require __DIR__ . '/lib/' . $part . '.php';
}
exit(Console::main($argv));
