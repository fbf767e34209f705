package conformance

import "github.com/ncfleet/ncfleet/plugins/driver"

// promise is a Promise with the way to try it.
type promise struct {
	Promise
	try func(t T)
}

// firstCreate is the place in promises of the first one that needs Create.
const firstCreate = 2

func (s *snapshots) promises() []promise {
	all := []promise{
		{Promise{"info", fixInfo}, func(t T) { s.info = checkInfo(t, s.New(t), driver.KindSnapshot) }},
		{Promise{"cover changes nothing", "Cover only looks: name every place of the subject once, as captured or as missing with the reason."}, s.cover},
		{Promise{"create is idempotent by key", "Derive the place of a snapshot and its handle from the key alone; return the finished one when it is there."}, s.createTwice},
		{Promise{"create at the same time", "Finish a snapshot by one atomic step (rename, tag), and clean up what lost the race."}, s.createAtOnce},
		{Promise{"several instances at once", "Keep nothing of a call in the driver's own fields: many targets share one process."}, s.severalKeys},
		{Promise{"verify", "Verify reads what is kept and compares it with a digest taken in Create; say in Detail what was compared."}, s.verify},
		{Promise{"restore brings everything back", "Restore removes what is new and brings back what is gone, with mode and owner; a second Restore does no harm."}, s.restore},
		{Promise{"keys are apart", "Snapshots share no file: restoring or deleting one must leave the others whole."}, s.keysApart},
		{Promise{"delete twice", "Delete of a snapshot that is gone is no error; Verify and Restore of it are refused (class not_found)."}, s.deleteTwice},
		{Promise{"damage is seen", "Verify must read the content, not only look whether it is there."}, s.damage},
		{Promise{"foreign and broken handles", "Check Handle.Driver, Version, Key and Data before anything is done with them; refuse with class permanent."}, s.badHandles},
		{Promise{"cancelled calls return", "Hand ctx on to everything that waits, and redo what a cancelled call left half done."}, s.cancelled},
		{Promise{"failing runner", "Return the Runner's error as class retryable, and let the next call with the same key finish the work."}, s.failingRunner},
	}
	if s.Faults || s.Kill != nil {
		all = append(all, s.interruptions()...)
	}
	return append(all, promise{Promise{"secrets stay out of command lines", "Pass a secret by Command.Stdin or Command.Env: a host's users see each other's command lines."}, s.secrets})
}
