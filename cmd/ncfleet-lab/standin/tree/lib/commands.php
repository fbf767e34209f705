<?php
// Stand-in for tests, not Nextcloud; see README.md.
namespace Standin;

/** The commands of occ, by name. Each takes the console and returns the exit status. */
final class Commands
{
    /** Those that only exist while apps are loaded. */
    public const OF_APPS = ['files:scan', 'update:check'];

    public static function find(string $name): ?callable
    {
        return self::table()[$name] ?? AppCommands::table()[$name] ?? ConfigCommands::table()[$name] ?? null;
    }

    public static function hasNamespace(string $space): bool
    {
        foreach (array_keys(self::table() + AppCommands::table() + ConfigCommands::table()) as $name) {
            if (str_starts_with($name, $space . ':')) {
                return true;
            }
        }
        return false;
    }

    private static function table(): array
    {
        return [
            'list' => self::list(...),
            'status' => self::status(...),
            'check' => fn () => 0,
            'maintenance:install' => fn (Console $c) => (new Install($c->site))->run($c->options),
            'maintenance:mode' => self::mode(...),
            'maintenance:repair' => self::repair(...),
            'maintenance:data-fingerprint' => self::fingerprint(...),
            'upgrade' => self::upgrade(...),
            'setupchecks' => self::setupChecks(...),
            'integrity:check-core' => self::checkCore(...),
            'db:add-missing-indices' => self::addMissingIndices(...),
            'db:add-missing-columns' => self::done(...),
            'db:add-missing-primary-keys' => self::done(...),
            'db:convert-filecache-bigint' => fn () => self::say('All tables already up to date!'),
            'background-job:list' => self::jobs(...),
            'background:cron' => self::backgroundCron(...),
            'files:scan' => self::scan(...),
            'update:check' => self::updateCheck(...),
            'user:add' => self::userAdd(...),
            'user:delete' => self::userDelete(...),
            'user:list' => self::userList(...),
        ];
    }

    public static function say(string $line, int $status = 0): int
    {
        echo $line, "\n";
        return $status;
    }

    private static function list(Console $c): int
    {
        echo 'Nextcloud ', $c->site->versionString, "\n\nAvailable commands:\n";
        foreach (array_keys(self::table() + AppCommands::table() + ConfigCommands::table()) as $name) {
            echo '  ', $name, "\n";
        }
        return 0;
    }

    private static function done(): int
    {
        return self::say('Done.');
    }

    private static function status(Console $c): int
    {
        $status = $c->site->status();
        if ($c->has('e') || $c->has('exit-code')) {
            return $status['maintenance'] ? 1 : ($status['needsDbUpgrade'] ? 2 : 0);
        }
        if ($c->wantsJSON()) {
            $c->json($status);
            return 0;
        }
        foreach ($status as $key => $value) {
            self::say("  - $key: " . (is_bool($value) ? json_encode($value) : $value));
        }
        return 0;
    }

    private static function mode(Console $c): int
    {
        $on = $c->site->inMaintenance();
        $word = fn (bool $v) => $v ? 'enabled' : 'disabled';
        foreach (['on' => true, 'off' => false] as $option => $want) {
            if (!$c->has($option)) {
                continue;
            }
            if ($on === $want) {
                return self::say('Maintenance mode already ' . $word($want));
            }
            $c->site->config->set(['maintenance' => $want]);
            return self::say('Maintenance mode ' . $word($want));
        }
        return self::say('Maintenance mode is currently ' . $word($on));
    }

    private static function repair(): int
    {
        foreach (Repair::STEPS as $step) {
            self::say(" - $step");
        }
        return 0;
    }

    private static function fingerprint(Console $c): int
    {
        $c->site->config->set(['data-fingerprint' => md5(random_bytes(16))]);
        return 0;
    }

    private static function upgrade(Console $c): int
    {
        if ($c->site->config->truth('config_is_read_only')) {
            throw new Failure('Config is set to be read-only via option "config_is_read_only".', 'OCP\HintException');
        }
        return (new Upgrade($c->site))->run();
    }

    private static function setupChecks(Console $c): int
    {
        $check = fn (string $name, string $severity, string $text) => ['name' => $name, 'severity' => $severity, 'description' => $text,
            'descriptionParameters' => null, 'linkToDoc' => null];
        $all = ['security' => ['OCA\Settings\SetupChecks\HttpsUrlGeneration' => $check('HTTPS access and URLs', 'warning', 'Accessing site insecurely via HTTP.')],
            'system' => [
                'OCA\Settings\SetupChecks\CronErrors' => $check('Cron errors', 'success', 'The last cron job ran without errors.'),
                'OCA\Settings\SetupChecks\PhpModules' => $check('PHP modules', 'success', 'Supported'),
            ],
            'database' => ['OCA\Settings\SetupChecks\SupportedDatabase' => $check('Database version', $c->site->db()->kind === 'sqlite3' ? 'warning' : 'success', $c->site->db()->kind)]];
        if ($c->wantsJSON()) {
            $c->json($all);
            return 1;
        }
        foreach ($all as $category => $checks) {
            self::say("\t$category:");
            foreach ($checks as $one) {
                self::say("\t\t{$one['severity']} {$one['name']}: {$one['description']}");
            }
        }
        return 1;
    }

    private static function checkCore(Console $c): int
    {
        $differences = Integrity::differences($c->site);
        if ($differences === []) {
            return 0;
        }
        if ($c->wantsJSON()) {
            $c->json($differences);
            return 1;
        }
        foreach ($differences as $kind => $files) {
            self::say("  - $kind:");
            foreach (array_keys($files) as $file) {
                self::say("    - $file");
            }
        }
        return 1;
    }

    private static function addMissingIndices(Console $c): int
    {
        $db = $c->site->db();
        $indices = ['fs_parent_name_hash' => ['filecache', 'parent']];
        if ($c->site->major() >= 29) {
            $indices['oc_npushhash_di'] = ['notifications_pushhash', 'deviceidentifier'];
        }
        $queries = [];
        foreach ($indices as $index => [$table, $columns]) {
            foreach ($db->addIndex('*PREFIX*' . $table, $index, $columns) as $sql) {
                self::say("Adding additional $index index to the oc_$table table, this can take some time...");
                $c->has('dry-run') ? $queries[] = $sql : $db->run($sql);
                self::say("oc_$table table updated successfully.");
            }
        }
        foreach ($queries as $sql) {
            self::say($sql);
        }
        return 0;
    }

    private static function jobs(Console $c): int
    {
        $jobs = $c->site->db()->all('SELECT id, class, last_run, argument FROM *PREFIX*jobs ORDER BY id');
        if ($c->wantsJSON()) {
            $c->json($jobs);
            return 0;
        }
        foreach ($jobs as $job) {
            self::say("| {$job['id']} | {$job['class']} | {$job['last_run']} | {$job['argument']} |");
        }
        return 0;
    }

    private static function backgroundCron(Console $c): int
    {
        $c->site->db()->setAppValue('core', 'backgroundjobs_mode', 'cron');
        return self::say("Set mode for background jobs to 'cron'");
    }

    private static function scan(Console $c): int
    {
        $users = $c->has('all') ? array_keys((new Users($c->site))->all()) : $c->words;
        $counts = ['folders' => 0, 'files' => 0];
        foreach ($users as $i => $user) {
            if (!(new Users($c->site))->exists((string)$user)) {
                self::say('Unknown user ' . ($i + 1) . ' ' . $user);
                continue;
            }
            self::say('Starting scan for user ' . ($i + 1) . ' out of ' . count($users) . " ($user)");
            foreach ((new Files($c->site, (string)$user))->scan() as $key => $n) {
                $counts[$key] += $n;
            }
        }
        return self::say("+---------+-------+\n| Folders | Files |\n+---------+-------+\n| {$counts['folders']} | {$counts['files']} |\n+---------+-------+");
    }

    private static function updateCheck(Console $c): int
    {
        $store = new Store($c->site, $apps = new Apps($c->site));
        $n = 0;
        foreach ($apps->enabled() as $id => $app) {
            $release = $apps->isShipped($id) ? null : $store->update($app);
            if ($release !== null) {
                self::say("Update for $id to version {$release['version']} is available.");
                $n++;
            }
        }
        return self::say($n === 0 ? 'Everything up to date' : ($n === 1 ? '1 update available' : "$n updates available"));
    }

    /** What a user is called differs between releases. */
    private static function noun(Console $c): string
    {
        return $c->site->major() >= 29 ? 'account' : 'user';
    }

    private static function userAdd(Console $c): int
    {
        $uid = $c->word(0, 'uid');
        $users = new Users($c->site);
        if ($users->exists($uid)) {
            return self::say('The ' . self::noun($c) . " \"$uid\" already exists.", 1);
        }
        $password = (string)(getenv('OC_PASS') ?: getenv('NC_PASS'));
        if (!$c->has('password-from-env') || $password === '') {
            return self::say('--password-from-env given, but OC_PASS/NC_PASS is empty!', 1);
        }
        $users->add($uid, $password, $c->option('display-name', $uid));
        return self::say('The ' . self::noun($c) . " \"$uid\" was created successfully");
    }

    private static function userDelete(Console $c): int
    {
        $users = new Users($c->site);
        if (!$users->exists($c->word(0, 'uid'))) {
            return self::say(ucfirst(self::noun($c)) . ' does not exist', 1);
        }
        $users->delete($c->word(0, 'uid'));
        return self::say('The specified ' . self::noun($c) . ' was deleted');
    }

    private static function userList(Console $c): int
    {
        $users = (new Users($c->site))->all();
        if ($c->wantsJSON()) {
            $c->json((object)$users);
            return 0;
        }
        foreach ($users as $uid => $name) {
            self::say("  - $uid: $name");
        }
        return 0;
    }
}
