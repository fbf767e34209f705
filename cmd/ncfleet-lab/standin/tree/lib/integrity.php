<?php
// Stand-in for tests, not Nextcloud; see README.md.
namespace Standin;

/** Compares the code with core/signature.json, which nobody signed. */
final class Integrity
{
    /** @return array<string, array<string, array>> FILE_MISSING, INVALID_HASH, EXTRA_FILE */
    public static function differences(Site $site): array
    {
        $list = json_decode((string)@file_get_contents($site->root . '/core/signature.json'), true)['hashes'] ?? [];
        $found = [];
        foreach ($list as $name => $hash) {
            $file = $site->root . '/' . $name;
            $is = is_file($file) ? hash_file('sha512', $file) : '';
            if ($is !== $hash) {
                $found[$is === '' ? 'FILE_MISSING' : 'INVALID_HASH'][$name] = ['expected' => $hash, 'current' => $is];
            }
        }
        foreach (['lib', 'core', 'ocs', 'dist'] as $folder) {
            foreach (new \RecursiveIteratorIterator(new \RecursiveDirectoryIterator($site->root . '/' . $folder, \FilesystemIterator::SKIP_DOTS)) as $file) {
                $name = substr($file->getPathname(), strlen($site->root) + 1);
                if (!isset($list[$name]) && $name !== 'core/signature.json') {
                    $found['EXTRA_FILE'][$name] = ['expected' => '', 'current' => (string)hash_file('sha512', $file->getPathname())];
                }
            }
        }
        return $found;
    }
}
