<?php
// Stand-in for tests, not Nextcloud; see README.md.
namespace Standin;

/**
 * The files of one user: content in DATADIR/USER/files, and a row for each in
 * oc_filecache, without which nothing is listed or read. A file is written
 * whole under another name first, renamed, and then gets its row.
 */
final class Files
{
    private ?int $storage = null;

    public function __construct(private Site $site, private string $user)
    {
    }

    public function onDisk(string $path): string
    {
        return $this->site->dataDir() . '/' . $this->user . '/' . $path;
    }

    /** Makes the user's folder at the first visit. */
    public function open(): void
    {
        $dir = $this->onDisk('files');
        if (!is_dir($dir) && !@mkdir($dir, 0755, true) && !is_dir($dir)) {
            throw new Failure("cannot make $dir");
        }
        $db = $this->site->db();
        $row = $db->row('SELECT numeric_id FROM *PREFIX*storages WHERE id = ?', ['home::' . $this->user]);
        if ($row === null || $this->row('files') === null) {
            $db->transaction(function () use ($db): void {
                if ($db->row('SELECT numeric_id FROM *PREFIX*storages WHERE id = ?', ['home::' . $this->user]) === null) {
                    $db->run('INSERT INTO *PREFIX*storages (id) VALUES (?)', ['home::' . $this->user]);
                }
                foreach (['', 'files'] as $path) {
                    $this->row($path) ?? $this->put($path, true, 0);
                }
            });
        }
    }

    private function storage(): int
    {
        return $this->storage ??= (int)($this->site->db()->row('SELECT numeric_id FROM *PREFIX*storages WHERE id = ?', ['home::' . $this->user])['numeric_id'] ?? 0);
    }

    public function row(string $path): ?array
    {
        return $this->storage() === 0 ? null : $this->site->db()->row('SELECT fileid, path, name, mimetype, size, mtime, etag FROM *PREFIX*filecache WHERE storage = ? AND path_hash = ?', [$this->storage(), md5($path)]);
    }

    /** @return list<array> rows of what lies in a folder */
    public function children(array $folder): array
    {
        return $this->site->db()->all('SELECT fileid, path, name, mimetype, size, mtime, etag FROM *PREFIX*filecache WHERE parent = ? ORDER BY name', [$folder['fileid']]);
    }

    /** Writes the row of a path and marks the folders above as changed; its etag. */
    private function put(string $path, bool $folder, int $size): string
    {
        $db = $this->site->db();
        $etag = bin2hex(random_bytes(16));
        $above = dirname($path);
        $above = $above === '.' ? '' : $above;
        $parent = $path === '' ? -1 : (int)($this->row($above)['fileid'] ?? -1);
        $kind = $folder ? 'httpd/unix-directory' : 'application/octet-stream';
        $changed = $db->run('UPDATE *PREFIX*filecache SET size = ?, mtime = ?, etag = ? WHERE storage = ? AND path_hash = ?', [$size, time(), $etag, $this->storage(), md5($path)]);
        if ($changed === 0) {
            $db->run('INSERT INTO *PREFIX*filecache (storage, path, path_hash, parent, name, mimetype, size, mtime, etag) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)',
                [$this->storage(), $path, md5($path), $parent, basename($path), $kind, $size, time(), $etag]);
        }
        $this->touchAbove($path);
        return $etag;
    }

    private function touchAbove(string $path): void
    {
        while ($path !== '') {
            $path = dirname($path);
            $path = $path === '.' ? '' : $path;
            $this->site->db()->run('UPDATE *PREFIX*filecache SET etag = ?, mtime = ? WHERE storage = ? AND path_hash = ?', [bin2hex(random_bytes(16)), time(), $this->storage(), md5($path)]);
        }
    }

    /** Stores content, of which $expected bytes were announced; the new etag. */
    public function write(string $path, mixed $from, ?int $expected): string
    {
        $part = $this->onDisk($path) . '.ocTransferId' . random_int(1, PHP_INT_MAX) . '.part';
        $to = @fopen($part, 'xb');
        $size = $to === false ? false : stream_copy_to_stream($from, $to);
        if ($size === false || !fflush($to) || !fclose($to) || filesize($part) !== $size) {
            @unlink($part);
            throw new Failure('Could not write file contents', 'Sabre\DAV\Exception');
        }
        if ($expected !== null && $size !== $expected) {
            @unlink($part);
            throw new Failure("Expected filesize of $expected bytes but read (from Nextcloud client) and wrote (to Nextcloud storage) $size bytes.", 'Sabre\DAV\Exception\BadRequest');
        }
        if (!rename($part, $this->onDisk($path))) {
            @unlink($part);
            throw new Failure('Could not rename part file to final file', 'Sabre\DAV\Exception');
        }
        return $this->site->db()->transaction(fn () => $this->put($path, false, $size));
    }

    public function makeFolder(string $path): void
    {
        if (!is_dir($this->onDisk($path)) && !mkdir($this->onDisk($path), 0755)) {
            throw new Failure("Could not create folder $path", 'Sabre\DAV\Exception');
        }
        $this->site->db()->transaction(fn () => $this->put($path, true, 0));
    }

    public function delete(string $path): void
    {
        Store::remove($this->onDisk($path));
        $db = $this->site->db();
        $db->transaction(function () use ($db, $path): void {
            $this->forget($path);
            $this->touchAbove($path);
        });
    }

    private function forget(string $path): void
    {
        $db = $this->site->db();
        $like = strtr($path, ['!' => '!!', '%' => '!%', '_' => '!_']);
        $db->run('DELETE FROM *PREFIX*filecache WHERE storage = ? AND (path_hash = ? OR path LIKE ? ESCAPE \'!\')', [$this->storage(), md5($path), $like . '/%']);
    }

    /** Forgets every row of the user. */
    public function forgetAll(): void
    {
        $db = $this->site->db();
        $db->run('DELETE FROM *PREFIX*filecache WHERE storage = ?', [$this->storage()]);
        $db->run('DELETE FROM *PREFIX*storages WHERE numeric_id = ?', [$this->storage()]);
    }

    /** Moves a file or folder; the target's folder must exist. */
    public function move(string $from, string $to): void
    {
        if (!rename($this->onDisk($from), $this->onDisk($to))) {
            throw new Failure("Could not move $from", 'Sabre\DAV\Exception');
        }
        $db = $this->site->db();
        $db->transaction(function () use ($db, $from, $to): void {
            $this->forget($to);
            $parent = (int)$this->row(dirname($to))['fileid'];
            foreach ($db->all('SELECT fileid, path FROM *PREFIX*filecache WHERE storage = ?', [$this->storage()]) as $row) {
                if ($row['path'] !== $from && !str_starts_with($row['path'], $from . '/')) {
                    continue;
                }
                $path = $to . substr($row['path'], strlen($from));
                $db->run('UPDATE *PREFIX*filecache SET path = ?, path_hash = ?, name = ? WHERE fileid = ?', [$path, md5($path), basename($path), $row['fileid']]);
                if ($row['path'] === $from) {
                    $db->run('UPDATE *PREFIX*filecache SET parent = ? WHERE fileid = ?', [$parent, $row['fileid']]);
                }
            }
            $this->touchAbove($from);
            $this->touchAbove($to);
        });
    }

    /** Brings the rows in line with the disk: how many folders and files there are. */
    public function scan(): array
    {
        $this->open();
        $db = $this->site->db();
        $counts = ['folders' => 0, 'files' => 0];
        $db->transaction(function () use ($db, &$counts): void {
            $seen = ['' => true];
            $this->scanFolder('files', $counts, $seen);
            foreach ($db->all('SELECT path FROM *PREFIX*filecache WHERE storage = ?', [$this->storage()]) as $row) {
                if (!isset($seen[$row['path']])) {
                    $this->forget($row['path']);
                }
            }
        });
        return $counts;
    }

    private function scanFolder(string $path, array &$counts, array &$seen): void
    {
        $seen[$path] = true;
        $counts['folders']++;
        $this->row($path) ?? $this->put($path, true, 0);
        foreach (array_diff(scandir($this->onDisk($path)), ['.', '..']) as $name) {
            $below = $path . '/' . $name;
            if (is_dir($this->onDisk($below))) {
                $this->scanFolder($below, $counts, $seen);
            } elseif (!str_ends_with($name, '.part')) {
                $seen[$below] = true;
                $counts['files']++;
                $size = filesize($this->onDisk($below));
                if ((int)($this->row($below)['size'] ?? -1) !== $size) {
                    $this->put($below, false, $size);
                }
            }
        }
    }
}
