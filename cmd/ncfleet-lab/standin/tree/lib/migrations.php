<?php
// Stand-in for tests, not Nextcloud; see README.md.
namespace Standin;

/**
 * The migrations of core and of the apps, each with the release it came with.
 * "schema" looks at the tables and answers what is left to execute; "data" may
 * run again after it was lost and then changes nothing more.
 */
final class Migrations
{
    /** @return array<string, array{since: string, schema?: callable, data?: callable}> */
    public static function core(): array
    {
        return self::core28() + self::core29() + self::core30();
    }

    private static function core28(): array
    {
        return [
            '13000Date20170718121200' => ['since' => '28.0.0', 'schema' => fn (Database $db) => array_merge(
                $db->createTable('*PREFIX*users', ['uid' => 'name', 'displayname' => 'name', 'password' => 'name'], ['uid']),
                $db->createTable('*PREFIX*preferences', ['userid' => 'name', 'appid' => 'name', 'configkey' => 'name', 'configvalue' => 'text'], ['userid', 'appid', 'configkey']),
                $db->createTable('*PREFIX*jobs', ['id' => 'number', 'class' => 'name', 'argument' => 'text', 'last_run' => 'number'], ['id']),
            )],
            '13000Date20170919121250' => ['since' => '28.0.0', 'schema' => fn (Database $db) => array_merge(
                $db->createTable('*PREFIX*storages', ['numeric_id' => 'id', 'id' => 'name']),
                $db->createTable('*PREFIX*filecache', ['fileid' => 'id', 'storage' => 'number', 'path' => 'text', 'path_hash' => 'name',
                    'parent' => 'number', 'name' => 'name', 'mimetype' => 'name', 'size' => 'number', 'mtime' => 'number', 'etag' => 'name']),
            )],
            '13000Date20170919121251' => ['since' => '28.0.0', 'schema' => fn (Database $db) => array_merge(
                $db->addIndex('*PREFIX*filecache', 'fs_storage_path_hash', 'storage, path_hash', true),
                $db->addIndex('*PREFIX*storages', 'storages_id_index', 'id', true),
                $db->addIndex('*PREFIX*filecache', 'fs_parent_name_hash', 'parent'),
            )],
            '25000Date20220905140840' => ['since' => '28.0.0', 'schema' => fn (Database $db) => array_merge(
                $db->createTable('*PREFIX*comments', ['id' => 'number', 'object_id' => 'name', 'message' => 'text'], ['id']),
                $db->createTable('*PREFIX*collres_accesscache', ['user_id' => 'name', 'access' => 'number'], ['user_id']),
                $db->createTable('*PREFIX*notifications_pushhash', ['id' => 'number', 'uid' => 'name', 'deviceidentifier' => 'name'], ['id']),
            )],
            '28000Date20231103104802' => ['since' => '28.0.0', 'data' => self::seed(...)],
            '28000Date20240227111112' => ['since' => '28.0.5', 'schema' => fn (Database $db) => $db->addColumn('*PREFIX*users', 'uid_lower', 'name'),
                'data' => fn (Database $db) => $db->run('UPDATE *PREFIX*users SET uid_lower = LOWER(uid) WHERE uid_lower IS NULL')],
        ];
    }

    /** Rows for later migrations to change. */
    private static function seed(Database $db): void
    {
        foreach (['OC\Authentication\Token\TokenCleanupJob', 'OCA\Files\BackgroundJob\ScanFiles', 'OCA\Activity\BackgroundJob\ExpireActivities'] as $i => $class) {
            $db->run('INSERT INTO *PREFIX*jobs (id, class, argument, last_run) VALUES (?, ?, ?, 0)', [$i + 1, $class, 'null']);
        }
        for ($i = 1; $i <= 40; $i++) {
            $db->run('INSERT INTO *PREFIX*comments (id, object_id, message) VALUES (?, ?, ?)', [$i, (string)(100 + $i % 7), 'comment ' . $i]);
            $db->run('INSERT INTO *PREFIX*notifications_pushhash (id, uid, deviceidentifier) VALUES (?, ?, ?)', [$i, 'admin', hash('sha256', (string)$i)]);
        }
        $db->run('INSERT INTO *PREFIX*collres_accesscache (user_id, access) VALUES (?, 1)', ['admin']);
    }

    private static function core29(): array
    {
        return [
            '29000Date20231126110901' => ['since' => '29.0.0', 'schema' => fn (Database $db) => $db->addColumn('*PREFIX*comments', 'meta_data', 'text')],
            '29000Date20231213104850' => ['since' => '29.0.0', 'data' => fn (Database $db) => $db->run('UPDATE *PREFIX*comments SET meta_data = ? WHERE meta_data IS NULL', ['{}'])],
            '29000Date20240124132201' => ['since' => '29.0.0', 'schema' => fn (Database $db) => array_merge(
                $db->addColumn('*PREFIX*appconfig', 'type', 'number'), $db->addColumn('*PREFIX*appconfig', 'lazy', 'number'))],
            '29000Date20240124132202' => ['since' => '29.0.0', 'data' => fn (Database $db) => $db->run('UPDATE *PREFIX*appconfig SET type = 2, lazy = 0 WHERE type IS NULL')],
            '29000Date20240131122720' => ['since' => '29.0.0', 'schema' => fn (Database $db) => $db->createTable('*PREFIX*shares_limits',
                ['id' => 'name', 'max_downloads' => 'number', 'downloads' => 'number'], ['id'])],
            '29000Date20240322113400' => ['since' => '29.0.0', 'schema' => fn (Database $db) => $db->addColumn('*PREFIX*filecache', 'checksum', 'name'),
                'data' => fn (Database $db) => $db->run('UPDATE *PREFIX*filecache SET checksum = ? WHERE checksum IS NULL', [''])],
            '29000Date20240401090000' => ['since' => '29.0.0', 'data' => fn (Database $db) => $db->run(
                'UPDATE *PREFIX*jobs SET class = ? WHERE class = ?', ['OCA\Files\BackgroundJob\ScanStorages', 'OCA\Files\BackgroundJob\ScanFiles'])],
        ];
    }

    private static function core30(): array
    {
        return [
            '30000Date20240429122720' => ['since' => '30.0.0', 'schema' => fn (Database $db) => $db->createTable('*PREFIX*taskprocessing_tasks',
                ['id' => 'number', 'type' => 'name', 'input' => 'text'], ['id'])],
            '30000Date20240708160048' => ['since' => '30.0.0', 'schema' => fn (Database $db) => $db->addColumn('*PREFIX*jobs', 'time_sensitive', 'number'),
                'data' => fn (Database $db) => $db->run('UPDATE *PREFIX*jobs SET time_sensitive = 1 WHERE time_sensitive IS NULL')],
            '30000Date20240717111406' => ['since' => '30.0.0', 'data' => fn (Database $db) => $db->run('DELETE FROM *PREFIX*notifications_pushhash WHERE id > ?', [30])],
            '30000Date20240814180800' => ['since' => '30.0.0', 'schema' => fn (Database $db) => $db->dropTable('*PREFIX*collres_accesscache')],
            '30000Date20240815080800' => ['since' => '30.0.0', 'schema' => fn (Database $db) => $db->addIndex('*PREFIX*comments', 'comments_object_index', 'object_id')],
            '30000Date20240906095113' => ['since' => '30.0.0', 'data' => fn (Database $db) => $db->run('UPDATE *PREFIX*comments SET meta_data = ? WHERE meta_data = ?', ['{"v":30}', '{}'])],
        ];
    }

    /**
     * An app has one migration for each of its minor versions. Those of a few
     * apps change tables, the rest only leave a row that says how far they are.
     *
     * @return array<string, array{since: string, schema?: callable, data?: callable}>
     */
    public static function app(string $id): array
    {
        $all = [];
        foreach (['2.28.0' => '2028000', '2.28.1' => '2028001', '2.29.0' => '2029000', '2.30.0' => '2030000', '1.0.0' => '1000', '1.1.0' => '1001'] as $since => $number) {
            $all[$number . 'Date20240101000000'] = ['since' => $since,
                'data' => fn (Database $db) => $db->setAppValue($id, 'schema', $since)];
        }
        $tables = [
            'activity' => ['2029000', fn (Database $db) => $db->createTable('*PREFIX*activity_mq', ['mail_id' => 'number', 'subject' => 'text'], ['mail_id'])],
            'files_sharing' => ['2029000', fn (Database $db) => $db->createTable('*PREFIX*share_external', ['id' => 'number', 'remote' => 'text'], ['id'])],
            'dav' => ['2030000', fn (Database $db) => $db->createTable('*PREFIX*calendars', ['id' => 'number', 'uri' => 'name'], ['id'])],
            'text' => ['2030000', fn (Database $db) => $db->createTable('*PREFIX*text_documents', ['id' => 'number', 'current_version' => 'number'], ['id'])],
        ];
        if (isset($tables[$id])) {
            $all[$tables[$id][0] . 'Date20240101000000']['schema'] = $tables[$id][1];
        }
        if ($id === 'notesbin') {
            $all['1000Date20240101000000']['schema'] = fn (Database $db) => $db->createTable('*PREFIX*notesbin', ['id' => 'number', 'note' => 'text'], ['id']);
            $all['1001Date20240101000000']['schema'] = fn (Database $db) => $db->addColumn('*PREFIX*notesbin', 'deleted_at', 'number');
        }
        return $all;
    }
}
