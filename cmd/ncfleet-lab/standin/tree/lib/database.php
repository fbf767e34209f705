<?php
// Stand-in for tests, not Nextcloud; see README.md.
namespace Standin;

/**
 * The database: SQLite, MariaDB/MySQL or PostgreSQL over PDO. *PREFIX* in a
 * statement is dbtableprefix. Statements that describe a schema are built for
 * each kind; they are empty where nothing is left to change.
 */
final class Database
{
    private const TYPES = [
        'sqlite3' => ['id' => 'INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL', 'text' => 'CLOB', 'name' => 'VARCHAR(250)', 'number' => 'BIGINT', 'after' => ''],
        'mysql' => ['id' => 'BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY', 'text' => 'LONGTEXT', 'name' => 'VARCHAR(250)', 'number' => 'BIGINT', 'after' => ' ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin'],
        'pgsql' => ['id' => 'BIGSERIAL PRIMARY KEY', 'text' => 'TEXT', 'name' => 'VARCHAR(250)', 'number' => 'BIGINT', 'after' => ''],
    ];

    public readonly string $kind;
    private string $prefix;
    private \PDO $pdo;

    public function __construct(Config $config, string $dataDir)
    {
        $this->kind = (string)$config->get('dbtype', 'sqlite3');
        $this->prefix = (string)$config->get('dbtableprefix', 'oc_');
        if (!isset(self::TYPES[$this->kind]) || !preg_match('/^[a-z0-9_]*$/', $this->prefix)) {
            throw new Failure('dbtype or dbtableprefix in config.php cannot be used');
        }
        try {
            $this->connect($config, $dataDir);
        } catch (\PDOException $e) {
            throw new Failure('Failed to connect to the database: An exception occurred in the driver: ' . $e->getMessage(), 'Doctrine\DBAL\Exception', $e);
        }
    }

    private function connect(Config $config, string $dataDir): void
    {
        $options = [\PDO::ATTR_ERRMODE => \PDO::ERRMODE_EXCEPTION, \PDO::ATTR_DEFAULT_FETCH_MODE => \PDO::FETCH_ASSOC, \PDO::ATTR_TIMEOUT => 20];
        $name = (string)$config->get('dbname', '');
        if ($this->kind === 'sqlite3') {
            $this->pdo = new \PDO('sqlite:' . $dataDir . '/' . ($name === '' ? 'owncloud' : $name) . '.db', null, null, $options);
            $this->pdo->exec('PRAGMA busy_timeout = 20000');
            // What is killed here is processes, never the kernel.
            $this->pdo->exec('PRAGMA synchronous = OFF');
            return;
        }
        $place = $this->place((string)$config->get('dbhost', ''), (string)$config->get('dbport', ''));
        if ($this->kind === 'mysql') {
            // An update that changes nothing still counts the rows it met.
            $options[\PDO::MYSQL_ATTR_FOUND_ROWS] = true;
            $dsn = 'mysql:dbname=' . $name . ';charset=utf8mb4;' . $place;
        } else {
            $dsn = 'pgsql:dbname=' . $name . ';' . $place;
        }
        $this->pdo = new \PDO($dsn, (string)$config->get('dbuser', ''), (string)$config->get('dbpassword', ''), $options);
    }

    /** "host", "host:port", "host:/socket" or, for PostgreSQL, a directory. */
    private function place(string $host, string $port): string
    {
        if (preg_match('/^([^:]*):(\/.*|[0-9]+)$/', $host, $m)) {
            [$host, $port] = [$m[1], $m[2]];
        }
        if (str_starts_with($port, '/')) {
            return $this->kind === 'mysql' ? 'unix_socket=' . $port : 'host=' . dirname($port);
        }
        return ($host === '' ? '' : 'host=' . $host . ';') . ($port === '' ? '' : 'port=' . $port);
    }

    private function named(string $sql): string
    {
        return str_replace('*PREFIX*', $this->prefix, $sql);
    }

    private function execute(string $sql, array $values): \PDOStatement
    {
        try {
            $s = $this->pdo->prepare($this->named($sql));
            $s->execute($values);
            return $s;
        } catch (\PDOException $e) {
            $lost = preg_match('/gone away|Lost connection|no connection to the server|server closed the connection|terminating connection|not open/i', $e->getMessage());
            throw new Failure('An exception occurred while executing a query: ' . $e->getMessage(),
                $lost ? 'Doctrine\DBAL\Exception\ConnectionLost' : 'Doctrine\DBAL\Exception', $e);
        }
    }

    /** @return list<array<string, mixed>> */
    public function all(string $sql, array $values = []): array
    {
        return $this->execute($sql, $values)->fetchAll();
    }

    /** The first row, or null. */
    public function row(string $sql, array $values = []): ?array
    {
        return $this->all($sql, $values)[0] ?? null;
    }

    /** The number of rows that were changed. */
    public function run(string $sql, array $values = []): int
    {
        return $this->execute($sql, $values)->rowCount();
    }

    /** SQLite takes the lock of a writer at once, so that nobody has to go back. */
    public function transaction(callable $work): mixed
    {
        $this->execute($this->kind === 'sqlite3' ? 'BEGIN IMMEDIATE' : 'BEGIN', []);
        try {
            $result = $work();
            $this->execute('COMMIT', []);
            return $result;
        } catch (\Throwable $e) {
            try {
                $this->execute('ROLLBACK', []);
            } catch (Failure) {
                // The first error is the one to tell.
            }
            throw $e;
        }
    }

    public function hasTable(string $table): bool
    {
        return $this->columns($table) !== [];
    }

    /** @return list<string> */
    public function columns(string $table): array
    {
        $table = $this->named($table);
        if ($this->kind === 'sqlite3') {
            return array_column($this->all('SELECT name AS c FROM pragma_table_info(?)', [$table]), 'c');
        }
        $schema = $this->kind === 'mysql' ? 'DATABASE()' : 'current_schema()';
        return array_column($this->all("SELECT column_name AS c FROM information_schema.columns WHERE table_schema = $schema AND table_name = ?", [$table]), 'c');
    }

    public function hasIndex(string $table, string $index): bool
    {
        $sql = match ($this->kind) {
            'sqlite3' => 'SELECT name FROM sqlite_master WHERE type = \'index\' AND tbl_name = ? AND name = ?',
            'mysql' => 'SELECT DISTINCT index_name FROM information_schema.statistics WHERE table_schema = DATABASE() AND table_name = ? AND index_name = ?',
            'pgsql' => 'SELECT indexname FROM pg_indexes WHERE schemaname = current_schema() AND tablename = ? AND indexname = ?',
        };
        return $this->all($sql, [$this->named($table), $index]) !== [];
    }

    /**
     * @param array<string, string> $columns name to "id", "name", "text" or "number"
     * @param list<string> $key
     * @return list<string> what is left to execute
     */
    public function createTable(string $table, array $columns, array $key = []): array
    {
        if ($this->hasTable($table)) {
            return [];
        }
        $types = self::TYPES[$this->kind];
        $parts = [];
        foreach ($columns as $name => $type) {
            $parts[] = $name . ' ' . $types[$type] . (in_array($name, $key, true) ? ' NOT NULL' : '');
        }
        if ($key !== []) {
            $parts[] = 'PRIMARY KEY (' . implode(', ', $key) . ')';
        }
        return ["CREATE TABLE $table (" . implode(', ', $parts) . ')' . $types['after']];
    }

    /** @return list<string> what is left to execute */
    public function addColumn(string $table, string $column, string $type): array
    {
        if (in_array($column, $this->columns($table), true)) {
            return [];
        }
        return ["ALTER TABLE $table ADD COLUMN $column " . self::TYPES[$this->kind][$type]];
    }

    /** @return list<string> what is left to execute */
    public function addIndex(string $table, string $index, string $columns, bool $unique = false): array
    {
        return $this->hasIndex($table, $index) ? [] : ['CREATE ' . ($unique ? 'UNIQUE ' : '') . "INDEX $index ON $table ($columns)"];
    }

    /** @return list<string> what is left to execute */
    public function dropTable(string $table): array
    {
        return $this->hasTable($table) ? ["DROP TABLE $table"] : [];
    }

    public function appValue(string $app, string $key): ?string
    {
        $row = $this->row('SELECT configvalue FROM *PREFIX*appconfig WHERE appid = ? AND configkey = ?', [$app, $key]);
        return $row === null ? null : (string)$row['configvalue'];
    }

    public function setAppValue(string $app, string $key, string $value): void
    {
        if ($this->run('UPDATE *PREFIX*appconfig SET configvalue = ? WHERE appid = ? AND configkey = ?', [$value, $app, $key]) === 0) {
            $this->run('INSERT INTO *PREFIX*appconfig (appid, configkey, configvalue) VALUES (?, ?, ?)', [$app, $key, $value]);
        }
    }

    public function deleteAppValue(string $app, string $key): int
    {
        return $this->run('DELETE FROM *PREFIX*appconfig WHERE appid = ? AND configkey = ?', [$app, $key]);
    }
}
