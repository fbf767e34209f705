package sim

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"
)

// Bounds of the SSH servers.
const (
	handshakeLimit = 30 * time.Second
	// afterExit is how long output of what a command left running is waited for.
	afterExit = 2 * time.Second
	maxIdle   = 10 * time.Minute
)

// answerer carries out one command of a session and returns its exit status.
type answerer func(line string, ch ssh.Channel, signals <-chan os.Signal) int

// sshServer is one host's SSH daemon.
type sshServer struct {
	config   *ssh.ServerConfig
	listener net.Listener
	answer   answerer
	met      func() // called for each connection, may be nil

	mu    sync.Mutex
	conns map[net.Conn]struct{}
	done  sync.WaitGroup
}

// newSSHServer listens on a loopback port, any free one when port is 0.
func newSSHServer(port int, host ssh.Signer, login ssh.PublicKey, answer answerer) (*sshServer, error) {
	ln, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return nil, fmt.Errorf("cannot listen for SSH: %w", err)
	}
	want := login.Marshal()
	config := &ssh.ServerConfig{
		ServerVersion: "SSH-2.0-ncfleet_sim",
		PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			if !bytes.Equal(key.Marshal(), want) {
				return nil, errors.New("unknown key")
			}
			return nil, nil
		},
	}
	config.AddHostKey(host)
	return &sshServer{config: config, listener: ln, answer: answer, conns: map[net.Conn]struct{}{}}, nil
}

func (s *sshServer) port() int { return s.listener.Addr().(*net.TCPAddr).Port }

// serve accepts connections until the server is closed.
func (s *sshServer) serve() {
	for {
		c, err := s.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(50 * time.Millisecond) // out of descriptors: they come back
			continue
		}
		if s.met != nil {
			s.met()
		}
		s.mu.Lock()
		s.conns[c] = struct{}{}
		s.mu.Unlock()
		s.done.Go(func() {
			s.connection(c)
			c.Close()
			s.mu.Lock()
			delete(s.conns, c)
			s.mu.Unlock()
		})
	}
}

// close ends the listener and every connection.
func (s *sshServer) close() {
	s.listener.Close()
	s.mu.Lock()
	for c := range s.conns {
		c.Close()
	}
	s.mu.Unlock()
	s.done.Wait()
}

func (s *sshServer) connection(c net.Conn) {
	c.SetDeadline(time.Now().Add(handshakeLimit))
	sc, channels, requests, err := ssh.NewServerConn(c, s.config)
	if err != nil {
		return
	}
	c.SetDeadline(time.Time{})
	defer sc.Close()
	go ssh.DiscardRequests(requests)
	var open sync.WaitGroup
	for nc := range channels {
		switch nc.ChannelType() {
		case "session":
			if ch, requests, err := nc.Accept(); err == nil {
				open.Go(func() { s.session(ch, requests) })
			}
		case "direct-tcpip":
			open.Go(func() { forward(nc) })
		default:
			nc.Reject(ssh.UnknownChannelType, "only sessions and direct-tcpip")
		}
	}
	open.Wait()
}

// session answers the one exec request of a channel.
func (s *sshServer) session(ch ssh.Channel, requests <-chan *ssh.Request) {
	defer ch.Close()
	signals := make(chan os.Signal, 4)
	var running sync.WaitGroup
	defer running.Wait()
	defer close(signals)
	begun := false
	for r := range requests {
		switch r.Type {
		case "exec":
			var p struct{ Line string }
			if begun || ssh.Unmarshal(r.Payload, &p) != nil {
				r.Reply(false, nil)
				continue
			}
			begun = true
			r.Reply(true, nil)
			running.Go(func() {
				status := binary.BigEndian.AppendUint32(nil, uint32(s.answer(p.Line, ch, signals)))
				ch.SendRequest("exit-status", false, status)
				ch.Close()
			})
		case "signal":
			var p struct{ Name string }
			if ssh.Unmarshal(r.Payload, &p) == nil && signalNames[p.Name] != nil {
				select {
				case signals <- signalNames[p.Name]:
				default: // four are waiting already
				}
			}
		default:
			r.Reply(r.Type == "env", nil)
		}
	}
}

var signalNames = map[string]os.Signal{
	"HUP": syscall.SIGHUP, "INT": syscall.SIGINT, "TERM": syscall.SIGTERM, "KILL": syscall.SIGKILL,
}

// forward connects a direct-tcpip channel to a loopback port.
func forward(nc ssh.NewChannel) {
	var p struct {
		Host       string
		Port       uint32
		OriginHost string
		OriginPort uint32
	}
	if ssh.Unmarshal(nc.ExtraData(), &p) != nil || (p.Host != "127.0.0.1" && p.Host != "localhost") {
		nc.Reject(ssh.Prohibited, "a simulated host forwards to its own loopback only")
		return
	}
	to, err := net.DialTimeout("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(int(p.Port))), 5*time.Second)
	if err != nil {
		nc.Reject(ssh.ConnectionFailed, err.Error())
		return
	}
	defer to.Close()
	ch, requests, err := nc.Accept()
	if err != nil {
		return
	}
	defer ch.Close()
	go ssh.DiscardRequests(requests)
	sent := make(chan struct{})
	go func() {
		io.Copy(to, ch)
		to.(*net.TCPConn).CloseWrite()
		close(sent)
	}()
	io.Copy(ch, to)
	ch.CloseWrite()
	select {
	case <-sent:
	case <-time.After(maxIdle):
	}
}

// shell runs command lines with /bin/sh in a host's folder, each in a session
// of its own. What a command leaves running goes on, as under a real sshd.
type shell struct {
	dir     string
	env     []string
	confine []string // words put before /bin/sh
	ctx     context.Context
}

func (s *shell) answer(line string, ch ssh.Channel, signals <-chan os.Signal) int {
	return s.run(line, ch, ch, ch.Stderr(), signals)
}

func (s *shell) run(line string, in io.Reader, out, errs io.Writer, signals <-chan os.Signal) int {
	argv := append(append([]string{}, s.confine...), "/bin/sh", "-c", line)
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir, cmd.Env = s.dir, s.env
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.WaitDelay = afterExit
	cmd.Stdout, cmd.Stderr = out, errs
	stdin, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		fmt.Fprintf(errs, "the simulated host cannot run a shell: %v\n", err)
		return 127
	}
	go func() {
		io.Copy(stdin, in)
		stdin.Close()
	}()
	ended := make(chan struct{})
	defer close(ended)
	go func() {
		for {
			select {
			case sig, ok := <-signals:
				if !ok {
					return
				}
				syscall.Kill(-cmd.Process.Pid, sig.(syscall.Signal))
			case <-s.ctx.Done():
				syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
				return
			case <-ended:
				return
			}
		}
	}()
	cmd.Wait() // its error says no more than the state
	return exitStatus(cmd.ProcessState)
}

// exitStatus is 128+n for signal n.
func exitStatus(p *os.ProcessState) int {
	if w, ok := p.Sys().(syscall.WaitStatus); ok && w.Signaled() {
		return 128 + int(w.Signal())
	}
	return p.ExitCode()
}
