package sim

import (
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
)

// occ stands in for Nextcloud's occ: output and exit status as the real one's.
func (p *process) occ(root string, args []string) int {
	s, err := loadSite(p.host, root, p.getenv("NC_maintenance"))
	if err != nil {
		p.say("An unhandled exception has been thrown:\nException: %v\n", err)
		return 1
	}
	if why := s.refusedPHP(); why != "" {
		p.say("%s\n", why)
		return 1
	}
	if s.code.Version.Compare(s.installed()) < 0 {
		p.say("An unhandled exception has been thrown:\nOCP\\HintException: [0]: Downgrading is not supported and is likely to cause unpredictable issues (from %s to %s)\n",
			s.installed().Long(), s.code.Version.Long())
		return 1
	}
	if why := s.notPrepared(); why != "" {
		p.say("%s\n\nAn unhandled exception has been thrown:\nException: Environment not properly prepared.\n", why)
		return 1
	}
	var options, words []string
	for _, a := range args {
		if strings.HasPrefix(a, "-") {
			options = append(options, a)
		} else {
			words = append(words, a)
		}
	}
	if len(words) == 0 {
		p.say("Nextcloud %s\n", s.code.Text)
		return 0
	}
	p.warnState(s)
	run, ok := occCommands[words[0]]
	if !ok {
		p.say("\n  Command %q is not defined.\n", words[0])
		return 1
	}
	return run(p, s, words[1:], options)
}

// notPrepared is the check that every occ command makes first.
func (s *site) notPrepared() string {
	dir := filepath.Join(s.root, "apps")
	info, err := os.Stat(dir)
	if err == nil && info.Mode().Perm()&0o200 == 0 && s.conf.truth("appstoreenabled", true) {
		return "Cannot write into \"apps\" directory.\nThis can usually be fixed by giving the web server write access to the apps directory."
	}
	return ""
}

// warnState prints to stderr what occ prints there.
func (p *process) warnState(s *site) {
	switch {
	case s.closed:
		p.complain("Nextcloud is in maintenance mode, no apps are loaded.\nCommands provided by apps are unavailable.\n")
	case s.needsUpgrade():
		p.complain("Nextcloud or one of the apps require upgrade - only a limited number of commands are available\nYou may use your browser or the occ upgrade command to do the upgrade\n")
	}
}

type occCommand func(p *process, s *site, words, options []string) int

var occCommands = map[string]occCommand{
	"status":                       occStatus,
	"check":                        func(*process, *site, []string, []string) int { return 0 },
	"integrity:check-core":         func(*process, *site, []string, []string) int { return 0 },
	"maintenance:data-fingerprint": func(*process, *site, []string, []string) int { return 0 },
	"maintenance:mode":             occMaintenance,
	"maintenance:repair":           occRepair,
	"upgrade":                      occUpgrade,
	"app:list":                     occAppList,
	"app:update":                   occAppUpdate,
	"app:enable":                   func(p *process, s *site, w, _ []string) int { return occAppSwitch(p, s, w, true) },
	"app:disable":                  func(p *process, s *site, w, _ []string) int { return occAppSwitch(p, s, w, false) },
	"setupchecks":                  occSetupChecks,
	"user:add":                     occUserAdd,
	"user:delete":                  occUserDelete,
	"user:list":                    occUserList,
	"config:system:get":            occSystemGet,
	"config:system:set":            occSystemSet,
	"config:system:delete":         occSystemDelete,
	"db:add-missing-indices":       occMissingIndices,
	"db:add-missing-columns":       occDone,
	"db:add-missing-primary-keys":  occDone,
	"background:cron": func(p *process, _ *site, _, _ []string) int {
		p.say("Set mode for background jobs to 'cron'\n")
		return 0
	},
}

func occDone(p *process, _ *site, _, _ []string) int {
	p.say("Done.\n")
	return 0
}

func occRepair(p *process, _ *site, _, _ []string) int {
	p.say(" - Repair MySQL collation\n - Clean tags and favorites\n - Repair invalid shares\n")
	return 0
}

func occStatus(p *process, s *site, _, options []string) int {
	if slices.Contains(options, "-e") {
		switch {
		case s.closed:
			return 1
		case s.needsUpgrade():
			return 2
		}
		return 0
	}
	if slices.Contains(options, "--output=json") {
		p.say("%s\n", s.statusJSON())
		return 0
	}
	p.say("  - installed: %v\n  - version: %s\n  - versionstring: %s\n  - edition: \n  - maintenance: %v\n  - needsDbUpgrade: %v\n  - productname: Nextcloud\n  - extendedSupport: false\n",
		s.conf.truth("installed", false), s.code.Version.Long(), s.code.Text, s.closed, s.needsUpgrade())
	return 0
}

func occMaintenance(p *process, s *site, _, options []string) int {
	on := s.conf.truth("maintenance", false)
	word := map[bool]string{true: "enabled", false: "disabled"}
	for _, o := range options {
		want := o == "--on"
		if !want && o != "--off" {
			continue
		}
		if want == on {
			p.say("Maintenance mode already %s\n", word[want])
			return 0
		}
		if err := s.changeConfig(map[string]any{"maintenance": want}); err != nil {
			return p.crash(err)
		}
		p.say("Maintenance mode %s\n", word[want])
		return 0
	}
	p.say("Maintenance mode is currently %s\n", word[on])
	return 0
}

func (p *process) crash(err error) int {
	p.say("An unhandled exception has been thrown:\nException: %v\n", err)
	return 1
}

func occAppList(p *process, s *site, _, options []string) int {
	db, err := s.database()
	if err != nil {
		return p.crash(err)
	}
	apps, err := s.apps()
	if err != nil {
		return p.crash(err)
	}
	enabled, disabled := map[string]string{}, map[string]string{}
	for _, a := range apps {
		if slices.Contains(options, "--shipped=false") && a.Shipped {
			continue
		}
		if a.enabled(db) {
			enabled[a.ID] = a.Version
		} else {
			disabled[a.ID] = a.Version
		}
	}
	if slices.Contains(options, "--output=json") {
		p.say("%s\n", jsonText(struct {
			Enabled  map[string]string `json:"enabled"`
			Disabled map[string]string `json:"disabled"`
		}{enabled, disabled}))
		return 0
	}
	for _, l := range []struct {
		title string
		apps  map[string]string
	}{{"Enabled", enabled}, {"Disabled", disabled}} {
		p.say("%s:\n", l.title)
		names := make([]string, 0, len(l.apps))
		for id := range l.apps {
			names = append(names, id)
		}
		sort.Strings(names)
		for _, id := range names {
			p.say("  - %s: %s\n", id, l.apps[id])
		}
	}
	return 0
}

func occAppUpdate(p *process, s *site, words, options []string) int {
	apps, err := s.apps()
	if err != nil {
		return p.crash(err)
	}
	said := false
	for _, a := range apps {
		to := s.newerInStore(a)
		if to == "" || (!slices.Contains(options, "--all") && !slices.Contains(words, a.ID)) {
			continue
		}
		said = true
		p.say("%s new version available: %s\n", a.ID, to)
		if slices.Contains(options, "--showonly") {
			continue
		}
		if err := a.updateFiles(to); err != nil {
			p.say("%s couldn't be updated\n", a.ID)
			return 1
		}
		err := p.host.changeDatabase(s.databaseFile(), func(db *database) error {
			was := db.Apps[a.ID]
			was.Version = to
			db.Apps[a.ID] = was
			return nil
		})
		if err != nil {
			return p.crash(err)
		}
		p.say("%s updated\n", a.ID)
	}
	if !said && s.code.Version.Major() >= 29 {
		p.say("All apps are up-to-date or no updates could be found\n")
	}
	return 0
}

func occAppSwitch(p *process, s *site, words []string, on bool) int {
	apps, err := s.apps()
	if err != nil {
		return p.crash(err)
	}
	for _, id := range words {
		i := slices.IndexFunc(apps, func(a app) bool { return a.ID == id })
		if i < 0 {
			p.say("%s not found\n", id)
			return 1
		}
		if on && !apps[i].fits(s.code.Version.Major()) {
			p.say("App \"%s\" cannot be installed because it is not compatible with this version of the server.\n", id)
			return 1
		}
		err := p.host.changeDatabase(s.databaseFile(), func(db *database) error {
			db.Apps[id] = dbApp{Enabled: on, Version: apps[i].Version}
			return nil
		})
		if err != nil {
			return p.crash(err)
		}
		p.say("%s %s %s\n", id, apps[i].Version, map[bool]string{true: "enabled", false: "disabled"}[on])
	}
	return 0
}

func occSetupChecks(p *process, s *site, _, _ []string) int {
	type check struct {
		Name        string `json:"name"`
		Severity    string `json:"severity"`
		Description string `json:"description"`
	}
	const ns = `OCA\Settings\SetupChecks\`
	p.say("%s\n", jsonText(map[string]map[string]check{
		"security": {
			ns + "HttpsUrlGeneration":    {"HTTPS access and URLs", "warning", "Accessing site insecurely via HTTP."},
			ns + "CheckUserCertificates": {"Old administration imported certificates", "success", ""},
		},
		"system": {
			ns + "CronErrors":         {"Cron errors", "success", "The last cron job ran without errors."},
			ns + "PhpModules":         {"PHP modules", "success", ""},
			ns + "PhpMemoryLimit":     {"PHP memory limit", "success", memoryLimit},
			ns + "DefaultPhoneRegion": {"Default phone region", "info", "Your installation has no default phone region set."},
		},
		"database": {
			ns + "SupportedDatabase": {"Database version", "info", "SQLite is currently being used as the backend database."},
		},
	}))
	return 1 // as soon as one check is not a success
}

func occMissingIndices(p *process, s *site, _, options []string) int {
	err := p.host.changeDatabase(s.databaseFile(), func(db *database) error {
		for _, i := range db.MissingIndices {
			table, index, _ := strings.Cut(i, " ")
			p.say("Adding additional %s index to the %s table, this can take some time...\n%s table updated successfully.\n", index, table, table)
		}
		if !slices.Contains(options, "--dry-run") {
			db.MissingIndices = nil
		}
		return nil
	})
	if err != nil {
		return p.crash(err)
	}
	return 0
}
