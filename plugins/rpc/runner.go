package rpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ncfleet/ncfleet/plugins/driver"
	pb "github.com/ncfleet/ncfleet/plugins/rpc/driverv1"
)

// runners is the controller's side of the Runner callback: every open call to
// a snapshot driver has a token, and a token leads to the Runner of the host
// that the call is about. A driver can reach no other host and none at all
// once its call has returned.
type runners struct {
	pb.UnimplementedRunnerServer

	input atomic.Int64 // bytes held for commands

	mu   sync.Mutex
	last uint64
	open map[string]openCall
}

type openCall struct {
	ctx   context.Context
	run   driver.Runner
	slots chan struct{} // one per command that runs
}

// Limits of what a driver may ask of its Runner.
const (
	maxRuns  = 8         // commands of one call at once; more wait
	maxInput = 512 << 20 // bytes of input that wait for commands, of all calls
)

// server serves the Runner to one driver.
func (r *runners) server(opts ...grpc.ServerOption) *grpc.Server {
	g := grpc.NewServer(append(opts, grpc.MaxRecvMsgSize(maxMessage), grpc.MaxSendMsgSize(maxMessage),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.ChainUnaryInterceptor(recoverUnary), grpc.ChainStreamInterceptor(recoverStream))...)
	pb.RegisterRunnerServer(g, r)
	return g
}

// begin opens a call; its end function must be called when the call returns.
// It cancels whatever the driver still runs.
func (r *runners) begin(ctx context.Context, run driver.Runner) (token string, _ context.Context, end func()) {
	ctx, cancel := context.WithCancel(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last++
	token = strconv.FormatUint(r.last, 10)
	if r.open == nil {
		r.open = map[string]openCall{}
	}
	r.open[token] = openCall{ctx, run, make(chan struct{}, maxRuns)}
	return token, ctx, func() {
		r.mu.Lock()
		delete(r.open, token)
		r.mu.Unlock()
		cancel()
	}
}

func (r *runners) find(token string) (openCall, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c, ok := r.open[token]
	switch {
	case !ok:
		return c, driver.Errorf(driver.Permanent, "cannot run a command: the call that this Runner belonged to has returned")
	case c.run == nil:
		return c, driver.Errorf(driver.Permanent, "cannot run a command: this call came without a Runner")
	}
	return c, nil
}

// Hello answers the driver's greeting, which proves the connection.
func (r *runners) Hello(context.Context, *pb.HelloRequest) (*pb.HelloResponse, error) {
	return &pb.HelloResponse{}, nil
}

// Run runs one command on the host of the call that the token names.
func (r *runners) Run(stream grpc.BidiStreamingServer[pb.RunRequest, pb.RunResponse]) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	start := first.GetStart()
	if start == nil {
		return status.Error(codes.InvalidArgument, "the first message of a run must be its start")
	}
	call, err := r.find(start.GetCall())
	if err != nil {
		return toStatus(err)
	}
	cmd := commandFromProto(start.GetCommand())
	if err := checkCommand(cmd); err != nil {
		return toStatus(fmt.Errorf("cannot run a command: %w", err))
	}
	select {
	case call.slots <- struct{}{}:
		defer func() { <-call.slots }()
	case <-call.ctx.Done():
		return toStatus(driver.Errorf(driver.Permanent, "cannot run a command: the call that this Runner belonged to has returned"))
	case <-stream.Context().Done():
		return stream.Context().Err()
	}
	held := int64(0)
	defer func() { r.input.Add(-held) }()
	if cmd.Stdin, err = readStdin(stream, func(n int) bool { held += int64(n); return r.input.Add(int64(n)) <= maxInput }); err != nil {
		return toStatus(err)
	}
	// The command ends with the call that it belongs to, or when the driver
	// gives it up; the caller's values reach the Runner.
	ctx, cancel := context.WithCancel(call.ctx)
	defer cancel()
	defer context.AfterFunc(stream.Context(), cancel)()

	result, err := call.run.Run(ctx, cmd)
	if err != nil {
		return toStatus(err)
	}
	if err := sendPieces(result.Stdout, func(p []byte) error {
		return stream.Send(&pb.RunResponse{Part: &pb.RunResponse_Stdout{Stdout: p}})
	}); err != nil {
		return err
	}
	if err := sendPieces(result.Stderr, func(p []byte) error {
		return stream.Send(&pb.RunResponse{Part: &pb.RunResponse_Stderr{Stderr: p}})
	}); err != nil {
		return err
	}
	return stream.Send(&pb.RunResponse{Part: &pb.RunResponse_End{End: &pb.RunEnd{Exit: int32(result.Exit)}}})
}

func readStdin(stream grpc.BidiStreamingServer[pb.RunRequest, pb.RunResponse], room func(n int) bool) ([]byte, error) {
	var in []byte
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return in, nil
		}
		if err != nil {
			return nil, err
		}
		if !room(len(m.GetStdin())) {
			return nil, driver.Errorf(driver.Retryable, "cannot run a command: the driver's commands have more than %d MiB of input at once", maxInput>>20)
		}
		in = append(in, m.GetStdin()...)
		if len(in) > maxOutput {
			return nil, driver.Errorf(driver.Permanent, "cannot run a command: its input is longer than %d MiB", maxOutput>>20)
		}
	}
}

func sendPieces(b []byte, send func([]byte) error) error {
	for len(b) > 0 {
		n := min(len(b), pieceBytes)
		if err := send(b[:n]); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// remoteRunner is the driver's side: the Runner it is handed in a call.
type remoteRunner struct {
	client pb.RunnerClient
	call   string
}

// Run sends the command to the controller and collects its output.
func (r remoteRunner) Run(ctx context.Context, c driver.Command) (driver.Result, error) {
	failed := driver.Result{Exit: -1}
	if r.client == nil {
		return failed, driver.Errorf(driver.Permanent, "cannot run a command: the controller has bound no Runner to this driver")
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := r.client.Run(ctx)
	if err != nil {
		return failed, r.failure(ctx, err)
	}
	stdin := c.Stdin
	c.Stdin = nil
	start := &pb.RunStart{Call: r.call, Command: commandToProto(c)}
	err = stream.Send(&pb.RunRequest{Part: &pb.RunRequest_Start{Start: start}})
	if err == nil {
		err = sendPieces(stdin, func(p []byte) error {
			return stream.Send(&pb.RunRequest{Part: &pb.RunRequest_Stdin{Stdin: p}})
		})
	}
	if err == nil {
		err = stream.CloseSend()
	}
	if err != nil && !errors.Is(err, io.EOF) { // at EOF, Recv has the reason
		return failed, r.failure(ctx, err)
	}
	return r.collect(ctx, stream)
}

func (r remoteRunner) collect(ctx context.Context, stream grpc.BidiStreamingClient[pb.RunRequest, pb.RunResponse]) (driver.Result, error) {
	var out driver.Result
	for {
		m, err := stream.Recv()
		if err != nil {
			return driver.Result{Exit: -1}, r.failure(ctx, err)
		}
		switch p := m.GetPart().(type) {
		case *pb.RunResponse_Stdout:
			out.Stdout = append(out.Stdout, p.Stdout...)
		case *pb.RunResponse_Stderr:
			out.Stderr = append(out.Stderr, p.Stderr...)
		case *pb.RunResponse_End:
			out.Exit = int(p.End.GetExit())
			return out, nil
		default:
			return driver.Result{Exit: -1}, driver.Errorf(driver.Permanent, "cannot read a command's output: the controller sent a piece of unknown kind")
		}
		if len(out.Stdout)+len(out.Stderr) > maxOutput {
			return driver.Result{Exit: -1}, driver.Errorf(driver.Permanent, "cannot read a command's output: it is longer than %d MiB", maxOutput>>20)
		}
	}
}

func (r remoteRunner) failure(ctx context.Context, err error) error {
	if e, ok := fromDetail(err); ok {
		return e
	}
	if ctx.Err() != nil {
		return fmt.Errorf("cannot run a command: %w", ctx.Err())
	}
	return driver.Errorf(driver.Retryable, "cannot run a command: the connection to the controller failed, so its outcome is unknown: %v", err)
}
