"""What a driver of ncfleet needs in Python: the handshake, typed errors and the
Runner. The wire is described in plugins/rpc/doc.go; the messages are those of
plugins/rpc/driverv1/driver.proto, which build.sh turns into driver_pb2.

A driver subclasses Driver, defines the calls of driver.proto and ends with
serve(). A package driver adds no more than Probes, Facts and Compile.
"""
import os
import signal
import sys
import threading
from concurrent import futures

import grpc

import driver_pb2 as pb
import driver_pb2_grpc as rpc

OUTPUT = 256 << 20  # most of one command's output, in bytes
PIECE = 64 << 10


class Failed(Exception):
    """A typed error: retryable, quota, auth, not_found or permanent."""

    def __init__(self, kind, text, after_seconds=0):
        super().__init__(text)
        self.kind, self.after = kind, int(after_seconds * 1e9)


class Driver(rpc.DriverServicer, rpc.SnapshotterServicer, rpc.PackageManagerServicer):
    runner = None

    def Bind(self, request, context):
        self.runner = rpc.RunnerStub(grpc.insecure_channel(request.address))
        self.runner.Hello(pb.HelloRequest())
        return pb.BindResponse()

    def Prepare(self, request, context):
        return pb.PrepareResponse()

    def run(self, request, context, argv, stdin=b"", user="root", seconds=7200):
        """Runs a command on the host that the call is about: status, output, errors."""
        command = pb.Command(argv=argv, user=user, timeout=int(seconds * 1e9))
        parts = [pb.RunRequest(start=pb.RunStart(call=request.call, command=command))]
        parts += [pb.RunRequest(stdin=stdin[i:i + PIECE]) for i in range(0, len(stdin), PIECE)]
        out, err, status = bytearray(), bytearray(), -1
        try:
            answer = self.runner.Run(iter(parts))
            context.add_callback(answer.cancel)  # a call that was given up ends its command
            for part in answer:
                out, err = out + part.stdout, err + part.stderr
                if len(out) + len(err) > OUTPUT:
                    raise Failed("permanent", "a command's output is too long")
                if part.HasField("end"):
                    status = part.end.exit
        except grpc.RpcError as e:
            raise Failed("retryable", "cannot run a command: %s" % e.details()) from e
        return status, out.decode(errors="replace"), err.decode(errors="replace")


def handler(call):
    """Turns exceptions into errors that cross the wire whole."""

    def guarded(request, context):
        try:
            return call(request, context)
        except Exception as e:
            kind, text, after = "panicked", "the driver failed: %r; this is a bug of the driver and the outcome is unknown" % e, 0
            if isinstance(e, Failed):
                kind, text, after = e.kind, str(e), e.after
            error = pb.Error(**{"class": kind}, message=text[:4000], after=after)
            context.set_trailing_metadata((("ncfleet-error-bin", error.SerializeToString()),))
            context.abort(grpc.StatusCode.UNKNOWN, text[:4000])

    return guarded


def raw(service, method, answer):
    """A method of the transport's own, answered without its generated code."""
    call = grpc.unary_unary_rpc_method_handler(lambda request, context: answer())
    return grpc.method_handlers_generic_handler(service, {method: call})


def follow(lifeline):
    """Ends this process and its children when the controller is gone."""
    os.set_inheritable(lifeline, False)
    os.read(lifeline, 1)
    os.killpg(0, signal.SIGKILL)


def serve(driver):
    """Is a driver's whole main function."""
    if os.environ.get("NCFLEET_DRIVER") != "e1b9c2a7-drivers-are-started-by-ncfleet":
        sys.exit('This is an ncfleet driver. Put it on the driver path, run "ncfleet driver lock", and name it in the inventory.')
    if "1" not in os.environ.get("PLUGIN_PROTOCOL_VERSIONS", "1").split(","):
        sys.exit("This driver speaks version 1 of the driver protocol; use an ncfleet that does so too.")
    for service in pb.DESCRIPTOR.services_by_name.values():
        for method in service.methods_by_name:
            if hasattr(driver, method):
                setattr(driver, method, handler(getattr(driver, method)))
    # All calls of a rollout's targets come at once, and each may wait for hours.
    server, ended = grpc.server(futures.ThreadPoolExecutor(256)), threading.Event()
    rpc.add_DriverServicer_to_server(driver, server)
    rpc.add_SnapshotterServicer_to_server(driver, server)
    rpc.add_PackageManagerServicer_to_server(driver, server)
    server.add_generic_rpc_handlers((
        raw("grpc.health.v1.Health", "Check", lambda: b"\x08\x01"),  # "serving"
        raw("plugin.GRPCController", "Shutdown", lambda: ended.set() or b""),
    ))
    socket = os.path.join(os.environ["PLUGIN_UNIX_SOCKET_DIR"], "driver")
    server.add_insecure_port("unix:" + socket)
    server.start()
    print("1|1|unix|%s|grpc|" % socket, flush=True)
    sys.stdout = sys.stderr  # what is printed from here on is the driver's log
    threading.Thread(target=follow, args=(int(os.environ["NCFLEET_DRIVER_LIFELINE"]),), daemon=True).start()
    ended.wait()
    server.stop(1)
