package sim

import (
	"errors"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/ncfleet/ncfleet/controller/nextcloud"
)

// errMigration is what a broken migration says.
var errMigration = errors.New("Database error when running migration 4070Date20240301134500 for app calendar\n" +
	"An exception occurred while executing a query: SQLSTATE[HY000]: General error: 1 no such column: deleted_at")

// occUpgrade is the database upgrade. Like the real one it takes no lock, keeps
// maintenance mode where it was on, and writes the new version last.
func occUpgrade(p *process, s *site, _, _ []string) int {
	if !s.needsUpgrade() {
		if s.closed {
			p.say("Nextcloud is in maintenance mode\n\nMaybe an upgrade is already in process. Please check the logfile (data/nextcloud.log). If you want to re-run the upgrade procedure, remove the \"maintenance mode\" from config.php and call this script again.\n")
			return 2
		}
		p.say("Nextcloud is already latest version\n")
		return 0
	}
	wasClosed := s.conf.truth("maintenance", false)
	level, hadLevel := s.conf.get("loglevel")
	p.say("Setting log level to debug\n")
	change := map[string]any{"loglevel": int64(0)}
	if !wasClosed {
		p.say("Turned on maintenance mode\n")
		change["maintenance"] = true
	}
	if err := s.changeConfig(change); err != nil {
		return p.crash(err)
	}
	err := p.migrate(s)
	back := map[string]any{"loglevel": nil}
	if hadLevel {
		back["loglevel"] = level
	}
	switch {
	case err != nil:
		p.say("Exception: %v\nUpdate failed\nMaintenance mode is kept active\nResetting log level\n", err)
		s.log(3, "updater", err.Error())
	default:
		back["version"] = s.code.Version.Long()
		p.say("Starting code integrity check...\nFinished code integrity check\nUpdate successful\n")
		if wasClosed {
			p.say("Maintenance mode is kept active\n")
		} else {
			back["maintenance"] = false
			p.say("Turned off maintenance mode\n")
		}
		p.say("Resetting log level\n")
	}
	if e := s.changeConfig(back); e != nil {
		return p.crash(e)
	}
	if err != nil {
		return 5
	}
	return 0
}

// migrate makes the migrations of core, then those of the apps.
func (p *process) migrate(s *site) error {
	if !s.legalHop() {
		return errors.New("Updates between multiple major versions and downgrades are unsupported.")
	}
	nap := time.Duration(p.host.UpgradeSeconds * float64(time.Second) / 3)
	if p.host.has(Slow) {
		nap *= 3
	}
	apps, err := s.apps()
	if err != nil {
		return err
	}
	p.say("Updating database schema\n")
	time.Sleep(nap)
	major := s.code.Version.Major()
	err = p.host.changeDatabase(s.databaseFile(), func(db *database) error {
		db.Schema = s.code.Version.Long()
		db.MissingIndices = []string{"oc_notifications_pushhash oc_npushhash_di"}
		for _, a := range apps {
			if was, ok := db.Apps[a.ID]; ok && was.Enabled && !a.Shipped && !a.fits(major) {
				was.Enabled = false
				db.Apps[a.ID] = was
				p.say("Disabled incompatible app: %s\n", a.ID)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	p.say("Updated database\n")
	if p.host.has(UpgradeKilled) {
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
		time.Sleep(time.Minute) // until the signal comes
	}
	time.Sleep(nap)
	for _, a := range apps {
		if err := p.migrateApp(s, a); err != nil {
			return err
		}
	}
	time.Sleep(nap)
	return nil
}

// legalHop is Nextcloud's own rule: the new code names what it accepts.
func (s *site) legalHop() bool {
	from := s.installed()
	if from.Major() == s.code.Version.Major() {
		return true
	}
	key := nextcloud.Version{from[0], from[1]}.String()
	return slices.ContainsFunc(s.code.UpgradableFrom, func(have string) bool { return nextcloud.CompareDotted(have, key) == 0 })
}

func (p *process) migrateApp(s *site, a app) error {
	if a.ID == "calendar" && p.host.has(UpgradeFails) {
		p.say("Updating <calendar> ...\n")
		return errMigration
	}
	return p.host.changeDatabase(s.databaseFile(), func(db *database) error {
		was, ok := db.Apps[a.ID]
		switch {
		case !ok && a.Shipped:
			db.Apps[a.ID] = dbApp{Enabled: true, Version: a.Version}
		case ok && a.enabled(db) && was.Version != a.Version:
			p.say("Updating <%s> ...\nUpdated <%s> to %s\n", a.ID, a.ID, a.Version)
			was.Version = a.Version
			db.Apps[a.ID] = was
		}
		return nil
	})
}
