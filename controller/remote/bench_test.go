package remote

import (
	"net"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// reportCPU adds what this process, without the daemon, spends per round.
func reportCPU(b *testing.B) func() {
	spent := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	before := spent()
	return func() { b.ReportMetric((spent()-before).Seconds()*1000/float64(b.N), "cpu-ms/op") }
}

// The floor is one connection and one command by the SSH library alone.
func BenchmarkFloor(b *testing.B) {
	s := startSSHD(b)
	key, err := readKey(s.config.Keys[0], nil)
	if err != nil {
		b.Fatal(err)
	}
	config := &ssh.ClientConfig{User: s.config.User, Auth: []ssh.AuthMethod{ssh.PublicKeys(key)}, HostKeyCallback: ssh.FixedHostKey(s.host)}
	defer reportCPU(b)()
	for b.Loop() {
		tcp, err := net.Dial("tcp", s.config.endpoint())
		if err != nil {
			b.Fatal(err)
		}
		conn, chans, reqs, err := ssh.NewClientConn(tcp, s.config.endpoint(), config)
		if err != nil {
			b.Fatal(err)
		}
		client := ssh.NewClient(conn, chans, reqs)
		session, err := client.NewSession()
		if err != nil {
			b.Fatal(err)
		}
		if err := session.Run("true"); err != nil {
			b.Fatal(err)
		}
		client.Close()
	}
}

func BenchmarkConnectAndRun(b *testing.B) {
	s := startSSHD(b)
	h := s.connect(b)
	defer reportCPU(b)()
	for b.Loop() {
		mustRun(b, h, echo)
		h.Disconnect()
	}
}

func BenchmarkRun(b *testing.B) {
	h := startSSHD(b).connect(b)
	defer reportCPU(b)()
	for b.Loop() {
		mustRun(b, h, echo)
	}
}

func BenchmarkServerRun(b *testing.B) {
	h := newTestPool(b).Host(startServer(b).config)
	for b.Loop() {
		mustRun(b, h, echo)
	}
}
