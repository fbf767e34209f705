<?php
// Stand-in for tests, not Nextcloud; see README.md.
namespace Standin;

/**
 * The app store: appstoreurl/apps.json, kept for an hour. Whatever goes wrong
 * looks like "nothing newer"; only the log tells. Signatures are not checked.
 */
final class Store
{
    private const CACHE_SECONDS = 3600;
    private const RETRY_SECONDS = 300;
    private const TIMEOUT_SECONDS = 60;
    private const DOWNLOAD_BYTES = 64 << 20;

    public function __construct(private Site $site, private Apps $apps)
    {
    }

    public function isOn(): bool
    {
        return $this->site->config->truth('appstoreenabled', true) && $this->site->config->truth('has_internet_connection', true);
    }

    private function url(): string
    {
        return rtrim((string)$this->site->config->get('appstoreurl', 'https://apps.nextcloud.com/api/v1'), '/');
    }

    /** The newest version of an app that this server and more may run, or null. */
    public function newest(string $id): ?array
    {
        $best = null;
        foreach ($this->list() as $app) {
            foreach (($app['id'] ?? '') === $id ? $app['releases'] ?? [] : [] as $release) {
                $min = preg_match('/>=\s*([0-9]+)/', (string)($release['rawPlatformVersionSpec'] ?? ''), $m) ? (int)$m[1] : 0;
                if (!empty($release['isNightly']) || str_contains((string)$release['version'], '-') || $min > $this->site->major()) {
                    continue;
                }
                if ($best === null || version_compare($release['version'], $best['version'], '>')) {
                    $best = $release;
                }
            }
        }
        return $best;
    }

    /** The newer release of an installed app, or null. */
    public function update(array $app): ?array
    {
        $release = $this->isOn() ? $this->newest($app['id']) : null;
        return $release !== null && version_compare($release['version'], $app['version'], '>') ? $release : null;
    }

    private function list(): array
    {
        $dir = $this->site->dataDir() . '/appdata_' . $this->site->config->get('instanceid', '') . '/appstore';
        $file = $dir . '/apps.json';
        $kept = json_decode((string)@file_get_contents($file), true);
        if (is_array($kept) && ($kept['ncversion'] ?? '') === $this->site->codeVersion() && ($kept['timestamp'] ?? 0) > time() - self::CACHE_SECONDS) {
            return $kept['data'];
        }
        if ((int)@filemtime($dir . '/last-failure') > time() - self::RETRY_SECONDS) {
            return [];
        }
        @mkdir($dir, 0755, true);
        $text = $this->get($this->url() . '/apps.json');
        $data = json_decode((string)$text, true);
        if (!is_array($data)) {
            @touch($dir . '/last-failure');
            Log::write($this->site, 1, 'appstoreFetcher', 'Could not connect to appstore: ' . $this->url());
            return [];
        }
        @file_put_contents($file, json_encode(['data' => $data, 'timestamp' => time(), 'ncversion' => $this->site->codeVersion()]));
        return $data;
    }

    /** The body, or null. Local addresses need allow_local_remote_servers. */
    private function get(string $url): ?string
    {
        $host = trim((string)parse_url($url, PHP_URL_HOST), '[]');
        $address = filter_var($host, FILTER_VALIDATE_IP) ? $host : gethostbyname($host);
        if (!$this->site->config->truth('allow_local_remote_servers') && filter_var($address, FILTER_VALIDATE_IP)
            && !filter_var($address, FILTER_VALIDATE_IP, FILTER_FLAG_NO_PRIV_RANGE | FILTER_FLAG_NO_RES_RANGE)) {
            Log::write($this->site, 1, 'core', 'Host ' . $host . ' was not connected to because it violates local access rules');
            return null;
        }
        $context = stream_context_create(['http' => ['timeout' => self::TIMEOUT_SECONDS, 'user_agent' => 'Nextcloud Server Crawler']]);
        $text = @file_get_contents($url, false, $context, 0, self::DOWNLOAD_BYTES);
        return $text === false ? null : $text;
    }

    /** Puts a release's files in the place of the app's; false is told in the log. */
    public function download(string $id, array $release): bool
    {
        $url = (string)$release['download'];
        $text = $this->get(preg_match('#^https?://#', $url) ? $url : $this->url() . '/' . $url);
        $place = $this->apps->writablePath();
        if ($text === null || $place === null) {
            Log::write($this->site, 3, 'core', "Could not download app $id");
            return false;
        }
        $temp = sys_get_temp_dir() . '/standin-' . bin2hex(random_bytes(8));
        mkdir($temp, 0700);
        try {
            file_put_contents($temp . '/app.tar.gz', $text);
            (new \PharData($temp . '/app.tar.gz'))->extractTo($temp . '/files');
            $folders = array_values(array_diff(scandir($temp . '/files'), ['.', '..']));
            $info = count($folders) === 1 ? Apps::info($temp . '/files/' . $folders[0]) : null;
            if ($info === null || $info['id'] !== $id) {
                throw new Failure("Extracted app $id has more than 1 folder or another id");
            }
            $target = ($this->apps->all()[$id] ?? ['dir' => $place . '/' . $id])['dir'];
            self::remove($target);
            self::copy($temp . '/files/' . $folders[0], $target);
            $this->apps->forget();
            return true;
        } catch (\Exception $e) {
            Log::write($this->site, 3, 'core', "Could not update app $id: " . $e->getMessage());
            return false;
        } finally {
            self::remove($temp);
        }
    }

    public static function copy(string $from, string $to): void
    {
        if (!is_dir($to) && !mkdir($to, 0755, true)) {
            throw new Failure("cannot make $to");
        }
        foreach (array_diff(scandir($from), ['.', '..']) as $name) {
            if (is_dir("$from/$name")) {
                self::copy("$from/$name", "$to/$name");
            } elseif (!copy("$from/$name", "$to/$name")) {
                throw new Failure("cannot write $to/$name");
            }
        }
    }

    public static function remove(string $path): void
    {
        if (is_dir($path) && !is_link($path)) {
            foreach (array_diff(scandir($path), ['.', '..']) as $name) {
                self::remove($path . '/' . $name);
            }
            rmdir($path);
        } elseif (file_exists($path)) {
            unlink($path);
        }
    }
}
