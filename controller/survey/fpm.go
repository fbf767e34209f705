package survey

import (
	"slices"
	"strconv"
	"strings"

	"github.com/ncfleet/ncfleet/controller/plan"
)

// fpmConf is what the files say that configure one running PHP-FPM.
type fpmConf struct {
	ini   map[string]string // of its php.ini; "scan" is the folder of more such files
	pools []*fpmPool
}

type fpmPool struct {
	file, name, user string
	values           map[string]string
}

// fpmConfs reads the part fpm.
func (r *reader) fpmConfs() {
	r.web.confs = map[int]*fpmConf{}
	of := func(text string) *fpmConf {
		pid, _ := strconv.Atoi(text) // 0 is nobody's
		if r.web.confs[pid] == nil {
			r.web.confs[pid] = &fpmConf{ini: map[string]string{}}
		}
		return r.web.confs[pid]
	}
	records(r.parts["fpm"].out, func(key, rest string) {
		switch key {
		case "ini":
			p := fields(rest, 3)
			of(p[0]).ini[p[1]] = p[2]
		case "pool":
			p := fields(rest, 5)
			pool := of(p[0]).pool(strings.TrimPrefix(p[1], r.sysroot), p[2])
			if p[3] == "user" {
				pool.user = strings.ReplaceAll(p[4], "$pool", p[2])
				return
			}
			_, name, _ := strings.Cut(strings.TrimSuffix(p[3], "]"), "[")
			pool.values[name] = p[4]
		}
	})
}

func (c *fpmConf) pool(file, name string) *fpmPool {
	for _, p := range c.pools {
		if p.name == name && p.file == file {
			return p
		}
	}
	p := &fpmPool{file: file, name: name, values: map[string]string{}}
	c.pools = append(c.pools, p)
	return p
}

// configured are the masters whose configuration has a pool of the user.
func (r *reader) configured(user string) []fpmMaster {
	var out []fpmMaster
	for _, m := range r.web.masters {
		if c := r.web.confs[m.pid]; c != nil && user != "" && slices.ContainsFunc(c.pools, func(p *fpmPool) bool { return p.user == user }) {
			out = append(out, m)
		}
	}
	return out
}

// webPHP is what PHP-FPM's files say for the site of a user; nil when that
// cannot be told: no pool is the user's, or several that differ.
func (r *reader) webPHP(user, userMemory string) *plan.WebPHP {
	var found *plan.WebPHP
	for _, m := range r.configured(user) {
		c := r.web.confs[m.pid]
		for _, p := range c.pools {
			if p.user != user || c.ini["memory_limit"] == "" {
				continue
			}
			w := c.of(p, userMemory)
			if found != nil && *found != w {
				return nil
			}
			found = &w
		}
	}
	return found
}

// of is one pool's PHP: its own lines go before the tree's .user.ini, and that
// before php.ini.
func (c *fpmConf) of(p *fpmPool, userMemory string) plan.WebPHP {
	value := func(key string) string {
		if v, ok := p.values[key]; ok {
			return v
		}
		return c.ini[key]
	}
	w := plan.WebPHP{PoolFile: p.file, ScanDir: c.ini["scan"], MemoryLimit: value("memory_limit")}
	_, w.PoolSetsMemory = p.values["memory_limit"]
	if !w.PoolSetsMemory && userMemory != "" {
		w.MemoryLimit = userMemory
	}
	w.Opcache = truth(value("opcache.enable"))
	w.ChecksFiles = truth(value("opcache.validate_timestamps"))
	w.RecheckSeconds = int(atoi64(value("opcache.revalidate_freq")))
	return w
}

// truth reads a switch of php.ini.
func truth(s string) bool {
	switch strings.ToLower(s) {
	case "on", "1", "yes", "true":
		return true
	}
	return false
}
