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
