<?php
// Stand-in for tests, not Nextcloud; see README.md.
namespace Standin;

/** "occ maintenance:install": config.php, the schema and the first user. */
final class Install
{
    private const KINDS = ['sqlite' => 'sqlite3', 'sqlite3' => 'sqlite3', 'mysql' => 'mysql', 'pgsql' => 'pgsql'];

    public function __construct(private Site $site)
    {
    }

    public function run(array $options): int
    {
        $kind = self::KINDS[$options['database'] ?? 'sqlite'] ?? null;
        $problem = $kind === null ? 'Database <' . $options['database'] . '> is not supported.' : $this->missing($kind, $options);
        $data = rtrim($options['data-dir'] ?? $this->site->root . '/data', '/');
        if ($problem === '' && !is_dir($data) && !@mkdir($data, 0770, true)) {
            $problem = "Cannot create or write into the data directory $data";
        }
        if ($problem !== '') {
            echo $problem, "\n";
            return 1;
        }
        $this->site->config->set($this->settings($kind, $data, $options));
        try {
            $this->fill($data, $options);
        } catch (Failure $e) {
            echo 'Error while trying to initialise the database: ', $e->getMessage(), "\n";
            return 1;
        }
        $this->site->config->set(['installed' => true]);
        @unlink($this->site->root . '/config/CAN_INSTALL');
        echo "Nextcloud was successfully installed\n";
        return 0;
    }

    private function missing(string $kind, array $options): string
    {
        foreach ($kind === 'sqlite3' ? [] : ['database-name', 'database-user'] as $name) {
            if (($options[$name] ?? '') === '') {
                return "Database account not provided. (missing: --$name)";
            }
        }
        return ($options['admin-pass'] ?? '') === '' ? 'Admin password not provided. (missing: --admin-pass)' : '';
    }

    private function settings(string $kind, string $data, array $options): array
    {
        $settings = [
            'passwordsalt' => bin2hex(random_bytes(15)),
            'secret' => bin2hex(random_bytes(24)),
            'trusted_domains' => ['localhost'],
            'datadirectory' => $data,
            'dbtype' => $kind,
            'version' => $this->site->codeVersion(),
            'overwrite.cli.url' => 'http://localhost',
            'dbtableprefix' => 'oc_',
            'instanceid' => 'oc' . bin2hex(random_bytes(5)),
        ];
        if (isset($options['database-name'])) {
            $settings['dbname'] = $options['database-name'];
        }
        if ($kind !== 'sqlite3') {
            $settings += [
                'dbhost' => ($options['database-host'] ?? 'localhost') . (isset($options['database-port']) ? ':' . $options['database-port'] : ''),
                'dbport' => '',
                'dbuser' => $options['database-user'],
                'dbpassword' => $options['database-pass'] ?? '',
            ];
        }
        return $settings;
    }

    private function fill(string $data, array $options): void
    {
        $db = $this->site->db();
        Migrator::prepare($db);
        $migrator = new Migrator($this->site, fn () => null);
        $migrator->migrate('core', $this->site->codeVersion());
        $apps = new Apps($this->site);
        foreach (array_intersect_key($apps->all(), array_flip($apps->enabledByDefault())) as $app) {
            $apps->install($app, $migrator);
        }
        $db->setAppValue('core', 'installedat', (string)microtime(true));
        $db->setAppValue('core', 'vendor', 'nextcloud');
        (new Users($this->site))->add($options['admin-user'] ?? 'admin', $options['admin-pass'], $options['admin-user'] ?? 'admin');
        file_put_contents($data . '/.ocdata', $this->site->major() >= 30 ? "# Nextcloud data directory\n" : '');
        file_put_contents($data . '/index.html', '');
        Htaccess::write($this->site);
    }
}
