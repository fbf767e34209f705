<?php
// Stand-in for tests, not Nextcloud; see README.md.
namespace Standin;

/** occ config:… */
final class ConfigCommands
{
    private const SENSITIVE = ['datadirectory', 'dbhost', 'dbname', 'dbpassword', 'dbuser', 'instanceid', 'passwordsalt', 'secret', 'trusted_domains'];

    public static function table(): array
    {
        return [
            'config:list' => self::list(...),
            'config:system:get' => self::systemGet(...),
            'config:system:set' => self::systemSet(...),
            'config:system:delete' => self::systemDelete(...),
            'config:app:get' => self::appGet(...),
            'config:app:set' => self::appSet(...),
            'config:app:delete' => self::appDelete(...),
        ];
    }

    private static function list(Console $c): int
    {
        $system = $c->site->config->all();
        if (!$c->has('private')) {
            foreach (array_intersect(self::SENSITIVE, array_keys($system)) as $key) {
                $system[$key] = '***REMOVED SENSITIVE VALUE***';
            }
        }
        $which = $c->words[0] ?? 'all';
        $out = [];
        if ($which === 'system' || $which === 'all') {
            $out['system'] = $system;
        }
        if ($which !== 'system') {
            foreach ($c->site->db()->all('SELECT appid, configkey, configvalue FROM *PREFIX*appconfig ORDER BY appid, configkey') as $row) {
                if ($which === 'all' || $which === $row['appid']) {
                    $out['apps'][$row['appid']][$row['configkey']] = $row['configvalue'];
                }
            }
        }
        echo json_encode($out, $c->option('output') === 'json' ? 0 : JSON_PRETTY_PRINT), "\n";
        return 0;
    }

    private static function systemGet(Console $c): int
    {
        $value = $c->site->config->get($c->word(0, 'name'));
        foreach (array_slice($c->words, 1) as $key) {
            $value = is_array($value) ? $value[$key] ?? null : null;
        }
        if ($value === null) {
            return $c->has('default-value') ? Commands::say($c->option('default-value')) : 1;
        }
        if ($c->wantsJSON()) {
            $c->json($value);
        } else {
            echo is_bool($value) ? json_encode($value) : (is_array($value) ? implode("\n", array_map(fn ($v) => is_scalar($v) ? $v : json_encode($v), $value)) : $value), "\n";
        }
        return 0;
    }

    private static function systemSet(Console $c): int
    {
        $text = $c->option('value');
        $value = match ($c->option('type', 'string')) {
            'string' => $text,
            'integer' => (int)$text,
            'double', 'float' => (float)$text,
            'boolean' => $text === 'true' ? true : ($text === 'false' ? false : throw new Failure("Unable to parse value as boolean")),
            'json' => json_decode($text, true, 64, JSON_THROW_ON_ERROR),
            default => throw new Failure('Invalid type'),
        };
        $name = $c->word(0, 'name');
        $whole = $value;
        if (count($c->words) > 1) {
            $whole = (array)($c->site->config->all()[$name] ?? []);
            $at = &$whole;
            foreach (array_slice($c->words, 1) as $key) {
                $at = &$at[$key];
            }
            $at = $value;
            unset($at);
        }
        $c->site->config->set([$name => $whole]);
        return Commands::say('System config value ' . implode(' => ', $c->words) . ' set to ' . $c->option('type', 'string') . ' ' . $text);
    }

    private static function systemDelete(Console $c): int
    {
        $name = $c->word(0, 'name');
        if (!array_key_exists($name, $c->site->config->all())) {
            return Commands::say("System config $name could not be deleted because it did not exist", $c->has('error-if-not-exists') ? 1 : 0);
        }
        $c->site->config->set([$name => null]);
        return Commands::say("System config value $name deleted");
    }

    private static function appGet(Console $c): int
    {
        $value = $c->site->db()->appValue($c->word(0, 'app'), $c->word(1, 'name')) ?? ($c->has('default-value') ? $c->option('default-value') : null);
        return $value === null ? 1 : Commands::say($value);
    }

    private static function appSet(Console $c): int
    {
        $c->site->db()->setAppValue($c->word(0, 'app'), $c->word(1, 'name'), $c->option('value'));
        return Commands::say("Config value {$c->words[1]} for app {$c->words[0]} set to {$c->option('value')}");
    }

    private static function appDelete(Console $c): int
    {
        $c->site->db()->deleteAppValue($c->word(0, 'app'), $c->word(1, 'name'));
        return Commands::say("Config value {$c->words[1]} of app {$c->words[0]} deleted");
    }
}
