package rpc

import (
	"context"
	"fmt"
	"sync"

	plugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"github.com/ncfleet/ncfleet/plugins/driver"
	pb "github.com/ncfleet/ncfleet/plugins/rpc/driverv1"
)

// service is the driver's side of both kinds.
type service struct {
	impl   driver.Driver
	broker *plugin.GRPCBroker
	keys   keyLocks

	mu     sync.Mutex
	bound  *grpc.ClientConn
	runner pb.RunnerClient
}

// register serves what the driver implements.
func (s *service) register(g *grpc.Server) error {
	packages, isPackages := s.impl.(driver.PackageManager)
	snapshots, isSnapshots := s.impl.(driver.Snapshotter)
	if !isPackages && !isSnapshots {
		return fmt.Errorf("cannot serve %T: it is neither a driver.PackageManager nor a driver.Snapshotter", s.impl)
	}
	pb.RegisterDriverServer(g, driverService{s: s})
	if isPackages {
		pb.RegisterPackageManagerServer(g, packageService{impl: packages})
	}
	if isSnapshots {
		pb.RegisterSnapshotterServer(g, snapshotService{s: s, impl: snapshots})
	}
	return nil
}

func (s *service) runnerFor(call string) driver.Runner {
	s.mu.Lock()
	defer s.mu.Unlock()
	return remoteRunner{client: s.runner, call: call}
}

type driverService struct {
	pb.UnimplementedDriverServer
	s *service
}

func (d driverService) Info(ctx context.Context, _ *pb.InfoRequest) (*pb.InfoResponse, error) {
	i, err := d.s.impl.Info(ctx)
	if err != nil {
		return nil, err
	}
	return infoToProto(i), nil
}

func (d driverService) Configure(ctx context.Context, r *pb.ConfigureRequest) (*pb.ConfigureResponse, error) {
	c, err := configFromProto(r)
	if err != nil {
		return nil, err
	}
	return &pb.ConfigureResponse{}, d.s.impl.Configure(ctx, c)
}

// Bind dials the stream once and proves it with a greeting. The controller
// offers a new stream when that fails, for a stream cannot be dialled twice.
func (d driverService) Bind(ctx context.Context, r *pb.BindRequest) (*pb.BindResponse, error) {
	conn, err := d.s.broker.DialWithOptions(r.GetStream(), grpc.WithDefaultCallOptions(
		grpc.MaxCallRecvMsgSize(maxMessage), grpc.MaxCallSendMsgSize(maxMessage)))
	if err != nil {
		return nil, driver.Errorf(driver.Retryable, "cannot reach the controller's Runner: %v", err)
	}
	client := pb.NewRunnerClient(conn)
	if _, err := client.Hello(ctx, &pb.HelloRequest{}); err != nil {
		_ = conn.Close()
		return nil, driver.Errorf(driver.Retryable, "cannot greet the controller's Runner: %v", err)
	}
	d.s.mu.Lock()
	defer d.s.mu.Unlock()
	if d.s.bound != nil {
		_ = d.s.bound.Close()
	}
	d.s.bound, d.s.runner = conn, client
	return &pb.BindResponse{}, nil
}

type packageService struct {
	pb.UnimplementedPackageManagerServer
	impl driver.PackageManager
}

func (p packageService) Probes(ctx context.Context, r *pb.ProbesRequest) (*pb.ProbesResponse, error) {
	c, err := p.impl.Probes(ctx, probeRequestFromProto(r.GetRequest()))
	if err != nil {
		return nil, err
	}
	return &pb.ProbesResponse{Commands: commandsToProto(c)}, nil
}

func (p packageService) Facts(ctx context.Context, r *pb.FactsRequest) (*pb.FactsResponse, error) {
	f, err := p.impl.Facts(ctx, probeRequestFromProto(r.GetRequest()), each(r.GetResults(), resultFromProto))
	if err != nil {
		return nil, err
	}
	return &pb.FactsResponse{Facts: factsToProto(f)}, nil
}

func (p packageService) Compile(ctx context.Context, r *pb.CompileRequest) (*pb.CompileResponse, error) {
	c, err := p.impl.Compile(ctx, selectionFromProto(r))
	if err != nil {
		return nil, err
	}
	return &pb.CompileResponse{
		Stage: commandsToProto(c.Stage), Apply: commandsToProto(c.Apply), Repair: commandsToProto(c.Repair),
	}, nil
}

// snapshotService adds one promise to the contract: two calls that act on one
// key never run at the same time in one process, even if the caller gave the
// first one up and retries while the driver is still busy with it.
type snapshotService struct {
	pb.UnimplementedSnapshotterServer
	s    *service
	impl driver.Snapshotter
}

func (n snapshotService) Cover(ctx context.Context, r *pb.CoverRequest) (*pb.CoverResponse, error) {
	c, err := n.impl.Cover(ctx, subjectFromProto(r.GetSubject()), n.s.runnerFor(r.GetCall()))
	if err != nil {
		return nil, err
	}
	return coverageToProto(c), nil
}

func (n snapshotService) Prepare(ctx context.Context, r *pb.PrepareRequest) (*pb.PrepareResponse, error) {
	unlock, err := n.s.keys.lock(ctx, r.GetRequest().GetKey())
	if err != nil {
		return nil, err
	}
	defer unlock()
	return &pb.PrepareResponse{}, n.impl.Prepare(ctx, requestFromProto(r.GetRequest()), n.s.runnerFor(r.GetCall()))
}

func (n snapshotService) Create(ctx context.Context, r *pb.CreateRequest) (*pb.CreateResponse, error) {
	unlock, err := n.s.keys.lock(ctx, r.GetRequest().GetKey())
	if err != nil {
		return nil, err
	}
	defer unlock()
	h, err := n.impl.Create(ctx, requestFromProto(r.GetRequest()), n.s.runnerFor(r.GetCall()))
	if err != nil {
		return nil, err
	}
	return &pb.CreateResponse{Handle: handleToProto(h)}, nil
}

func (n snapshotService) Verify(ctx context.Context, r *pb.VerifyRequest) (*pb.VerifyResponse, error) {
	unlock, err := n.s.keys.lock(ctx, r.GetHandle().GetKey())
	if err != nil {
		return nil, err
	}
	defer unlock()
	v, err := n.impl.Verify(ctx, handleFromProto(r.GetHandle()), n.s.runnerFor(r.GetCall()))
	if err != nil {
		return nil, err
	}
	return verificationToProto(v), nil
}

func (n snapshotService) Restore(ctx context.Context, r *pb.RestoreRequest) (*pb.RestoreResponse, error) {
	unlock, err := n.s.keys.lock(ctx, r.GetHandle().GetKey())
	if err != nil {
		return nil, err
	}
	defer unlock()
	return &pb.RestoreResponse{}, n.impl.Restore(ctx, handleFromProto(r.GetHandle()), subjectFromProto(r.GetSubject()), n.s.runnerFor(r.GetCall()))
}

func (n snapshotService) Delete(ctx context.Context, r *pb.DeleteRequest) (*pb.DeleteResponse, error) {
	unlock, err := n.s.keys.lock(ctx, r.GetHandle().GetKey())
	if err != nil {
		return nil, err
	}
	defer unlock()
	return &pb.DeleteResponse{}, n.impl.Delete(ctx, handleFromProto(r.GetHandle()), n.s.runnerFor(r.GetCall()))
}

func (n snapshotService) List(ctx context.Context, r *pb.ListRequest) (*pb.ListResponse, error) {
	l, err := n.impl.List(ctx, subjectFromProto(r.GetSubject()), n.s.runnerFor(r.GetCall()))
	if err != nil {
		return nil, err
	}
	return &pb.ListResponse{Snapshots: each(l, snapshotToProto)}, nil
}

// keyLocks is one lock per key. The zero value is ready.
type keyLocks struct {
	mu   sync.Mutex
	held map[string]chan struct{} // closed when the holder is done
}

// lock waits for the key until ctx ends.
func (k *keyLocks) lock(ctx context.Context, key string) (unlock func(), err error) {
	for {
		k.mu.Lock()
		if k.held == nil {
			k.held = map[string]chan struct{}{}
		}
		busy, ok := k.held[key]
		if !ok {
			done := make(chan struct{})
			k.held[key] = done
			k.mu.Unlock()
			return func() {
				k.mu.Lock()
				delete(k.held, key)
				k.mu.Unlock()
				close(done)
			}, nil
		}
		k.mu.Unlock()
		select {
		case <-busy:
		case <-ctx.Done():
			return nil, driver.Errorf(driver.Retryable, "an earlier call for %q is still at work: %v", key, ctx.Err())
		}
	}
}
