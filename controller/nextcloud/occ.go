package nextcloud

import (
	"time"

	"github.com/ncfleet/ncfleet/plugins/driver"
)

// Occ is where and as whom one instance's occ is run. Every command runs in
// the code root as the owner of config/config.php: run as another user occ may
// print a complaint and still exit with 0.
type Occ struct {
	PHP  string // absolute path of the PHP command line; "" means "php"
	Root string // the code tree's root
	User string // the web user
}

// Run is the command line of any occ command.
func (o Occ) Run(args ...string) driver.Command {
	php := o.PHP
	if php == "" {
		php = "php"
	}
	return driver.Command{Argv: append([]string{php, "occ"}, args...), User: o.User, Dir: o.Root}
}

func (o Occ) within(limit time.Duration, args ...string) driver.Command {
	c := o.Run(args...)
	c.Timeout = limit
	return c
}

// Status asks for version, maintenance mode and whether an upgrade is
// pending; read it with ParseStatus.
func (o Occ) Status() driver.Command {
	return o.within(30*time.Second, "status", "--output=json")
}

// AppList lists all apps with their versions; read it with ParseAppList.
func (o Occ) AppList() driver.Command {
	return o.within(30*time.Second, "app:list", "--output=json")
}

// SetupChecks runs all setup checks. Its exit status says nothing: it is 1
// for a mere hint too. Read it with ParseSetupChecks.
func (o Occ) SetupChecks() driver.Command {
	return o.within(2*time.Minute, "setupchecks", "--output=json")
}

// AppUpdates asks the app store what is newer; read it with ParseAppUpdates.
// An unreachable store looks like "nothing to do".
func (o Occ) AppUpdates() driver.Command {
	return o.within(2*time.Minute, "app:update", "--showonly", "--all")
}

// Upgrade is the database upgrade; read it with ParseUpgradeOutput.
func (o Occ) Upgrade() driver.Command {
	return o.Run("upgrade", "--no-interaction")
}

// Maintenance switches maintenance mode. It is idempotent.
func (o Occ) Maintenance(on bool) driver.Command {
	flag := "--off"
	if on {
		flag = "--on"
	}
	return o.within(time.Minute, "maintenance:mode", flag)
}

// AppDisable disables one app.
func (o Occ) AppDisable(id string) driver.Command {
	return o.within(time.Minute, "app:disable", id)
}

// AppEnable enables one app.
func (o Occ) AppEnable(id string) driver.Command {
	return o.within(time.Minute, "app:enable", id)
}

// SystemGet reads one value of config.php.
func (o Occ) SystemGet(key string) driver.Command {
	return o.within(30*time.Second, "config:system:get", key)
}

// CheckCore compares the code with its signature; differences exit with 1.
func (o Occ) CheckCore() driver.Command {
	return o.within(5*time.Minute, "integrity:check-core", "--output=json")
}
