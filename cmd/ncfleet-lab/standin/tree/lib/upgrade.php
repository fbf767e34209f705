<?php
// Stand-in for tests, not Nextcloud; see README.md.
namespace Standin;

/**
 * "occ upgrade". It takes no lock, keeps maintenance mode where it was on, can
 * be run again after it was killed anywhere, and writes the new version last.
 */
final class Upgrade
{
    public const DONE = 0;
    public const NOTHING = 2;
    public const FAILED = 5;

    /** Which apps an earlier run, perhaps a killed one, found incompatible. */
    private const DISABLED_KEY = 'standin_disabled';

    private float $pause = 0;
    private Migrator $migrator;
    private Apps $apps;

    public function __construct(private Site $site)
    {
        $this->migrator = new Migrator($site, fn () => usleep((int)($this->pause * 1e6)));
        $this->apps = new Apps($site);
    }

    public function run(): int
    {
        $config = $this->site->config;
        if (!$this->site->needsUpgrade()) {
            return $this->nothing();
        }
        $level = (int)$config->get('loglevel', 2);
        $closed = $this->site->inMaintenance();
        self::say('Setting log level to debug');
        $config->set(['loglevel' => 0]);
        if (!$closed) {
            $config->set(['maintenance' => true]);
            self::say('Turned on maintenance mode');
        }
        @unlink($this->site->root . '/config/CAN_INSTALL');
        $code = self::DONE;
        try {
            $this->upgrade();
        } catch (\Throwable $e) {
            $code = self::FAILED;
            self::say(Failure::text($e));
            Log::write($this->site, 3, 'updater', Failure::text($e));
        }
        self::say($code === self::DONE ? 'Update successful' : 'Update failed');
        if ($code === self::DONE && !$closed) {
            $config->set(['maintenance' => false]);
            self::say('Turned off maintenance mode');
        } else {
            self::say('Maintenance mode is kept active');
        }
        self::say('Resetting log level');
        $config->set(['loglevel' => $level]);
        return $code;
    }

    private function nothing(): int
    {
        if (!$this->site->inMaintenance()) {
            self::say('Nextcloud is already latest version');
            return self::DONE;
        }
        self::say('Nextcloud is in maintenance mode');
        self::say('');
        self::say('Maybe an upgrade is already in process. Please check the logfile (data/nextcloud.log). '
            . 'If you want to re-run the upgrade procedure, remove the "maintenance mode" from config.php and call this script again.');
        return self::NOTHING;
    }

    private function upgrade(): void
    {
        if (!$this->isLegal()) {
            throw new Failure('Updates between multiple major versions and downgrades are unsupported.');
        }
        Htaccess::write($this->site);
        $version = $this->site->codeVersion();
        $steps = count($this->migrator->pending('core', $version)) + count($this->apps->enabled()) + 3;
        $this->pause = max(0.0, (float)$this->site->config->get('standin_upgrade_seconds', 3)) / $steps;
        self::say('Updating database schema');
        $this->migrator->migrate('core', $version);
        self::say('Updated database');
        $this->checkRequirements();
        foreach ($this->apps->pending() as $app) {
            self::say("Updating <{$app['id']}> ...");
            $this->updateApp($app);
            self::say("Updated <{$app['id']}> to {$app['version']}");
        }
        $this->askStore();
        $this->addShipped();
        $this->repair();
        self::say('Starting code integrity check...');
        Integrity::differences($this->site);
        self::say('Finished code integrity check');
        $this->site->db()->deleteAppValue('core', self::DISABLED_KEY);
        $this->site->config->set(['version' => $version]);
    }

    private function isLegal(): bool
    {
        $from = $this->site->installedVersion();
        $key = implode('.', array_slice(explode('.', $from), 0, 2));
        return isset($this->site->upgradableFrom['nextcloud'][$key]) && version_compare($from, $this->site->codeVersion(), '<=');
    }

    /** Disables third-party apps that do not fit; of a shipped one the files are wrong. */
    private function checkRequirements(): void
    {
        $db = $this->site->db();
        foreach ($this->apps->enabled() as $id => $app) {
            if ($this->apps->fits($app)) {
                continue;
            }
            if ($this->apps->isShipped($id)) {
                throw new Failure("The files of the app \"$id\" were not correctly replaced before running the update");
            }
            $db->transaction(function () use ($db, $id): void {
                $db->setAppValue('core', self::DISABLED_KEY, json_encode(array_values(array_unique(array_merge($this->disabled(), [$id])))));
                $db->setAppValue($id, 'enabled', 'no');
            });
            self::say("Disabled incompatible app: $id");
        }
    }

    /** @return list<string> */
    private function disabled(): array
    {
        return json_decode($this->site->db()->appValue('core', self::DISABLED_KEY) ?? '[]', true);
    }

    private function updateApp(array $app): void
    {
        $this->migrator->migrate($app['id'], $app['version']);
        $this->site->db()->setAppValue($app['id'], 'installed_version', $app['version']);
        Log::write($this->site, 0, 'updater', "Updated app {$app['id']}");
    }

    /** Newer releases of enabled apps, and of those that were disabled just now. */
    private function askStore(): void
    {
        $store = new Store($this->site, $this->apps);
        $all = $this->apps->all();
        $disabled = $this->disabled();
        foreach (array_unique(array_merge(array_keys($this->apps->enabled()), $disabled)) as $id) {
            if (!isset($all[$id]) || $this->apps->isShipped($id)) {
                continue;
            }
            $release = $store->update($all[$id]);
            if ($release !== null) {
                self::say("Update app $id from App Store");
                $store->download($id, $release);
            }
            $app = $this->apps->all()[$id] ?? null;
            if ($app !== null && $this->apps->fits($app)) {
                $this->updateApp($app);
                if (in_array($id, $disabled, true)) {
                    $this->site->db()->setAppValue($id, 'enabled', 'yes');
                }
            }
        }
    }

    /** Apps that came with this release. */
    private function addShipped(): void
    {
        $states = $this->apps->states();
        foreach (array_intersect_key($this->apps->all(), array_flip($this->apps->enabledByDefault())) as $id => $app) {
            if (!isset($states[$id]['enabled'])) {
                $this->apps->install($app, $this->migrator);
            }
        }
    }

    private function repair(): void
    {
        foreach (Repair::STEPS as $step) {
            Log::write($this->site, 0, 'repair', $step);
            usleep((int)($this->pause * 1e6 * 3 / count(Repair::STEPS)));
        }
        $this->site->db()->setAppValue('core', 'repaired', $this->site->codeVersion());
    }

    private static function say(string $line): void
    {
        echo $line, "\n";
        flush();
    }
}

/** The repair steps; they have nothing to repair. */
final class Repair
{
    public const STEPS = ['Repair MySQL collation', 'Clean tags and favorites', 'Repair invalid shares', 'Move .step file of updater to backup location'];
}

/** The part of .htaccess that Nextcloud writes itself. */
final class Htaccess
{
    private const MARK = "#### DO NOT CHANGE ANYTHING ABOVE THIS LINE ####\n";

    public static function write(Site $site): void
    {
        $file = $site->root . '/.htaccess';
        $text = (string)@file_get_contents($file);
        $own = strstr($text, self::MARK, true);
        @file_put_contents($file, ($own === false ? $text : $own) . self::MARK . "\nErrorDocument 403 /index.php/error/403\nErrorDocument 404 /index.php/error/404\n");
    }
}
