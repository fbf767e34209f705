package rollout

import (
	"github.com/ncfleet/ncfleet/controller/plan"
)

// member is a target of the plan with what is known of it.
type member struct {
	plan  *plan.Target
	state *TargetState
}

// member finds a target by name; it must be one of the plan's.
func (s *State) member(name string) member {
	for _, wave := range s.waves {
		for _, m := range wave {
			if m.plan.Name == name {
				return m
			}
		}
	}
	return member{}
}

// nextUndo returns the next undo step that is needed: any step it undoes began.
func (m member) nextUndo() (*plan.Step, bool) {
	for i := range m.plan.Undo {
		if u := &m.plan.Undo[i]; m.needed(u) {
			return u, true
		}
	}
	return nil, false
}

func (m member) needed(undo *plan.Step) bool {
	if m.state.Done[undo.ID] {
		return false
	}
	for _, id := range undo.Undoes {
		if _, begun := m.state.Begun[id]; begun {
			return true
		}
	}
	return false
}

// moreToOpen reports whether the rollback still has instances to open.
func (m member) moreToOpen() bool {
	for i := range m.plan.Undo {
		if u := &m.plan.Undo[i]; u.Kind == plan.KindOpen && m.needed(u) {
			return true
		}
	}
	return false
}

// undoBegun reports whether any undo step was started.
func (m member) undoBegun() bool {
	for _, u := range m.plan.Undo {
		if _, ok := m.state.Begun[u.ID]; ok {
			return true
		}
	}
	return false
}

// restores reports whether an undo step would put a snapshot back now.
func (m member) restores() bool {
	for i := range m.plan.Undo {
		if u := &m.plan.Undo[i]; u.Kind == plan.KindRestore && m.needed(u) {
			return true
		}
	}
	return false
}

// lastOpen reports whether the open step at index i is the target's last.
func (m member) lastOpen(i int) bool {
	for _, st := range m.plan.Steps[i+1:] {
		if st.Kind == plan.KindOpen {
			return false
		}
	}
	return true
}

func (m member) indexOf(step *plan.Step) int {
	for i := range m.plan.Steps {
		if m.plan.Steps[i].ID == step.ID {
			return i
		}
	}
	return -1
}

// closes reports whether users were or will be put out of this target.
func (m member) closes() bool {
	for i := range m.plan.Steps {
		if m.plan.Steps[i].Kind == plan.KindClose {
			return true
		}
	}
	return false
}

// hasClosed reports whether the target has steps out of service.
func (m member) hasClosed() bool {
	for i := range m.plan.Steps {
		if m.plan.Steps[i].Phase == plan.PhaseClosed {
			return true
		}
	}
	return false
}

func (m member) begunClosed() bool {
	for i := range m.plan.Steps {
		if st := &m.plan.Steps[i]; st.Phase == plan.PhaseClosed {
			if _, ok := m.state.Begun[st.ID]; ok {
				return true
			}
		}
	}
	return false
}

// snapshotsRecorded reports whether the handle of every snapshot planned
// before the target's next step is known, and that there is one.
func (m member) snapshotsRecorded() bool {
	n := 0
	for i := range m.plan.Steps[:m.state.Next] {
		st := &m.plan.Steps[i]
		if st.Kind != plan.KindSnapshot {
			continue
		}
		if h, ok := m.state.Handles[st.Instance]; !ok || h.Zero() {
			return false
		}
		n++
	}
	return n > 0
}

// isOut reports whether the target holds a share of max unavailable: from its
// first closed step until it is verified from outside or taken back. A failed
// target keeps its share.
func (m member) isOut() bool {
	t := m.state
	if t.ClosedAt.IsZero() {
		return false
	}
	switch t.Status {
	case Upgraded, RolledBack, Untouched:
		return false
	case Running:
		return t.OpenedAt.IsZero() || !m.verified()
	case Waiting, Held, RollingBack, Failed:
		return true
	}
	return true
}

// Out names the targets that hold a share of max unavailable, in plan order.
func (s *State) Out() []string {
	var names []string
	for _, wave := range s.waves {
		for _, m := range wave {
			if m.isOut() {
				names = append(names, m.plan.Name)
			}
		}
	}
	return names
}

func (m member) verified() bool {
	for i := range m.plan.Steps {
		if st := &m.plan.Steps[i]; st.Kind == plan.KindVerify && !m.state.Done[st.ID] {
			return false
		}
	}
	return true
}
