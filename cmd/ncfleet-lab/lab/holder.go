package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// rebootCode is how systemd-nspawn ends when its guest reboots.
const rebootCode = 133

// Serve is the holder: the one process that keeps the lab's namespaces, serves
// packages and releases, and is the power supply of the hosts. It must have
// been started by Up, which gives it namespaces of its own, and it returns when
// ctx ends; the hosts end with it.
func (l *Lab) Serve(ctx context.Context) error {
	err := l.serve(ctx)
	if err != nil {
		// Up reads it; if it cannot be written, Up says that nothing came.
		_ = writeFile(l.run("failed"), []byte(err.Error()), 0o600)
	}
	return err
}

func (l *Lab) serve(ctx context.Context) error {
	// First of all it lets itself be found: Up may have died before it wrote
	// the holder down, and a Down may be on its way.
	if err := l.joinGroups("holder"); err != nil {
		return err
	}
	st, err := l.load()
	if err != nil {
		return err
	}
	if err := l.ownNetwork(ctx); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(gateway, webPort))
	if err != nil {
		return fmt.Errorf("cannot serve packages and releases: %w", err)
	}
	web := l.webServer(st)
	go func() { _ = web.Serve(listener) }() // ends with Close below
	defer web.Close()

	g, preparing := errgroup.WithContext(ctx)
	g.SetLimit(4)
	for _, h := range st.Hosts {
		g.Go(func() error {
			if err := l.prepare(preparing, st, h); err != nil {
				return fmt.Errorf("cannot prepare %s: %w", h.Name, err)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	var supplies sync.WaitGroup
	for _, h := range st.Hosts {
		supplies.Go(func() { l.supply(ctx, h) })
	}
	if err := writeFile(l.run("ready"), nil, 0o600); err != nil {
		return err
	}
	supplies.Wait()
	return nil
}

// ownNetwork makes the bridge. It refuses to work in a network that others use.
func (l *Lab) ownNetwork(ctx context.Context) error {
	links, err := net.Interfaces()
	if err != nil {
		return fmt.Errorf("cannot read the network: %w", err)
	}
	for _, link := range links {
		if link.Flags&net.FlagUp != 0 {
			return errors.New("the holder is not in a network namespace of its own: it is started by up, not by hand")
		}
	}
	for _, line := range []string{
		"mount -t tmpfs -o mode=755 lab /run",
		"ip link set lo up",
		"ip link add br0 type bridge",
		"ip addr add " + gateway + netBits + " dev br0",
		"ip link set br0 up",
	} {
		words := strings.Fields(line)
		if _, err := tool(ctx, words[0], words[1:]...); err != nil {
			return fmt.Errorf("cannot make the lab's network: %w", err)
		}
	}
	return nil
}

// supply keeps a host under power: it comes back after a reboot, and after a
// power cycle (Host.Reboot with hard), and stays off after it powered off.
func (l *Lab) supply(ctx context.Context, h hostState) {
	// The host must end with the holder, whatever becomes of it. The kernel
	// ties that to the thread that starts it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for boots := 1; ctx.Err() == nil; boots++ {
		code, err := l.boot(ctx, h, boots)
		l.say("%s %s: ended with %d %v", time.Now().UTC().Format(time.RFC3339), h.Name, code, err)
		if code == rebootCode {
			continue
		}
		if err := l.setPower(h.Name, power{State: powerOff, Boots: boots}); err != nil {
			l.say("%s: %v", h.Name, err)
		}
		for ctx.Err() == nil && os.Remove(l.hostFile(h.Name, "cycle")) != nil {
			time.Sleep(50 * time.Millisecond)
		}
		l.renew(ctx, h)
		// Who asked for power meanwhile gets it now, not at the next power off.
		_ = os.Remove(l.hostFile(h.Name, "cycle"))
	}
}

// boot runs a host from power on to power off.
func (l *Lab) boot(ctx context.Context, h hostState, boots int) (int, error) {
	console, err := os.OpenFile(l.hostFile(h.Name, "console.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return -1, err
	}
	defer console.Close()
	args := append([]string{"-c", powerScript(), "power.sh", h.Name, l.hostFile(h.Name, "root"), l.hostFile(h.Name, "srv")}, l.groups(h.Name)...)
	cmd := exec.CommandContext(ctx, "sh", args...)
	cmd.Stdout, cmd.Stderr = console, console
	endWithParent(cmd)
	if err := cmd.Start(); err != nil {
		return -1, err
	}
	booted, stop := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() { l.watchBoot(booted, h, cmd.Process.Pid, boots) })
	err = cmd.Wait()
	stop()
	watch.Wait()
	return cmd.ProcessState.ExitCode(), err
}

func powerScript() string {
	data, _ := recipes.ReadFile("recipes/power.sh") // embedded: it is there
	return string(data)
}

// watchBoot writes down the guest's PID 1 once it runs, and that the host is on
// once its sshd answers.
func (l *Lab) watchBoot(ctx context.Context, h hostState, nspawn, boots int) {
	p := power{State: powerBooting, Boots: boots}
	err := poll(ctx, time.Minute, "PID 1 of "+h.Name, func() bool {
		p.Init = guestInit(nspawn)
		return p.Init.PID != 0
	})
	if err == nil {
		err = l.setPower(h.Name, p)
	}
	if err == nil {
		// It ends with this boot; a cable may be cut for long.
		err = poll(ctx, 30*24*time.Hour, "sshd of "+h.Name, func() bool { return greets(ctx, h.Address) })
	}
	if err == nil {
		p.State = powerOn
		err = l.setPower(h.Name, p)
	}
	if err != nil && ctx.Err() == nil {
		l.say("%s: %v", h.Name, err)
	}
}

// guestInit finds the guest's PID 1: the child of systemd-nspawn that has
// become systemd. Its zero value means that there is none yet.
func guestInit(nspawn int) process {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", nspawn)) // the pattern is sound
	for _, t := range tasks {
		data, err := os.ReadFile(t)
		if err != nil {
			continue
		}
		for _, word := range strings.Fields(string(data)) {
			comm, err := os.ReadFile("/proc/" + word + "/comm")
			if err != nil || strings.TrimSpace(string(comm)) != "systemd" {
				continue
			}
			if pid, err := strconv.Atoi(word); err == nil {
				if p, err := processOf(pid); err == nil {
					return p
				}
			}
		}
	}
	return process{}
}

// greets reports whether an SSH server says its name.
func greets(ctx context.Context, address string) bool {
	d := net.Dialer{Timeout: time.Second}
	conn, err := d.DialContext(ctx, "tcp", net.JoinHostPort(address, "22"))
	if err != nil {
		return false
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(2 * time.Second)) // without it, Read ends with the host
	hello := make([]byte, 4)
	_, err = conn.Read(hello)
	return err == nil && string(hello) == "SSH-"
}

// startHolder starts Serve in namespaces of its own and waits until every host
// is under power.
func (l *Lab) startHolder(ctx context.Context) error {
	if len(l.holder) == 0 {
		return errors.New("cannot start the lab: no command line for its holder was given")
	}
	logFile, err := os.OpenFile(l.run("holder.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer logFile.Close()
	line := append(l.holder[:len(l.holder):len(l.holder)], "--dir", l.dir, "--cache", l.cache)
	cmd := exec.Command(line[0], line[1:]...) // it outlives this process: no context
	cmd.Stdout, cmd.Stderr, cmd.Dir = logFile, logFile, "/"
	ownNamespaces(cmd)
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("cannot start the lab's holder: %w", err)
	}
	p, err := processOf(cmd.Process.Pid)
	if err == nil {
		err = writeFile(l.run("holder"), fmt.Appendf(nil, "%d %s\n", p.PID, p.Began), 0o600)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("cannot write down the lab's holder: %w", err), cmd.Process.Kill())
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }() // how it ended stands in its log
	return l.awaitHolder(ctx, ended)
}

func (l *Lab) awaitHolder(ctx context.Context, ended <-chan struct{}) error {
	var failed error
	err := poll(ctx, 5*time.Minute, "the lab's holder", func() bool {
		if data, err := os.ReadFile(l.run("failed")); err == nil {
			failed = errors.New(string(data))
			return true
		}
		select {
		case <-ended:
			said, _ := os.ReadFile(l.run("holder.log")) // nothing said is said too
			failed = fmt.Errorf("the lab's holder ended%s", after(string(said)))
			return true
		default:
		}
		_, err := os.Stat(l.run("ready"))
		return err == nil
	})
	return errors.Join(err, failed)
}
