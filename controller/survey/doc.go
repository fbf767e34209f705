// Package survey asks hosts what they are and returns plan.Facts.
//
// A survey is one remote command per host: a POSIX sh script, sent on standard
// input to "sh -s" as root, which needs nothing on the host and leaves nothing
// there. Its parts run side by side, each within a limit of its own, so that
// one dead mount or a silent app store costs what it is about and no more;
// what could not be found out is in Facts.Problems. A survey itself never
// fails: a host that does not answer gives Facts with Unreachable set.
//
// The package refuses to change a host. The one exception is asked for by the
// package driver: its probes may renew the package index.
//
// # What goes over the wire
//
// The script prints "ncfleet-survey 1", then one line per output "BYTES NAME"
// as wc -c prints them with "BYTES total" last, an empty line, and then the
// outputs in that order, byte for byte. NAME is PART.out, PART.err or PART.rc;
// PART is host, ps, fpm, df, cron, units, probe-N, inst-N, tree-N, status-N,
// checks-N, store-N, indices-N, reach-N or shop-N. The content of PART.rc is an
// exit status or "late". Records inside a part are lines of fields separated by
// tabs.
//
// # What runs PHP on the host
//
// In the code root, as the web user, the survey runs
//
//	PHP -r CODE -- ncfleet-facts PATH
//	PHP occ status --output=json
//	PHP occ setupchecks --output=json        when asked for
//	PHP occ app:update --showonly --all      when asked for
//	PHP occ db:add-missing-indices --dry-run when asked for
//
// The operation ncfleet-facts prints, on a line of its own, one JSON object
// without spaces between its tokens, that begins with the first three keys in
// this order:
//
//	{"ncfleet":1,"datadir":"/srv/data","appsdirs":"/srv/html/apps:/srv/apps",
//	 "version":"28.0.2.5","installed":true,"maintenance":false,"channel":"",
//	 "appspaths":[{"path":"/srv/html/apps","writable":true}],
//	 "settings":{"readonly":false,"appstore":true,"appstoreurl":"",
//	   "objectstore":"","url":"https://…","domains":["…"],"loglevel":"2",
//	   "logfile":"/srv/data/nextcloud.log","disableweb":false,"extra":[],
//	   "cluster":false},
//	 "database":{"kind":"mysql","server":"MariaDB","version":"10.11.19",
//	   "host":"127.0.0.1","name":"nc","bytes":4997120,"problem":""},
//	 "php":{"binary":"/usr/bin/php8.2","version":"8.2.36","memory":"-1",
//	   "scan":"/etc/php/8.2/cli/conf.d","usermemory":"","modules":["Core","ctype"]},
//	 "apps":[{"id":"files","version":"2.0.0","path":"/srv/html/apps/files",
//	   "min":"28","max":"28","minphp":"","maxphp":"","shipped":true,
//	   "enabled":true,"db":"2.0.0"}],
//	 "leftovers":[],"problems":[]}
//
// The line is shown broken here; a key that is left out counts as empty. No
// password, secret, salt or instance id is ever in it. Where neither curl nor
// wget exists, a second operation, "PHP -r CODE -- ncfleet-reach URL", prints
// the HTTP status of URL.
//
// # Simulated hosts
//
// System paths (/etc, /proc, /run, /snap and /var/spool/cron; / itself, /var
// and /tmp for free space) are taken below the environment variable
// NCFLEET_SYSROOT, which is for simulated hosts only. Paths that the inventory
// names are taken as they are, and no command changes its user.
package survey
