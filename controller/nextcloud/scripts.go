package nextcloud

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"maps"
	"sort"
	"strings"
	"sync"
)

// The host scripts are plain POSIX sh. Each is read whole from standard input
// by "sh -s" before its last line calls main, so a text that arrived in part
// does nothing. They are written to be started again after they were lost
// anywhere: what is left to do is read from the world, never from memory.
//
// They report in lines "ncfleet: KEY VALUE" on standard output, among the
// output of the commands they run; see [ParseReport].
//
// # Every PHP invocation
//
// A stand-in for PHP needs no more than these. All run as the web user, with
// /dev/null as standard input; TREE is the live tree, and occ runs with TREE
// as its working directory. [M] is "-d memory_limit=512M", present only when
// @memory answered less than 512 MiB.
//
//	PHP -r CODE -- ncfleet-config-get FILE|DIR KEY...
//	    One line per key, "KEY JSON" or "KEY unset". FILE is TREE/config/config.php,
//	    DIR is TREE/config and means all its *.config.php but zz-ncfleet*. The key
//	    "@memory" gives the memory limit in bytes (-1 unlimited), "@code" the four
//	    numbers of TREE/version.php, both bare. Exit 1 and one line on stderr when
//	    config.php cannot be read. Keys used: maintenance, upgrade.disable-web,
//	    appstoreenabled, loglevel, appstoreurl, has_internet_connection, proxy,
//	    logfile, version, @code, @memory.
//	PHP -r CODE -- ncfleet-config-set TREE/config/config.php KEY JSON|unset ...
//	    Changes the keys in the file; prints "changed" or "unchanged".
//	PHP -r CODE -- ncfleet-http URL
//	    Only where curl is missing. First line the HTTP status, then the body.
//	PHP -r CODE -- ncfleet-store URL
//	    "reachable", "refused" or "hangs".
//	PHP [M] occ upgrade --no-interaction
//	    Last lines "Update successful" and "Maintenance mode is kept active" on
//	    success, and config.php's version is then TREE/version.php's. Exit 0, or 5.
//	    "Disabled incompatible app: ID" and "Repair error: TEXT" are reported.
//	PHP [M] occ app:update --showonly --all
//	    Lines "ID new version available: VERSION", or nothing.
//	PHP [M] occ app:update --all
//	    Lines "ID updated" or "ID couldn't be updated".
//	PHP [M] occ app:update ID
//	    The same of one app, where versions are pinned.
//	PHP [M] occ db:add-missing-indices|-columns|-primary-keys --no-interaction
//	    Lines "Adding …", "Done."; exit 0.
//	PHP [M] occ app:list --output=json                       (NC_maintenance=0)
//	    {"enabled":{"ID":"VERSION"},"disabled":{…}}
//	PHP [M] occ setupchecks --output=json                    (NC_maintenance=0)
//	    {"CATEGORY":{"CLASS":{"name":…,"severity":"success|info|warning|error","description":…}}}
//	PHP [M] occ user:add --password-from-env --display-name=ncfleet -- NAME
//	    (NC_maintenance=0, the password in OC_PASS) exit 0.
//	PHP [M] occ user:delete NAME                             (NC_maintenance=0)
//	    A line with "was deleted" or "does not exist".
//	PHP -d memory_limit=512M -d upload_max_filesize=64M -d post_max_size=64M
//	    -d output_buffering=0 -d session.save_path=DIR -S 127.0.0.1:PORT -t TREE ROUTER
//	    (NC_maintenance=0, NC_skeletondirectory and NC_templatedirectory empty, PHP_CLI_SERVER_WORKERS=4, NCFLEET_DOOR=token, NCFLEET_DATA)
//	    Prints a line with "started" once it listens. Answers 403 without the header
//	    X-NCFleet-Door: token. A stand-in serves /status.php, /index.php/login,
//	    its assets and /remote.php/dav/files/USER/…, /.ncfleet/state (the file "state"
//	    beside ROUTER) and /.ncfleet/stop (makes "sessions/stop" there). It ends on SIGTERM.
//
// A closed site is one whose config/ holds zz-ncfleet.config.php or whose
// config.php says maintenance; to its users a stand-in answers status.php with
// 200 and "maintenance":true, and 503 to the rest. System paths are taken below
// $NCFLEET_SYSROOT where that is set; then nothing changes its user either.
//
//go:embed scripts/*.sh
var scriptFiles embed.FS

// scriptParts lists the host scripts and the files each is put together from.
var scriptParts = map[string][]string{
	"apps.sh":     {"lib.sh", "apps.sh"},
	"begin.sh":    {"lib.sh", "begin.sh"},
	"close.sh":    {"lib.sh", "opening.sh", "watchdog.sh", "close.sh"},
	"gate.sh":     {"lib.sh", "gate.sh"},
	"hold.sh":     {"lib.sh", "held.sh", "hold.sh"},
	"holds.sh":    {"holds.sh"},
	"hop.sh":      {"lib.sh", "swap.sh", "hop.sh"},
	"look.sh":     {"lib.sh", "look.sh"},
	"open.sh":     {"lib.sh", "opening.sh", "open.sh"},
	"reboot.sh":   {"lib.sh", "reboot.sh"},
	"restored.sh": {"lib.sh", "restored.sh"},
	"stage.sh":    {"lib.sh", "stage.sh"},
	"swapback.sh": {"lib.sh", "swap.sh", "swapback.sh"},
	"tidy.sh":     {"lib.sh", "archives.sh", "forget.sh", "tidy.sh"},
	"unhold.sh":   {"lib.sh", "held.sh", "unhold.sh"},
	"unstage.sh":  {"lib.sh", "archives.sh", "unstage.sh"},
}

// ScriptText is the whole text of the host script of that name, for the
// standard input of "sh -s -- ARGS".
func ScriptText(name string) (string, error) {
	parts, ok := scriptParts[name]
	if !ok {
		return "", fmt.Errorf("there is no host script %q", name)
	}
	if text, ok := scriptTexts()[name]; ok {
		return text, nil
	}
	_, err := joined(parts)
	return "", fmt.Errorf("cannot read host script %s: %w", name, err)
}

// scriptTexts leaves out what cannot be read, which is only possible when the
// table names a file that was not embedded; a test looks.
var scriptTexts = sync.OnceValue(func() map[string]string {
	out := make(map[string]string, len(scriptParts))
	for n, parts := range scriptParts {
		if text, err := joined(parts); err == nil {
			out[n] = text
		}
	}
	return out
})

func joined(parts []string) (string, error) {
	var b strings.Builder
	for _, p := range parts {
		text, err := scriptFiles.ReadFile("scripts/" + p)
		if err != nil {
			return "", err
		}
		b.Write(text)
		b.WriteByte('\n')
	}
	b.WriteString("main \"$@\" </dev/null\nexit $?\n")
	return b.String(), nil
}

// ScriptNames lists the host scripts, sorted.
func ScriptNames() []string {
	names := make([]string, 0, len(scriptParts))
	for n := range scriptParts {
		names = append(names, n)
	}
	sort.Strings(names)
	return names
}

// ScriptDigests maps each host script to the SHA-256 of its text, in hex.
func ScriptDigests() map[string]string { return maps.Clone(scriptDigests()) }

var scriptDigests = sync.OnceValue(func() map[string]string {
	out := make(map[string]string, len(scriptParts))
	for n, text := range scriptTexts() {
		sum := sha256.Sum256([]byte(text))
		out[n] = hex.EncodeToString(sum[:])
	}
	return out
})
