// Package rpc carries the driver contract over gRPC. It is the only package
// that knows the wire: it holds the handshake, the client and the service of
// both kinds of driver, their conversions, and the start of a driver process.
//
// A driver's whole main function is
//
//	func main() { rpc.Serve(archive.New()) }
//
// What crosses the wire whole: typed errors, cancellation and deadlines, a
// panic (as an error of class Panicked; the process lives on), and output of
// any length through the Runner, in pieces.
//
// # Drivers in other languages
//
// A driver is any executable that does the following; examples/driver-python
// does it in a hundred lines that can be kept for any driver in Python.
//
//  1. It looks for NCFLEET_DRIVER=e1b9c2a7-drivers-are-started-by-ncfleet in its
//     environment and refuses to run without. PLUGIN_PROTOCOL_VERSIONS lists the
//     versions that the controller speaks ("1"). Nothing else is inherited: no
//     PATH, no HOME, no standard input, "/" as the working directory.
//  2. It serves gRPC without TLS on a unix socket in the folder that
//     PLUGIN_UNIX_SOCKET_DIR names. The folder is made for this one process and
//     closed to other users; whoever is the same user could read the memory of
//     both. A driver elsewhere than in that folder must do what go-plugin calls
//     AutoMTLS: a certificate of its own as the sixth field of the next line,
//     and PLUGIN_CLIENT_CERT demanded of whoever connects.
//  3. It prints one line, "1|VERSION|unix|SOCKET|grpc|", at most 16 KiB, and
//     flushes it. What it prints later, on either stream, is its log: plain
//     text or one JSON object with "level" and "msg" a line.
//  4. It serves ncfleet.driver.v1.Driver and, by its kind, Snapshotter or
//     PackageManager of driverv1/driver.proto. It also answers
//     grpc.health.v1.Health/Check (the bytes 08 01 mean "serving"), by which a
//     frozen driver is found, and plugin.GRPCController/Shutdown (an empty
//     message in and out), upon which it ends. One that does not is killed.
//  5. A snapshot driver dials the address of Bind, plain gRPC again, says Hello
//     to ncfleet.driver.v1.Runner there, and keeps the connection. Each request
//     carries a token, "call", to be handed on in RunStart; it leads to the host
//     that the call is about, until the call returns.
//  6. An error travels as a gRPC status with the trailer "ncfleet-error-bin",
//     a serialized ncfleet.driver.v1.Error. Without it the error counts as
//     permanent. UNAVAILABLE and its like say that the outcome is unknown.
//  7. It reads the file descriptor that NCFLEET_DRIVER_LIFELINE names, and ends
//     with its children when that read does: the controller is gone.
//  8. Calls come at the same time, some for the same key: it lets those of one
//     key wait for each other, as Serve does for drivers in Go.
//
// # What a driver cannot do
//
// It is no jail: a driver is a program of the operator's choice, runs as the
// operator, and is pinned by checksum. But no driver by mistake or malice harms
// the controller or another target by what it says: answers are limited to 64
// MiB, 20 000 items a list and 32 KiB a text, control characters are replaced,
// command lines that no shell can run are refused, and so is a handle of
// another snapshot. On Linux its process gets 2 GiB of memory, 4096 open files
// and no core dump. Its log is limited, and so are the commands that it asks
// the Runner for (8 of one call at once).
//
// The package refuses to decide anything: where drivers are found, which
// checksum is accepted and when a silent one is put down is for the caller
// (controller/drivers).
package rpc

// The handshake. A change of the contract that old drivers cannot follow gets
// a new protocol version, served side by side with the old one.
const (
	cookieKey   = "NCFLEET_DRIVER"
	cookieValue = "e1b9c2a7-drivers-are-started-by-ncfleet"
	// lifelineKey names the file descriptor whose end of file means that the
	// controller is gone.
	lifelineKey = "NCFLEET_DRIVER_LIFELINE"
	// pluginName is the one thing a driver process dispenses.
	pluginName = "driver"
)

// Limits of the wire.
const (
	maxMessage = 64 << 20  // of one request or answer
	maxOutput  = 256 << 20 // of one command's stdout, stderr or stdin through a Runner
	pieceBytes = 64 << 10  // of one piece of them
	bindTries  = 3         // broker streams offered before a driver is given up
	maxStreams = 256       // commands of a driver that the Runner hears at once; more wait
)
