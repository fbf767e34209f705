<?php
// Stand-in for tests, not Nextcloud; see README.md.
namespace Standin;

/** The apps: their files in the app directories, their state in oc_appconfig. */
final class Apps
{
    /** @var array<string, array>|null */
    private ?array $found = null;

    public function __construct(private Site $site)
    {
    }

    /** @return list<array{path: string, writable: bool}> */
    public function paths(): array
    {
        $paths = [];
        foreach ((array)$this->site->config->get('apps_paths', []) as $p) {
            $paths[] = ['path' => rtrim((string)$p['path'], '/'), 'writable' => (bool)($p['writable'] ?? false)];
        }
        return $paths ?: [['path' => $this->site->root . '/apps', 'writable' => true]];
    }

    /** Where the store may put apps, or null. */
    public function writablePath(): ?string
    {
        foreach ($this->paths() as $p) {
            if ($p['writable'] && is_writable($p['path'])) {
                return $p['path'];
            }
        }
        return null;
    }

    /** @return array<string, array{id: string, version: string, min: string, max: string, dir: string}> by id */
    public function all(): array
    {
        if ($this->found !== null) {
            return $this->found;
        }
        $this->found = [];
        foreach ($this->paths() as $p) {
            foreach (@scandir($p['path']) ?: [] as $id) {
                $app = $id[0] === '.' ? null : self::info($p['path'] . '/' . $id);
                if ($app !== null && $app['id'] === $id) {
                    $this->found[$id] ??= $app;
                }
            }
        }
        ksort($this->found);
        return $this->found;
    }

    public function forget(): void
    {
        $this->found = null;
    }

    public static function info(string $dir): ?array
    {
        $xml = is_file($dir . '/appinfo/info.xml') ? @simplexml_load_file($dir . '/appinfo/info.xml') : false;
        if ($xml === false) {
            return null;
        }
        $needs = $xml->dependencies->nextcloud ?? null;
        return ['id' => trim((string)$xml->id), 'version' => trim((string)$xml->version), 'dir' => $dir,
            'min' => trim((string)($needs['min-version'] ?? '')), 'max' => trim((string)($needs['max-version'] ?? ''))];
    }

    public function fits(array $app): bool
    {
        $major = $this->site->major();
        return ($app['min'] === '' || (int)$app['min'] <= $major) && ($app['max'] === '' || (int)$app['max'] >= $major);
    }

    private function shipped(): array
    {
        return json_decode((string)file_get_contents($this->site->root . '/core/shipped.json'), true);
    }

    public function isShipped(string $id): bool
    {
        return in_array($id, $this->shipped()['shippedApps'], true);
    }

    /** @return list<string> */
    public function alwaysEnabled(): array
    {
        return $this->shipped()['alwaysEnabled'];
    }

    /** @return list<string> shipped apps that are enabled when they are new */
    public function enabledByDefault(): array
    {
        return $this->shipped()['defaultEnabled'];
    }

    /** @return array<string, array<string, string>> id to what oc_appconfig holds */
    public function states(): array
    {
        $states = [];
        foreach ($this->site->db()->all('SELECT appid, configkey, configvalue FROM *PREFIX*appconfig WHERE configkey IN (?, ?)', ['enabled', 'installed_version']) as $row) {
            $states[$row['appid']][$row['configkey']] = (string)$row['configvalue'];
        }
        return $states;
    }

    /** @return array<string, array> enabled apps whose files are there */
    public function enabled(): array
    {
        $states = $this->states();
        return array_filter($this->all(), fn (array $app) => ($states[$app['id']]['enabled'] ?? 'no') !== 'no');
    }

    /** @return array<string, array> enabled apps that are newer than the database */
    public function pending(): array
    {
        $states = $this->states();
        return array_filter($this->enabled(), fn (array $app) => version_compare($app['version'], $states[$app['id']]['installed_version'] ?? '0', '>'));
    }

    public function install(array $app, Migrator $migrator): void
    {
        $migrator->migrate($app['id'], $app['version']);
        $db = $this->site->db();
        $db->setAppValue($app['id'], 'types', '');
        $db->setAppValue($app['id'], 'installed_version', $app['version']);
        $db->setAppValue($app['id'], 'enabled', 'yes');
    }
}
