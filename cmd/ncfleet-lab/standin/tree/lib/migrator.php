<?php
// Stand-in for tests, not Nextcloud; see README.md.
namespace Standin;

/**
 * Runs what oc_migrations does not list yet. It takes no lock: two at once
 * meet at the same column or the same row, and one of them fails.
 */
final class Migrator
{
    /** @param callable $pause called between the look at the schema and the change */
    public function __construct(private Site $site, private $pause)
    {
    }

    /** The two tables that everything else needs. */
    public static function prepare(Database $db): void
    {
        $statements = array_merge(
            $db->createTable('*PREFIX*migrations', ['app' => 'name', 'version' => 'name'], ['app', 'version']),
            $db->createTable('*PREFIX*appconfig', ['appid' => 'name', 'configkey' => 'name', 'configvalue' => 'text'], ['appid', 'configkey']),
        );
        foreach ($statements as $sql) {
            $db->run($sql);
        }
    }

    /** @return array<string, array> those of app, up to a version, that were not run */
    public function pending(string $app, string $version): array
    {
        $done = array_flip(array_column($this->site->db()->all('SELECT version FROM *PREFIX*migrations WHERE app = ?', [$app]), 'version'));
        $all = $app === 'core' ? Migrations::core() : Migrations::app($app);
        $left = [];
        foreach ($all as $name => $migration) {
            if (!isset($done[$name]) && version_compare($migration['since'], $version, '<=')) {
                $left[$name] = $migration;
            }
        }
        ksort($left, SORT_STRING);
        return $left;
    }

    public function migrate(string $app, string $version): void
    {
        foreach ($this->pending($app, $version) as $name => $migration) {
            try {
                $this->one($app, (string)$name, $migration);
            } catch (Failure $e) {
                if ($app !== 'core' && Failure::isLost($e)) {
                    throw $e;
                }
                throw new Failure("Database error when running migration $name for app $app\n" . $e->getMessage(), 'Exception', $e);
            }
        }
    }

    private function one(string $app, string $name, array $migration): void
    {
        $db = $this->site->db();
        $statements = isset($migration['schema']) ? $migration['schema']($db) : [];
        ($this->pause)();
        if ($app !== 'core' && $app === $this->site->config->get('standin_fail_app')) {
            throw new Failure('An exception occurred while executing a query: SQLSTATE[42S22]: Column not found: 1054 Unknown column \'deleted_at\'');
        }
        foreach ($statements as $sql) {
            $db->run($sql);
        }
        $db->transaction(function () use ($db, $app, $name, $migration): void {
            if (isset($migration['data'])) {
                $migration['data']($db);
            }
            $db->run('INSERT INTO *PREFIX*migrations (app, version) VALUES (?, ?)', [$app, $name]);
        });
    }
}
