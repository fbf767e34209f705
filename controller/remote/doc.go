// Package remote reaches hosts over SSH: it runs commands, starts detached runs
// that outlive the connection, uploads files, forwards connections and keeps
// the lease by which one controller at a time changes a host.
//
// A [Pool] shares what hosts have in common: parsed known_hosts files, keys,
// the agent, bastions and the limits of concurrent dials. A [Host] costs
// nothing until its first use, then holds one connection. All hosts behind a
// bastion go through one connection to it, or as few as have room for them.
//
// The package refuses to guess. A command whose connection broke after it was
// sent is never sent again but reported as [OutcomeUnknown]; a host key that
// is not known is never accepted unless the configuration says "accept-new".
// Of an ssh_config it believes what "ssh -G" makes of it, only when asked to,
// and what it does not know there and would change the way to a host is an
// error. On a host only a POSIX shell is required.
//
//	pool := remote.NewPool(remote.Limits{})
//	defer pool.Close()
//	host := pool.Host(remote.Config{Name: "web1", Address: "192.0.2.7", User: "ops", Keys: keys, KnownHosts: files})
//	result, err := host.Run(ctx, driver.Command{Argv: []string{"id", "-u"}, User: "root"})
package remote
