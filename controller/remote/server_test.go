package remote

import (
	"errors"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// faults is what a faulty server does wrong.
type faults struct {
	closeEarly  atomic.Int32 // connections to close before the banner
	silent      atomic.Bool  // accept TCP, never answer
	dropOpen    atomic.Int32 // connections to drop at the first session
	dropForward atomic.Int32 // connections to drop at the first forwarding
	dropExec    atomic.Int32 // connections to drop after the command began
	maxSessions int32        // refuse further sessions, 0 means none
	deafRequest atomic.Bool  // leave global requests unanswered
	refuseExec  atomic.Bool
	killExec    atomic.Int32 // commands to end by TERM, as a host does that goes down
}

// server is an SSH server in this process that runs commands by /bin/sh.
type server struct {
	faults
	config  Config
	hostKey ssh.Signer
	dials   atomic.Int32
	execs   atomic.Int32
}

func startServer(t testing.TB) *server {
	t.Helper()
	dir := t.TempDir()
	s := &server{hostKey: newKey(t, "")}
	login := newKey(t, filepath.Join(dir, "id"))
	c := &ssh.ServerConfig{PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		if string(key.Marshal()) == string(login.PublicKey().Marshal()) {
			return nil, nil
		}
		return nil, errors.New("unknown key")
	}}
	c.AddHostKey(s.hostKey)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go s.serve(conn, c)
		}
	}()
	port := l.Addr().(*net.TCPAddr).Port
	write(t, filepath.Join(dir, "known_hosts"), "[127.0.0.1]:"+strconv.Itoa(port)+" "+string(ssh.MarshalAuthorizedKey(s.hostKey.PublicKey())))
	s.config = Config{
		Name: "faulty", Address: "127.0.0.1", Port: port, User: "sim", Keys: []string{filepath.Join(dir, "id")},
		KnownHosts: []string{filepath.Join(dir, "known_hosts")}, Sudo: SudoNone, StateDir: filepath.Join(dir, "state"),
		KeepaliveInterval: -1,
	}
	return s
}

func take(n *atomic.Int32) bool {
	for {
		v := n.Load()
		if v <= 0 {
			return false
		}
		if n.CompareAndSwap(v, v-1) {
			return true
		}
	}
}

func (s *server) serve(tcp net.Conn, c *ssh.ServerConfig) {
	defer tcp.Close()
	s.dials.Add(1)
	if take(&s.closeEarly) {
		return
	}
	if s.silent.Load() {
		io.Copy(io.Discard, tcp)
		return
	}
	conn, channels, requests, err := ssh.NewServerConn(tcp, c)
	if err != nil {
		return
	}
	defer conn.Close()
	go func() {
		for r := range requests {
			if !s.deafRequest.Load() {
				r.Reply(false, nil)
			}
		}
	}()
	var open atomic.Int32
	for ch := range channels {
		switch {
		case ch.ChannelType() == "direct-tcpip" && take(&s.dropForward):
			return
		case ch.ChannelType() == "direct-tcpip":
			go forward(ch)
			continue
		case take(&s.dropOpen):
			return
		case s.maxSessions > 0 && open.Load() >= s.maxSessions:
			ch.Reject(ssh.ConnectionFailed, "open failed")
			continue
		}
		open.Add(1)
		channel, reqs, err := ch.Accept()
		if err != nil {
			return
		}
		go func() {
			defer open.Add(-1)
			s.session(tcp, channel, reqs)
		}()
	}
}

func (s *server) session(tcp net.Conn, channel ssh.Channel, reqs <-chan *ssh.Request) {
	defer channel.Close()
	for r := range reqs {
		if r.Type != "exec" || s.refuseExec.Load() {
			r.Reply(false, nil)
			continue
		}
		var line struct{ Line string }
		ssh.Unmarshal(r.Payload, &line)
		s.execs.Add(1)
		cmd := exec.Command("/bin/sh", "-c", line.Line)
		cmd.Stdout, cmd.Stderr = channel, channel.Stderr()
		in, _ := cmd.StdinPipe()
		if err := cmd.Start(); err != nil {
			r.Reply(false, nil)
			return
		}
		go func() { io.Copy(in, channel); in.Close() }()
		if take(&s.killExec) {
			time.AfterFunc(300*time.Millisecond, func() { cmd.Process.Signal(syscall.SIGTERM) })
		}
		if take(&s.dropExec) {
			tcp.Close()
		}
		r.Reply(true, nil)
		err := cmd.Wait()
		status := struct{ Status uint32 }{}
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			status.Status = uint32(exit.ExitCode())
		}
		channel.SendRequest("exit-status", false, ssh.Marshal(&status))
		return
	}
}

func forward(ch ssh.NewChannel) {
	var to struct {
		Host   string
		Port   uint32
		Origin string
		From   uint32
	}
	ssh.Unmarshal(ch.ExtraData(), &to)
	conn, err := net.Dial("tcp", net.JoinHostPort(to.Host, strconv.Itoa(int(to.Port))))
	if err != nil {
		ch.Reject(ssh.ConnectionFailed, "Connection refused")
		return
	}
	channel, reqs, err := ch.Accept()
	if err != nil {
		return
	}
	go ssh.DiscardRequests(reqs)
	var wg sync.WaitGroup
	wg.Go(func() { io.Copy(channel, conn); channel.CloseWrite() })
	wg.Go(func() { io.Copy(conn, channel); conn.Close() })
	wg.Wait()
	channel.Close()
}
