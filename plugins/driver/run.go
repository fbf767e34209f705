package driver

// RunPhase is the state of a detached run: a command that lives on the host
// in a session of its own and outlasts the connection that started it.
type RunPhase string

// The states of a detached run. Lost means that its process is gone without
// an exit status: the host rebooted (its boot id changed) or the process was
// killed together with its keeper.
const (
	RunNever   RunPhase = "never"
	RunRunning RunPhase = "running"
	RunExited  RunPhase = "exited"
	RunLost    RunPhase = "lost"
)

// RunState is what the host says of one detached run.
type RunState struct {
	ID      string
	Phase   RunPhase
	Exit    int    // valid when Phase is RunExited
	Stdout  []byte `json:",omitempty"` // whole, up to the reader's limit
	Stderr  []byte `json:",omitempty"`
	PID     int    `json:",omitempty"`
	BootID  string `json:",omitempty"` // of the host when the run began
	Started int64  `json:",omitempty"` // Unix seconds by the host's clock
	Ended   int64  `json:",omitempty"`
	// Attached is true when Start found the run already claimed.
	Attached bool   `json:",omitempty"`
	Detail   string `json:",omitempty"` // why it counts as lost
}

// Result returns the run's outcome as a command result; Exit is -1 unless the
// run exited.
func (s RunState) Result() Result {
	r := Result{Exit: -1, Stdout: s.Stdout, Stderr: s.Stderr}
	if s.Phase == RunExited {
		r.Exit = s.Exit
	}
	return r
}
