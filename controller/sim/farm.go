package sim

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/crypto/ssh"
)

// MaxFarm is the most hosts of a farm.
const MaxFarm = 10_000

// maxFarmInput bounds what one command of a farm is given to read.
const maxFarmInput = 16 << 20

// Farm is many hosts that all are one: each has an SSH server and a host key
// of its own, and answers what the one real simulated host answered to the
// same command before. It is for measuring the controller: the hosts' own work
// costs next to nothing.
type Farm struct {
	Inventory string
	fleet     *Fleet
	servers   []*sshServer
	done      sync.WaitGroup

	mu      sync.Mutex
	answers map[[32]byte]*farmAnswer

	connections, commands, run atomic.Int64
}

type farmAnswer struct {
	once           sync.Once
	status         int
	stdout, stderr []byte
}

// StartFarm starts a farm in an empty folder.
func StartFarm(ctx context.Context, dir string, hosts int) (*Farm, error) {
	if hosts < 1 || hosts > MaxFarm {
		return nil, fmt.Errorf("cannot start a farm of %d hosts: from 1 to %d", hosts, MaxFarm)
	}
	fleet, err := Start(ctx, Options{Dir: dir, Hosts: 1})
	if err != nil {
		return nil, err
	}
	f := &Farm{fleet: fleet, Inventory: filepath.Join(fleet.Dir, "fleet.hcl"), answers: map[[32]byte]*farmAnswer{}}
	if err := f.start(ctx, hosts); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot start the farm: %w", err), f.Close())
	}
	return f, nil
}

func (f *Farm) start(ctx context.Context, hosts int) error {
	one, err := loadHost(f.fleet.Hosts[0].Dir)
	if err != nil {
		return err
	}
	login, err := keyOf(f.fleet.KeyFile())
	if err != nil {
		return err
	}
	known := &strings.Builder{}
	list := make([]Host, 0, hosts)
	for i := 1; i <= hosts; i++ {
		name := fmt.Sprintf("farm-%05d", i)
		_, key, err := newKey()
		if err != nil {
			return err
		}
		srv, err := newSSHServer(0, key, login.PublicKey(), f.answerer(ctx, one, name))
		if err != nil {
			return err
		}
		srv.met = func() { f.connections.Add(1) }
		f.servers = append(f.servers, srv)
		f.done.Go(srv.serve)
		h := f.fleet.Hosts[0]
		h.Name, h.SSHPort = name, srv.port()
		h.Labels = map[string]string{"ring": "production", "site": h.Labels["site"]}
		if i == 1 {
			h.Labels["ring"] = "canary"
		}
		list = append(list, h)
		fmt.Fprintf(known, "[127.0.0.1]:%d %s", h.SSHPort, ssh.MarshalAuthorizedKey(key.PublicKey()))
	}
	if err := writeFile(f.fleet.KnownHosts(), known.String(), 0o600); err != nil {
		return err
	}
	shown := Fleet{Dir: f.fleet.Dir, User: f.fleet.User, Hosts: list, Mirror: f.fleet.Mirror, sameFolder: one.Name}
	return shown.WriteInventory(f.Inventory)
}

// answerer answers a command from memory, or runs it once on the real host.
func (f *Farm) answerer(ctx context.Context, one *hostConf, name string) answerer {
	sh := &shell{dir: one.at("home"), env: one.environment(f.fleet.binary, f.fleet.User), ctx: ctx}
	return func(line string, ch ssh.Channel, signals <-chan os.Signal) int {
		f.commands.Add(1)
		input, err := io.ReadAll(io.LimitReader(ch, maxFarmInput))
		if err != nil {
			return 255
		}
		line = strings.ReplaceAll(line, name, one.Name)
		input = bytes.ReplaceAll(input, []byte(name), []byte(one.Name))
		sum := sha256.Sum256(append([]byte(line+"\x00"), input...))
		f.mu.Lock()
		a := f.answers[sum]
		if a == nil {
			a = &farmAnswer{}
			f.answers[sum] = a
		}
		f.mu.Unlock()
		a.once.Do(func() {
			f.run.Add(1)
			var out, errs bytes.Buffer
			a.status = sh.run(line, bytes.NewReader(input), &out, &errs, signals)
			a.stdout, a.stderr = out.Bytes(), errs.Bytes()
		})
		ch.Write(a.stdout)
		ch.Stderr().Write(a.stderr)
		return a.status
	}
}

// Counts tells what the farm was asked.
func (f *Farm) Counts() (connections, commands, run int64) {
	return f.connections.Load(), f.commands.Load(), f.run.Load()
}

// Close ends the farm. Its folder stays.
func (f *Farm) Close() error {
	for _, s := range f.servers {
		s.close()
	}
	f.done.Wait()
	return f.fleet.Close()
}
