<?php
// Stand-in for tests, not Nextcloud; see README.md.
namespace Standin;

/** WebDAV below /dav/files/USER. The row of a file decides whether it is there. */
final class Dav
{
    private function __construct(private Files $files, private string $base, private string $path)
    {
    }

    public static function serve(Site $site): void
    {
        $user = Web::user($site);
        if ($user === null) {
            return;
        }
        $path = self::place(Web::pathInfo(), $user);
        if ($path === null) {
            Web::davError(404, 'Sabre\DAV\Exception\NotFound', 'File not found');
            return;
        }
        $files = new Files($site, $user);
        $files->open();
        $base = $_SERVER['SCRIPT_NAME'] . '/dav/files/' . rawurlencode($user);
        (new self($files, $base, $path))->method((string)$_SERVER['REQUEST_METHOD']);
    }

    /** "files/a/b" of "/dav/files/USER/a/b", or null for what is no place of the user. */
    private static function place(string $info, string $user): ?string
    {
        $prefix = '/dav/files/' . $user;
        if ($info !== $prefix && !str_starts_with($info, $prefix . '/')) {
            return null;
        }
        $parts = array_values(array_filter(explode('/', substr($info, strlen($prefix))), fn (string $p) => $p !== ''));
        foreach ($parts as $p) {
            if ($p === '.' || $p === '..' || str_contains($p, "\0")) {
                return null;
            }
        }
        return implode('/', array_merge(['files'], $parts));
    }

    private function method(string $method): void
    {
        $row = $this->files->row($this->path);
        switch ($method) {
            case 'OPTIONS':
                header('DAV: 1, 3');
                header('Allow: OPTIONS, GET, HEAD, PUT, DELETE, MKCOL, MOVE, PROPFIND');
                return;
            case 'PUT':
                $this->put($row);
                return;
            case 'MKCOL':
                $this->makeFolder($row);
                return;
            case 'GET': case 'HEAD': case 'DELETE': case 'MOVE': case 'PROPFIND':
                if ($row === null) {
                    Web::davError(404, 'Sabre\DAV\Exception\NotFound', 'File with name ' . basename($this->path) . ' could not be located');
                    return;
                }
                match ($method) {
                    'GET', 'HEAD' => $this->get($row, $method),
                    'DELETE' => $this->delete(),
                    'MOVE' => $this->move(),
                    'PROPFIND' => $this->list($row),
                };
                return;
            default:
                Web::davError(501, 'Sabre\DAV\Exception\NotImplemented', "There was no plugin in the system that was willing to handle this $method method.");
        }
    }

    private static function isFolder(array $row): bool
    {
        return $row['mimetype'] === 'httpd/unix-directory';
    }

    /** Answers 409 where the folder above is missing. */
    private function hasParent(string $path): bool
    {
        $above = $this->files->row(dirname($path));
        if ($above !== null && self::isFolder($above)) {
            return true;
        }
        Web::davError(409, 'Sabre\DAV\Exception\Conflict', 'Files can only be created as children of collections');
        return false;
    }

    private function put(?array $row): void
    {
        if ($row !== null && self::isFolder($row)) {
            Web::davError(409, 'Sabre\DAV\Exception\Conflict', 'PUT is not allowed on non-files.');
            return;
        }
        if ($this->hasParent($this->path)) {
            $length = $_SERVER['CONTENT_LENGTH'] ?? '';
            $etag = $this->files->write($this->path, fopen('php://input', 'rb'), is_numeric($length) ? (int)$length : null);
            http_response_code($row === null ? 201 : 204);
            header('ETag: "' . $etag . '"');
            header('OC-ETag: "' . $etag . '"');
        }
    }

    private function makeFolder(?array $row): void
    {
        if ($row !== null) {
            Web::davError(405, 'Sabre\DAV\Exception\MethodNotAllowed', 'The resource you tried to create already exists');
        } elseif ($this->hasParent($this->path)) {
            $this->files->makeFolder($this->path);
            http_response_code(201);
        }
    }

    private function get(array $row, string $method): void
    {
        $file = $this->files->onDisk($this->path);
        if (self::isFolder($row)) {
            Web::davError(501, 'Sabre\DAV\Exception\NotImplemented', 'GET is only implemented for File objects.');
            return;
        }
        if (!is_file($file)) {
            Web::davError(404, 'Sabre\DAV\Exception\NotFound', 'File not found on storage');
            return;
        }
        header('Content-Type: application/octet-stream');
        header('Content-Length: ' . filesize($file));
        header('ETag: "' . $row['etag'] . '"');
        header('Last-Modified: ' . gmdate('D, d M Y H:i:s', (int)$row['mtime']) . ' GMT');
        if ($method === 'GET') {
            readfile($file);
        }
    }

    private function delete(): void
    {
        if ($this->path === 'files') {
            Web::davError(403, 'Sabre\DAV\Exception\Forbidden', 'The root cannot be deleted');
            return;
        }
        $this->files->delete($this->path);
        http_response_code(204);
    }

    private function move(): void
    {
        $target = rawurldecode((string)parse_url((string)($_SERVER['HTTP_DESTINATION'] ?? ''), PHP_URL_PATH));
        $base = rawurldecode($this->base);
        $to = str_starts_with($target, $base) ? self::place('/dav/files/u' . substr($target, strlen($base)), 'u') : null;
        if ($to === null || $to === 'files' || $this->path === 'files' || str_starts_with($to . '/', $this->path . '/')) {
            Web::davError(403, 'Sabre\DAV\Exception\Forbidden', 'The destination is not allowed');
            return;
        }
        $there = $this->files->row($to) !== null;
        if ($there && strtoupper((string)($_SERVER['HTTP_OVERWRITE'] ?? 'T')) === 'F') {
            Web::davError(412, 'Sabre\DAV\Exception\PreconditionFailed', 'The destination node already exists, and the overwrite header is set to false');
            return;
        }
        if ($this->hasParent($to)) {
            if ($there) {
                $this->files->delete($to);
            }
            $this->files->move($this->path, $to);
            http_response_code($there ? 204 : 201);
        }
    }

    private function list(array $row): void
    {
        $rows = [$row];
        if (($_SERVER['HTTP_DEPTH'] ?? '1') !== '0' && self::isFolder($row)) {
            $rows = array_merge($rows, $this->files->children($row));
        }
        http_response_code(207);
        header('Content-Type: application/xml; charset=utf-8');
        echo "<?xml version=\"1.0\"?>\n<d:multistatus xmlns:d=\"DAV:\" xmlns:oc=\"http://owncloud.org/ns\">";
        foreach ($rows as $r) {
            $names = array_slice(explode('/', (string)$r['path']), 1);
            $folder = self::isFolder($r);
            echo '<d:response><d:href>', implode('/', array_merge([$this->base], array_map('rawurlencode', $names))), $folder ? '/' : '',
                '</d:href><d:propstat><d:prop><d:getlastmodified>', gmdate('D, d M Y H:i:s', (int)$r['mtime']), ' GMT</d:getlastmodified>',
                $folder ? '<d:resourcetype><d:collection/></d:resourcetype>' : '<d:resourcetype/><d:getcontentlength>' . $r['size'] . '</d:getcontentlength>',
                '<d:getetag>&quot;', $r['etag'], '&quot;</d:getetag><oc:fileid>', $r['fileid'], '</oc:fileid></d:prop><d:status>HTTP/1.1 200 OK</d:status></d:propstat></d:response>';
        }
        echo "</d:multistatus>\n";
    }
}
