<?php
// Stand-in for tests, not Nextcloud; see README.md.
namespace Standin;

/** occ app:… */
final class AppCommands
{
    public static function table(): array
    {
        return [
            'app:list' => self::list(...),
            'app:enable' => self::enable(...),
            'app:disable' => self::disable(...),
            'app:install' => self::install(...),
            'app:update' => self::update(...),
            'app:getpath' => self::path(...),
        ];
    }

    private static function list(Console $c): int
    {
        $apps = new Apps($c->site);
        $enabled = $apps->enabled();
        $states = $apps->states();
        $lists = ['enabled' => [], 'disabled' => []];
        foreach ($apps->all() as $id => $app) {
            if ($c->has('shipped') && ($c->option('shipped') === 'true') !== $apps->isShipped($id)) {
                continue;
            }
            $known = $states[$id]['installed_version'] ?? null;
            $lists[isset($enabled[$id]) ? 'enabled' : 'disabled'][$id] = isset($enabled[$id]) || $known === null
                ? $app['version'] : "{$app['version']} (installed $known)";
        }
        if ($c->wantsJSON()) {
            $c->json($lists);
            return 0;
        }
        foreach ($lists as $title => $list) {
            Commands::say(ucfirst($title) . ':');
            foreach ($list as $id => $version) {
                Commands::say("  - $id: $version");
            }
        }
        return 0;
    }

    private static function enable(Console $c): int
    {
        $apps = new Apps($c->site);
        $status = 0;
        $c->word(0, 'app-id');
        foreach ($c->words as $id) {
            $app = $apps->all()[$id] ?? null;
            if ($app === null && (new Store($c->site, $apps))->isOn()) {
                $release = ($store = new Store($c->site, $apps))->newest($id);
                $app = $release !== null && $store->download($id, $release) ? $apps->all()[$id] : null;
            }
            if ($app === null) {
                $status = Commands::say("Could not download app $id", 1);
            } elseif (!$apps->fits($app)) {
                $status = Commands::say("App \"$id\" cannot be installed because it is not compatible with this version of the server.", 1);
            } elseif (isset($apps->enabled()[$id])) {
                Commands::say("$id already enabled");
            } else {
                $apps->install($app, new Migrator($c->site, fn () => null));
                Commands::say("$id {$app['version']} enabled");
            }
        }
        return $status;
    }

    private static function disable(Console $c): int
    {
        $apps = new Apps($c->site);
        $status = 0;
        $c->word(0, 'app-id');
        foreach ($c->words as $id) {
            $app = $apps->enabled()[$id] ?? null;
            if (in_array($id, $apps->alwaysEnabled(), true)) {
                $status = Commands::say("$id can't be disabled", 2);
            } elseif ($app === null) {
                Commands::say("No such app enabled: $id");
            } else {
                $c->site->db()->setAppValue($id, 'enabled', 'no');
                Commands::say("$id {$app['version']} disabled");
            }
        }
        return $status;
    }

    private static function install(Console $c): int
    {
        $apps = new Apps($c->site);
        $id = $c->word(0, 'app-id');
        if (isset($apps->all()[$id])) {
            return Commands::say("$id already installed", 1);
        }
        $store = new Store($c->site, $apps);
        $release = $store->isOn() ? $store->newest($id) : null;
        if ($release === null || !$store->download($id, $release)) {
            return Commands::say("Error: Could not download app $id", 1);
        }
        $app = $apps->all()[$id];
        $apps->install($app, new Migrator($c->site, fn () => null));
        return Commands::say("$id {$app['version']} installed\n$id enabled");
    }

    private static function update(Console $c): int
    {
        $apps = new Apps($c->site);
        $store = new Store($c->site, $apps);
        $all = $apps->all();
        $status = 0;
        $seen = false;
        foreach ($c->has('all') ? array_keys($all) : $c->words as $id) {
            if (!isset($all[$id])) {
                $status = Commands::say("$id not installed", 1);
                continue;
            }
            $release = $apps->isShipped($id) ? null : $store->update($all[$id]);
            if ($release === null) {
                continue;
            }
            $seen = true;
            Commands::say("$id new version available: {$release['version']}");
            if ($c->has('showonly')) {
                continue;
            }
            if (!$store->download($id, $release)) {
                $status = Commands::say("$id couldn't be updated", 1);
                continue;
            }
            (new Migrator($c->site, fn () => null))->migrate($id, $release['version']);
            $c->site->db()->setAppValue($id, 'installed_version', $release['version']);
            Commands::say("$id updated");
        }
        if (!$seen && $status === 0 && $c->site->major() >= 29) {
            Commands::say('All apps are up-to-date or no updates could be found');
        }
        return $status;
    }

    private static function path(Console $c): int
    {
        $app = (new Apps($c->site))->all()[$c->word(0, 'app')] ?? null;
        return $app === null ? 1 : Commands::say($app['dir']);
    }
}
