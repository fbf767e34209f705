<?php
// php dump.php TREE: the whole database as JSON, but for what differs between
// two installations or with the time of day.
namespace Standin;

require $argv[1] . '/lib/base.php';
$site = new Site();
$db = $site->db();
$tables = match ($db->kind) {
    'sqlite3' => "SELECT name AS t FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'",
    'mysql' => 'SELECT table_name AS t FROM information_schema.tables WHERE table_schema = DATABASE()',
    'pgsql' => 'SELECT table_name AS t FROM information_schema.tables WHERE table_schema = current_schema()',
};
$indexes = match ($db->kind) {
    'sqlite3' => "SELECT tbl_name AS t, name AS n, sql AS s FROM sqlite_master WHERE type = 'index'",
    'mysql' => 'SELECT table_name AS t, index_name AS n, column_name AS s FROM information_schema.statistics WHERE table_schema = DATABASE()',
    'pgsql' => 'SELECT tablename AS t, indexname AS n, indexdef AS s FROM pg_indexes WHERE schemaname = current_schema()',
};
$volatile = ['password', 'etag', 'mtime', 'last_run'];
$out = [];
foreach ($db->all($tables) as $table) {
    $t = $table['t'];
    $rows = [];
    foreach ($db->all("SELECT * FROM $t") as $row) {
        if ($t === 'oc_appconfig' && in_array($row['configkey'], ['installedat', 'lastcron'], true)) {
            continue;
        }
        $rows[] = json_encode(array_diff_key($row, array_flip($volatile)));
    }
    sort($rows);
    $out[$t] = ['columns' => $db->columns($t), 'rows' => $rows];
}
ksort($out);
$out['indexes'] = array_map('json_encode', $db->all($indexes));
sort($out['indexes']);
echo json_encode($out, JSON_PRETTY_PRINT), "\n";
