//go:build unix

package rpc

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	hclog "github.com/hashicorp/go-hclog"
	plugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"github.com/ncfleet/ncfleet/plugins/driver"
)

// Serve is a driver's whole main function. It returns when the controller has
// closed the driver, and exits the process when the controller is gone or when
// it was not started by one.
//
// While it serves, the default slog logger writes where the controller reads
// a driver's log, and standard output belongs to the handshake.
func Serve(d driver.Driver) { serve(d, versions(d)) }

// serve is Serve for a driver that speaks the protocol versions of the table.
func serve(d driver.Driver, table map[int]plugin.PluginSet) {
	if !Started() {
		fmt.Fprintln(os.Stderr, refusal(d))
		os.Exit(2)
	}
	slog.SetDefault(slog.New(slog.NewJSONHandler(os.Stderr, nil)))
	if err := watchLifeline(os.Getenv(lifelineKey)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig:  handshake(),
		VersionedPlugins: table,
		GRPCServer: func(opts []grpc.ServerOption) *grpc.Server {
			return grpc.NewServer(append(opts,
				grpc.MaxRecvMsgSize(maxMessage), grpc.MaxSendMsgSize(maxMessage),
				grpc.ChainUnaryInterceptor(recoverUnary), grpc.ChainStreamInterceptor(recoverStream))...)
		},
		Logger: hclog.New(&hclog.LoggerOptions{Level: hclog.Warn, Output: os.Stderr, JSONFormat: true}),
	})
}

// Started reports whether a controller started this process as a driver. A
// test binary that also is a driver asks it in TestMain:
//
//	if rpc.Started() { rpc.Serve(archive.New()); return }
func Started() bool { return os.Getenv(cookieKey) == cookieValue }

func refusal(d driver.Driver) string {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second) // clean-up of a wrong start, so no caller's ctx
	defer cancel()
	what := "an ncfleet driver"
	if i, err := d.Info(ctx); err == nil {
		what = fmt.Sprintf("the ncfleet driver %q %s of kind %q", i.Name, i.Version, i.Kind)
	}
	return fmt.Sprintf("This is %s. It is started by ncfleet, never by hand: put it on the driver path, run `ncfleet driver lock`, and name it in a driver block of the inventory.", what)
}

// watchLifeline ends this process, and the children it started, at the end of
// file of the pipe that it inherited: the controller holds the other end and
// loses it even to kill -9.
func watchLifeline(fd string) error {
	if fd == "" {
		return nil
	}
	n, err := strconv.Atoi(fd)
	if err != nil || n < 3 {
		return fmt.Errorf("cannot watch for the end of the controller: %s=%q is no file descriptor", lifelineKey, fd)
	}
	syscall.CloseOnExec(n)
	pipe := os.NewFile(uintptr(n), "lifeline")
	go func() {
		_, _ = io.Copy(io.Discard, pipe)
		removeSockets()
		if syscall.Getpgrp() == os.Getpid() {
			_ = syscall.Kill(0, syscall.SIGKILL) // the whole group, this process too
		}
		os.Exit(1)
	}()
	return nil
}

// removeSockets removes the directory of sockets that the controller made for
// this driver and can no longer remove.
func removeSockets() {
	dir := os.Getenv(plugin.EnvUnixSocketDir)
	if strings.HasPrefix(filepath.Base(dir), "plugin-dir") {
		_ = os.RemoveAll(dir)
	}
}
