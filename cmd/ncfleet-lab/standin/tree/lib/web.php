<?php
// Stand-in for tests, not Nextcloud; see README.md.
namespace Standin;

/** What every answer over HTTP has in common: states come before content. */
final class Web
{
    /**
     * Runs a handler for a site that is open. Otherwise the state answers:
     * 503 in maintenance mode and for code that is older than the database,
     * 500 without a database, and $needs where an upgrade is left to do.
     *
     * @param callable(Site): void $open
     * @param callable(Site): void $needs
     */
    public static function serve(callable $open, callable $needs, bool $dav): void
    {
        header('Cache-Control: no-store');
        try {
            $site = new Site();
            if (!$site->installed()) {
                self::page(is_file($site->root . '/config/CAN_INSTALL') ? 200 : 503, 'Install', '<h1>Not installed</h1>');
                return;
            }
            if (!self::isTrusted($site)) {
                self::page(400, 'Nextcloud', '<h1>Access through untrusted domain</h1>');
                return;
            }
            $left = $site->needsUpgrade();
            if ($site->inMaintenance()) {
                self::closed($dav);
            } elseif ($left) {
                $needs($site);
            } else {
                $open($site);
            }
        } catch (\Throwable $e) {
            self::failed($e, $site ?? null);
        }
    }

    private static function failed(\Throwable $e, ?Site $site): void
    {
        if (str_contains($e->getMessage(), 'Downgrading is not supported')) {
            self::page(503, 'Error', '<div class="error error-wide"><p>' . htmlspecialchars($e->getMessage()) . '</p></div>');
            return;
        }
        if ($site !== null) {
            Log::write($site, 3, 'index', Failure::text($e));
        }
        self::page(500, 'Error', '<div class="error error-wide"><h2>Internal Server Error</h2><p>The server was unable to complete your request.</p></div>');
    }

    private static function isTrusted(Site $site): bool
    {
        $host = (string)($_SERVER['HTTP_HOST'] ?? 'localhost');
        $bare = (string)preg_replace('/:[0-9]+$/', '', $host);
        if (in_array($bare, ['localhost', '127.0.0.1', '[::1]'], true)) {
            return true;
        }
        foreach ((array)$site->config->get('trusted_domains', []) as $trusted) {
            foreach ([$host, $bare] as $name) {
                if (is_string($trusted) && fnmatch($trusted, $name, FNM_CASEFOLD | FNM_NOESCAPE)) {
                    return true;
                }
            }
        }
        return false;
    }

    public static function closed(bool $dav): void
    {
        header('X-Nextcloud-Maintenance-Mode: 1');
        header('Retry-After: 120');
        if ($dav) {
            self::davError(503, 'OCA\DAV\Connector\Sabre\Exception\ServerMaintenanceMode', 'System is in maintenance mode.');
        } else {
            self::page(503, 'Maintenance', '<h1>Maintenance mode</h1><p>This Nextcloud instance is currently in maintenance mode, which may take a while.</p>');
        }
    }

    public static function davError(int $status, string $class, string $message): void
    {
        http_response_code($status);
        header('Content-Type: application/xml; charset=utf-8');
        echo "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<d:error xmlns:d=\"DAV:\" xmlns:s=\"http://sabredav.org/ns\">\n  <s:exception>", $class,
            "</s:exception>\n  <s:message>", htmlspecialchars($message), "</s:message>\n</d:error>\n";
    }

    /**
     * The web updater. Like Nextcloud's page it writes config.php before
     * anybody asked it to: a worker with an old copy brings that copy back.
     */
    public static function updater(Site $site): void
    {
        if ($site->config->truth('upgrade.disable-web')) {
            self::page(503, 'Update needed', '<h1>Update needed</h1><p>Please use the command line updater because updating via browser is disabled in your config.php.</p>');
            return;
        }
        $site->config->set(['theme' => '']);
        self::page(200, 'Update needed', '<div id="upgrade"><h1>Update needed</h1><p>Nextcloud will be updated to version ' . $site->versionString
            . '.</p><input class="updateButton" type="button" value="Start update"></div>');
    }

    public static function page(int $status, string $title, string $body, string $id = 'body-public', string $head = ''): void
    {
        http_response_code($status);
        header('Content-Type: text/html; charset=UTF-8');
        echo "<!DOCTYPE html>\n<html class=\"ng-csp\" lang=\"en\" data-locale=\"en\">\n<head data-requesttoken=\"\">\n<meta charset=\"utf-8\">\n<title>$title</title>\n$head</head>\n<body id=\"$id\">\n$body\n</body>\n</html>\n";
    }

    public static function login(Site $site): void
    {
        $v = $site->versionString;
        $root = rtrim(dirname((string)$_SERVER['SCRIPT_NAME']), '/');
        self::page(200, 'Nextcloud', '<main><h1 class="hidden-visually">Nextcloud</h1><div id="login"></div></main>', 'body-login',
            "<link rel=\"icon\" href=\"$root/core/img/favicon.ico\">\n<link rel=\"stylesheet\" href=\"$root/core/css/server.css?v=$v\">\n"
            . "<script defer src=\"$root/dist/core-login.js?v=$v\"></script>\n");
    }

    /** The user of the request's basic authentication, or null after a 401. */
    public static function user(Site $site): ?string
    {
        $user = (string)($_SERVER['PHP_AUTH_USER'] ?? '');
        if ($user !== '' && (new Users($site))->check($user, (string)($_SERVER['PHP_AUTH_PW'] ?? ''))) {
            return $user;
        }
        header('WWW-Authenticate: Basic realm="Nextcloud", charset="UTF-8"');
        self::davError(401, 'Sabre\DAV\Exception\NotAuthenticated', 'No public access to this resource., Username or password was incorrect');
        return null;
    }

    /** The path behind the script's name, decoded. */
    public static function pathInfo(): string
    {
        if (isset($_SERVER['PATH_INFO']) && $_SERVER['PATH_INFO'] !== '') {
            return (string)$_SERVER['PATH_INFO'];
        }
        $path = rawurldecode((string)parse_url('http://x' . ($_SERVER['REQUEST_URI'] ?? '/'), PHP_URL_PATH));
        $script = (string)$_SERVER['SCRIPT_NAME'];
        return str_starts_with($path, $script) ? substr($path, strlen($script)) : $path;
    }
}
