package rpc

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ncfleet/ncfleet/plugins/driver"
	pb "github.com/ncfleet/ncfleet/plugins/rpc/driverv1"
)

// text makes s fit for a protobuf string. Probe output may hold any bytes, and
// one of them must not turn an answer into a transport error.
func text(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

func texts(in []string) []string {
	return each(in, text)
}

// each converts a slice; an empty one becomes nil, so that a driver behaves
// the same in process and across the wire.
func each[A, B any](in []A, f func(A) B) []B {
	if len(in) == 0 {
		return nil
	}
	out := make([]B, len(in))
	for i, v := range in {
		out[i] = f(v)
	}
	return out
}

func infoToProto(i driver.Info) *pb.InfoResponse {
	return &pb.InfoResponse{
		Name: text(i.Name), Version: text(i.Version), Kind: text(string(i.Kind)),
		Capabilities: texts(i.Capabilities),
		Attributes: each(i.Schema.Attributes, func(a driver.Attribute) *pb.Attribute {
			return &pb.Attribute{
				Name: text(a.Name), Type: text(a.Type), Required: a.Required,
				Secret: a.Secret, Default: text(a.Default), Help: text(a.Help),
			}
		}),
	}
}

func configToProto(c driver.Config) (*pb.ConfigureRequest, error) {
	out := make(map[string]*pb.Value, len(c))
	for name, v := range c {
		switch v := v.(type) {
		case string:
			out[name] = &pb.Value{Value: &pb.Value_Text{Text: text(v)}}
		case float64:
			out[name] = &pb.Value{Value: &pb.Value_Number{Number: v}}
		case bool:
			out[name] = &pb.Value{Value: &pb.Value_Flag{Flag: v}}
		case []string:
			out[name] = &pb.Value{Value: &pb.Value_List{List: &pb.TextList{Items: texts(v)}}}
		default:
			return nil, fmt.Errorf("cannot send attribute %q: its type %T is not string, float64, bool or []string", name, v)
		}
	}
	return &pb.ConfigureRequest{Config: out}, nil
}

func commandToProto(c driver.Command) *pb.Command {
	var env map[string][]byte
	if len(c.Env) > 0 {
		env = make(map[string][]byte, len(c.Env))
		for k, v := range c.Env {
			env[text(k)] = []byte(v)
		}
	}
	return &pb.Command{
		Argv: each(c.Argv, func(s string) []byte { return []byte(s) }),
		Env:  env, Stdin: c.Stdin, User: text(c.User), Dir: []byte(c.Dir), Timeout: int64(c.Timeout),
	}
}

func commandsToProto(c []driver.Command) []*pb.Command { return each(c, commandToProto) }

func resultToProto(r driver.Result) *pb.Result {
	return &pb.Result{Exit: int32(r.Exit), Stdout: r.Stdout, Stderr: r.Stderr}
}

func probeRequestToProto(r driver.ProbeRequest) *pb.ProbeRequest {
	return &pb.ProbeRequest{Refresh: r.Refresh, Upgrades: texts(r.Upgrades), Installed: r.Installed, Offered: r.Offered}
}

func textMap(m map[string]string) map[string]string {
	if len(m) == 0 {
		return nil
	}
	out := make(map[string]string, len(m))
	for k, v := range m {
		out[text(k)] = text(v)
	}
	return out
}

func offeredToProto(m map[string][]string) []*pb.Offered {
	var out []*pb.Offered
	for _, name := range slices.Sorted(maps.Keys(m)) {
		out = append(out, &pb.Offered{Name: text(name), Versions: texts(m[name])})
	}
	return out
}

func changeToProto(c driver.PackageChange) *pb.PackageChange {
	return &pb.PackageChange{
		Name: text(c.Name), From: text(c.From), To: text(c.To), Change: text(string(c.Change)),
		Product: text(c.Product), Security: c.Security, Held: c.Held, Reason: text(c.Reason),
	}
}

func factsToProto(f driver.PackageFacts) *pb.PackageFacts {
	return &pb.PackageFacts{
		Pending: each(f.Pending, changeToProto), Broken: texts(f.Broken), Lock: text(f.Lock),
		RebootRequired: f.RebootRequired, Problems: texts(f.Problems),
		Stale: texts(f.Stale), ReleaseSteps: texts(f.ReleaseSteps), Installed: textMap(f.Installed), Offered: offeredToProto(f.Offered),
	}
}

func placeToProto(p driver.Place) *pb.Place {
	return &pb.Place{Part: text(string(p.Part)), Path: []byte(p.Path), Detail: text(p.Detail)}
}

func subjectToProto(s driver.Subject) *pb.Subject {
	var labels map[string]string
	if len(s.Labels) > 0 {
		labels = make(map[string]string, len(s.Labels))
		for k, v := range s.Labels {
			labels[text(k)] = text(v)
		}
	}
	return &pb.Subject{
		Host: text(s.Host), Instance: text(s.Instance), Labels: labels,
		Places: each(s.Places, placeToProto), WebUser: text(s.WebUser), Php: []byte(s.PHP),
		DatabaseKind: text(s.DatabaseKind), StateDir: []byte(s.StateDir),
	}
}

func requestToProto(r driver.SnapshotRequest) *pb.SnapshotRequest {
	return &pb.SnapshotRequest{Key: text(r.Key), Subject: subjectToProto(r.Subject)}
}

func coverageToProto(c driver.Coverage) *pb.CoverResponse {
	return &pb.CoverResponse{
		Captured: each(c.Captured, placeToProto),
		Missing: each(c.Missing, func(h driver.Hole) *pb.Hole {
			return &pb.Hole{Place: placeToProto(h.Place), Reason: text(h.Reason)}
		}),
		Consistent: c.Consistent, BytesFree: c.BytesFree, BytesNeed: c.BytesNeed, Note: text(c.Note),
	}
}

func handleToProto(h driver.Handle) *pb.Handle {
	return &pb.Handle{Driver: text(h.Driver), Version: int32(h.Version), Key: text(h.Key), Data: h.Data}
}

func verificationToProto(v driver.Verification) *pb.VerifyResponse {
	return &pb.VerifyResponse{Verified: v.Verified, Digest: text(v.Digest), Bytes: v.Bytes, Detail: text(v.Detail)}
}

func snapshotToProto(s driver.Snapshot) *pb.Snapshot {
	return &pb.Snapshot{Handle: handleToProto(s.Handle), Created: s.Created, Bytes: s.Bytes, Orphan: s.Orphan}
}

func selectionToProto(s driver.Selection) *pb.CompileRequest {
	return &pb.CompileRequest{Changes: each(s.Changes, changeToProto), LockWait: int64(s.LockWait)}
}
