package rpc

import (
	"fmt"
	"time"

	"github.com/ncfleet/ncfleet/plugins/driver"
	pb "github.com/ncfleet/ncfleet/plugins/rpc/driverv1"
)

func infoFromProto(i *pb.InfoResponse) driver.Info {
	return driver.Info{
		Name: i.GetName(), Version: i.GetVersion(), Kind: driver.Kind(i.GetKind()),
		Capabilities: i.GetCapabilities(),
		Schema: driver.Schema{Attributes: each(i.GetAttributes(), func(a *pb.Attribute) driver.Attribute {
			return driver.Attribute{
				Name: a.GetName(), Type: a.GetType(), Required: a.GetRequired(),
				Secret: a.GetSecret(), Default: a.GetDefault(), Help: a.GetHelp(),
			}
		})},
	}
}

func configFromProto(r *pb.ConfigureRequest) (driver.Config, error) {
	out := make(driver.Config, len(r.GetConfig()))
	for name, v := range r.GetConfig() {
		switch v := v.GetValue().(type) {
		case *pb.Value_Text:
			out[name] = v.Text
		case *pb.Value_Number:
			out[name] = v.Number
		case *pb.Value_Flag:
			out[name] = v.Flag
		case *pb.Value_List:
			out[name] = append([]string{}, v.List.GetItems()...)
		default:
			return nil, fmt.Errorf("cannot read attribute %q: the controller sent a type this driver does not know; rebuild the driver", name)
		}
	}
	return out, nil
}

func commandFromProto(c *pb.Command) driver.Command {
	var env map[string]string
	if len(c.GetEnv()) > 0 {
		env = make(map[string]string, len(c.GetEnv()))
		for k, v := range c.GetEnv() {
			env[k] = string(v)
		}
	}
	return driver.Command{
		Argv: each(c.GetArgv(), func(b []byte) string { return string(b) }),
		Env:  env, Stdin: full(c.GetStdin()), User: c.GetUser(), Dir: string(c.GetDir()),
		Timeout: time.Duration(c.GetTimeout()),
	}
}

func commandsFromProto(c []*pb.Command) []driver.Command { return each(c, commandFromProto) }

func resultFromProto(r *pb.Result) driver.Result {
	return driver.Result{Exit: int(r.GetExit()), Stdout: full(r.GetStdout()), Stderr: full(r.GetStderr())}
}

// full turns empty bytes into nil, as each does for slices.
func full(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return b
}

func probeRequestFromProto(r *pb.ProbeRequest) driver.ProbeRequest {
	return driver.ProbeRequest{Refresh: r.GetRefresh(), Upgrades: r.GetUpgrades(), Installed: r.GetInstalled(), Offered: r.GetOffered()}
}

func offeredFromProto(list []*pb.Offered) map[string][]string {
	if len(list) == 0 {
		return nil
	}
	m := make(map[string][]string, len(list))
	for _, o := range list {
		m[o.GetName()] = o.GetVersions()
	}
	return m
}

func changeFromProto(c *pb.PackageChange) driver.PackageChange {
	return driver.PackageChange{
		Name: c.GetName(), From: c.GetFrom(), To: c.GetTo(), Change: driver.Change(c.GetChange()),
		Product: c.GetProduct(), Security: c.GetSecurity(), Held: c.GetHeld(), Reason: c.GetReason(),
	}
}

func factsFromProto(f *pb.PackageFacts) driver.PackageFacts {
	return driver.PackageFacts{
		Pending: each(f.GetPending(), changeFromProto), Broken: f.GetBroken(), Lock: f.GetLock(),
		RebootRequired: f.GetRebootRequired(), Problems: f.GetProblems(),
		Stale: f.GetStale(), ReleaseSteps: f.GetReleaseSteps(), Installed: f.GetInstalled(), Offered: offeredFromProto(f.GetOffered()),
	}
}

func placeFromProto(p *pb.Place) driver.Place {
	return driver.Place{Part: driver.Part(p.GetPart()), Path: string(p.GetPath()), Detail: p.GetDetail()}
}

func subjectFromProto(s *pb.Subject) driver.Subject {
	return driver.Subject{
		Host: s.GetHost(), Instance: s.GetInstance(), Labels: s.GetLabels(),
		Places: each(s.GetPlaces(), placeFromProto), WebUser: s.GetWebUser(), PHP: string(s.GetPhp()),
		DatabaseKind: s.GetDatabaseKind(), StateDir: string(s.GetStateDir()),
	}
}

func requestFromProto(r *pb.SnapshotRequest) driver.SnapshotRequest {
	return driver.SnapshotRequest{Key: r.GetKey(), Subject: subjectFromProto(r.GetSubject())}
}

func coverageFromProto(c *pb.CoverResponse) driver.Coverage {
	return driver.Coverage{
		Captured: each(c.GetCaptured(), placeFromProto),
		Missing: each(c.GetMissing(), func(h *pb.Hole) driver.Hole {
			return driver.Hole{Place: placeFromProto(h.GetPlace()), Reason: h.GetReason()}
		}),
		Consistent: c.GetConsistent(), BytesFree: c.GetBytesFree(), BytesNeed: c.GetBytesNeed(), Note: c.GetNote(),
	}
}

func handleFromProto(h *pb.Handle) driver.Handle {
	return driver.Handle{Driver: h.GetDriver(), Version: int(h.GetVersion()), Key: h.GetKey(), Data: full(h.GetData())}
}

func verificationFromProto(v *pb.VerifyResponse) driver.Verification {
	return driver.Verification{Verified: v.GetVerified(), Digest: v.GetDigest(), Bytes: v.GetBytes(), Detail: v.GetDetail()}
}

func snapshotFromProto(s *pb.Snapshot) driver.Snapshot {
	return driver.Snapshot{Handle: handleFromProto(s.GetHandle()), Created: s.GetCreated(), Bytes: s.GetBytes(), Orphan: s.GetOrphan()}
}

func selectionFromProto(r *pb.CompileRequest) driver.Selection {
	return driver.Selection{Changes: each(r.GetChanges(), changeFromProto), LockWait: time.Duration(r.GetLockWait())}
}
