package plan

// What the estimates reckon with, in seconds and bytes per second, measured on
// a small two-core machine with a slow disk. They are for people; nothing is
// decided by them.
const (
	rateSend     = 20 << 20 // archive over SSH
	rateUnpack   = 15 << 20 // tree to disk
	rateSnapshot = 60 << 20 // tree and dump to disk
	rateMigrate  = 20 << 20 // database through occ upgrade
	rateIndex    = 50 << 20 // database through missing indices

	secondsLook       = 5 // recheck, lease, hold
	secondsClose      = 3
	secondsOpen       = 3
	secondsSnapshot   = 3
	secondsHop        = 15 // occ upgrade of an empty instance
	secondsApps       = 5
	secondsApp        = 4 // one app updated
	secondsInspect    = 10
	secondsVerify     = 3
	secondsTidy       = 10
	secondsPackage    = 3
	secondsPackages   = 10
	secondsDownload   = 2 // one package
	secondsReboot     = 90
	secondsPerRelease = 5
)

// estimate returns how long users will be kept out and how long the rest
// takes, in seconds:
//
//	closed = close + Σ (3 + (tree+database)/60 MiB/s)     snapshots
//	       + 10 + 3·packages + 90 if a reboot is allowed
//	       + Σ (15 + database/20 MiB/s)                   hops
//	       + 5 + 4·apps + inspect + open
//	online = 5 + Σ (5 + archive/20 MiB/s + tree/15 MiB/s) + 2·packages
//	       + verify + 10 + database/50 MiB/s
func (l *look) estimate() (closed, online int) {
	online = secondsLook + secondsDownload*len(l.sel.Changes)
	for _, in := range l.insides() {
		tree, db := max(in.seen.TreeBytes, 0), max(in.seen.Database.Bytes, 0)
		closed += secondsClose + secondsSnapshot + seconds(tree+db, rateSnapshot) + secondsInspect + secondsOpen
		online += secondsVerify
		for _, h := range l.hops {
			closed += secondsHop + seconds(db, rateMigrate)
			online += secondsPerRelease + seconds(max(h.Release.Size, 0), rateSend) + seconds(tree, rateUnpack)
		}
		if len(l.hops) > 0 {
			online += secondsTidy + seconds(db, rateIndex)
		}
	}
	if n := len(l.sel.Changes); n > 0 {
		closed += secondsPackages + secondsPackage*n
	}
	if l.reboot {
		closed += secondsReboot
	}
	if l.update {
		closed += secondsApps
		for _, c := range l.apps {
			if c.Action == "update" {
				closed += secondsApp
			}
		}
	}
	return closed, online
}

// seconds is a size over a rate, rounded up.
func seconds(bytes, rate int64) int { return int((bytes + rate - 1) / rate) }
