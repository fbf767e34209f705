package rpc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"

	plugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/ncfleet/ncfleet/plugins/driver"
	pb "github.com/ncfleet/ncfleet/plugins/rpc/driverv1"
)

// client is the controller's side of one driver process. name is what errors
// call the driver.
type client struct {
	name      string
	conn      *grpc.ClientConn
	broker    *plugin.GRPCBroker
	driver    pb.DriverClient
	packages  pb.PackageManagerClient
	snapshots pb.SnapshotterClient
	runners   *runners
	mask      atomic.Pointer[func(string) string]
	gone      func() string // waits a moment for the process's end and tells how it ended
	kill      func()

	runnerSocket string // where to serve Runner without go-plugin's broker, "" with it
	runnerServer *grpc.Server
}

func newClient(broker *plugin.GRPCBroker, conn *grpc.ClientConn) *client {
	return &client{
		conn: conn, broker: broker,
		driver: pb.NewDriverClient(conn), packages: pb.NewPackageManagerClient(conn),
		snapshots: pb.NewSnapshotterClient(conn), runners: &runners{},
	}
}

// Kill ends the process behind the driver at once, for those who try what
// becomes of its work then.
func (c *client) Kill() { c.kill() }

func (c *client) fail(ctx context.Context, method string, err error) error {
	err = fromStatus(ctx, c.name, method, err, c.gone)
	if mask := c.mask.Load(); mask != nil {
		return masked(err, *mask)
	}
	return err
}

func (c *client) ping(ctx context.Context) error {
	_, err := grpc_health_v1.NewHealthClient(c.conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: plugin.GRPCServiceName})
	return err
}

// bind offers the driver the Runner callback. A stream that was not dialled in
// time is dead for good, hence a new one per try.
func (c *client) bind(ctx context.Context) error {
	if c.runnerSocket != "" {
		return c.bindSocket(ctx)
	}
	var errs []error
	for range bindTries {
		stream := c.broker.NextId()
		go c.broker.AcceptAndServe(stream, func(opts []grpc.ServerOption) *grpc.Server {
			return c.runners.server(opts...)
		})
		_, err := c.driver.Bind(ctx, &pb.BindRequest{Stream: stream})
		if err == nil {
			return nil
		}
		errs = append(errs, c.fail(ctx, "Bind", err))
		if ctx.Err() != nil {
			break
		}
	}
	return fmt.Errorf("cannot give driver %q its Runner: %w", c.name, errors.Join(errs...))
}

// bindSocket serves the Runner on a socket of its own, for drivers that know
// nothing of go-plugin's broker.
func (c *client) bindSocket(ctx context.Context) error {
	l, err := net.Listen("unix", c.runnerSocket)
	if err != nil {
		return fmt.Errorf("cannot serve the Runner of driver %q: %w", c.name, err)
	}
	c.runnerServer = c.runners.server()
	go func() { _ = c.runnerServer.Serve(l) }() // it ends with stop
	if _, err := c.driver.Bind(ctx, &pb.BindRequest{Address: "unix:" + c.runnerSocket}); err != nil {
		return fmt.Errorf("cannot give driver %q its Runner: %w", c.name, c.fail(ctx, "Bind", err))
	}
	return nil
}

// stop ends what serves the driver. A nil client served nothing.
func (c *client) stop() {
	if c != nil && c.runnerServer != nil {
		c.runnerServer.Stop()
	}
}

// Info asks the driver who it is.
func (c *client) Info(ctx context.Context) (driver.Info, error) {
	i, err := c.driver.Info(ctx, &pb.InfoRequest{})
	if err != nil {
		return driver.Info{}, c.fail(ctx, "Info", err)
	}
	return infoFromProto(i), nil
}

// Configure sends the configuration, secrets included; it travels over the
// encrypted connection only.
func (c *client) Configure(ctx context.Context, cfg driver.Config) error {
	r, err := configToProto(cfg)
	if err != nil {
		return fmt.Errorf("cannot configure driver %q: %w", c.name, err)
	}
	_, err = c.driver.Configure(ctx, r)
	return c.fail(ctx, "Configure", err)
}

// packageClient is a driver.PackageManager behind the wire.
type packageClient struct{ *client }

func (c packageClient) Probes(ctx context.Context, r driver.ProbeRequest) ([]driver.Command, error) {
	a, err := c.packages.Probes(ctx, &pb.ProbesRequest{Request: probeRequestToProto(r)})
	if err != nil {
		return nil, c.fail(ctx, "Probes", err)
	}
	commands := commandsFromProto(a.GetCommands())
	return commands, c.checkedCommands("Probes", commands)
}

func (c packageClient) Facts(ctx context.Context, r driver.ProbeRequest, results []driver.Result) (driver.PackageFacts, error) {
	a, err := c.packages.Facts(ctx, &pb.FactsRequest{Request: probeRequestToProto(r), Results: each(results, resultToProto)})
	if err != nil {
		return driver.PackageFacts{}, c.fail(ctx, "Facts", err)
	}
	facts := factsFromProto(a.GetFacts())
	return facts, c.checkFacts(facts)
}

func (c packageClient) Compile(ctx context.Context, s driver.Selection) (driver.Commands, error) {
	a, err := c.packages.Compile(ctx, selectionToProto(s))
	if err != nil {
		return driver.Commands{}, c.fail(ctx, "Compile", err)
	}
	out := driver.Commands{
		Stage: commandsFromProto(a.GetStage()), Apply: commandsFromProto(a.GetApply()), Repair: commandsFromProto(a.GetRepair()),
	}
	return out, c.checkedCommands("Compile", out.Stage, out.Apply, out.Repair)
}

// snapshotClient is a driver.Snapshotter behind the wire.
type snapshotClient struct{ *client }

func (c snapshotClient) Cover(ctx context.Context, s driver.Subject, run driver.Runner) (driver.Coverage, error) {
	call, callCtx, end := c.runners.begin(ctx, run)
	defer end()
	a, err := c.snapshots.Cover(callCtx, &pb.CoverRequest{Call: call, Subject: subjectToProto(s)})
	if err != nil {
		return driver.Coverage{}, c.fail(ctx, "Cover", err)
	}
	return coverageFromProto(a), nil
}

func (c snapshotClient) Prepare(ctx context.Context, r driver.SnapshotRequest, run driver.Runner) error {
	call, callCtx, end := c.runners.begin(ctx, run)
	defer end()
	_, err := c.snapshots.Prepare(callCtx, &pb.PrepareRequest{Call: call, Request: requestToProto(r)})
	return c.fail(ctx, "Prepare", err)
}

func (c snapshotClient) Create(ctx context.Context, r driver.SnapshotRequest, run driver.Runner) (driver.Handle, error) {
	call, callCtx, end := c.runners.begin(ctx, run)
	defer end()
	a, err := c.snapshots.Create(callCtx, &pb.CreateRequest{Call: call, Request: requestToProto(r)})
	if err != nil {
		return driver.Handle{}, c.fail(ctx, "Create", err)
	}
	h := handleFromProto(a.GetHandle())
	return h, c.checkHandle(h, r.Key)
}

func (c snapshotClient) Verify(ctx context.Context, h driver.Handle, run driver.Runner) (driver.Verification, error) {
	call, callCtx, end := c.runners.begin(ctx, run)
	defer end()
	a, err := c.snapshots.Verify(callCtx, &pb.VerifyRequest{Call: call, Handle: handleToProto(h)})
	if err != nil {
		return driver.Verification{}, c.fail(ctx, "Verify", err)
	}
	return verificationFromProto(a), nil
}

func (c snapshotClient) Restore(ctx context.Context, h driver.Handle, s driver.Subject, run driver.Runner) error {
	call, callCtx, end := c.runners.begin(ctx, run)
	defer end()
	_, err := c.snapshots.Restore(callCtx, &pb.RestoreRequest{Call: call, Handle: handleToProto(h), Subject: subjectToProto(s)})
	return c.fail(ctx, "Restore", err)
}

func (c snapshotClient) Delete(ctx context.Context, h driver.Handle, run driver.Runner) error {
	call, callCtx, end := c.runners.begin(ctx, run)
	defer end()
	_, err := c.snapshots.Delete(callCtx, &pb.DeleteRequest{Call: call, Handle: handleToProto(h)})
	return c.fail(ctx, "Delete", err)
}

func (c snapshotClient) List(ctx context.Context, s driver.Subject, run driver.Runner) ([]driver.Snapshot, error) {
	call, callCtx, end := c.runners.begin(ctx, run)
	defer end()
	a, err := c.snapshots.List(callCtx, &pb.ListRequest{Call: call, Subject: subjectToProto(s)})
	if err != nil {
		return nil, c.fail(ctx, "List", err)
	}
	return each(a.GetSnapshots(), snapshotFromProto), nil
}
