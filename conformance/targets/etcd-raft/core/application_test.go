package core

import (
	"strings"
	"testing"
)

func contains(text, part string) bool { return strings.Contains(text, part) }

// A Ready that contradicts the state of the server, or what was said before, is found out.
func TestEveryContradictionOfAReadyIsFoundOut(t *testing.T) {
	for what, tamper := range map[string]func(*Ready){
		"":                          func(*Ready) {},
		"Ready.SoftState is":        func(r *Ready) { r.SoftState = nil },
		"Ready.HardState is {1 1 1": func(r *Ready) { r.HardState.Commit = 1 },
		"Ready.HardState is {0":     func(r *Ready) { r.HardState = HardState{} },
		"Ready.MustSync":            func(r *Ready) { r.MustSync = false },
		"Ready.ReadStates where":    func(r *Ready) { r.ReadStates = []ReadState{{}} },
		"Ready.Snapshot is ahead":   func(r *Ready) { r.Snapshot = &Snapshot{} },
		"an entry to be stored is":  func(r *Ready) { r.Entries = []Entry{{Index: 1, Term: 1}} },
	} {
		one := leader()
		soft := one.application.soft
		ready := Ready{SoftState: &soft, HardState: one.application.hard, MustSync: true}
		one.application = application{}
		tamper(&ready)
		mustPanic(t, what, func() { one.hear(ready) })
	}
}

// So is a status.
func TestEveryContradictionOfAStatusIsFoundOut(t *testing.T) {
	for what, tamper := range map[string]func(*Status){
		"":                                  func(*Status) {},
		"Status is":                         func(s *Status) { s.Term = 2 },
		"Status.Config is":                  func(s *Status) { s.Config.Voters = []uint64{1, 3} },
		"Status.Config is {[1 2] [3":        func(s *Status) { s.Config.Learners = []uint64{3} },
		"Status.Config is {[1 2] [] [1":     func(s *Status) { s.Config.VotersOutgoing = []uint64{1} },
		"Status.Config is {[1 2] [] [] [1":  func(s *Status) { s.Config.LearnersNext = []uint64{1} },
		"Status.Progress is 1":              func(s *Status) { s.Progress = s.Progress[:1] },
		"Status.Progress is 3":              func(s *Status) { s.Progress[1].ID = 3 },
		"Progress.IsLearner":                func(s *Status) { s.Progress[1].IsLearner = true },
		"Progress.PendingSnapshot is true":  func(s *Status) { s.Progress[1].PendingSnapshot = 1 },
		"Progress.PendingSnapshot is false": func(s *Status) { s.Progress[1].State = Snapshotting },
		"its own match":                     func(s *Status) { s.Progress[0].Match = 0 },
		"its own next":                      func(s *Status) { s.Progress[0].Next = 1 },
		"its own state":                     func(s *Status) { s.Progress[0].State = Probe },
		"its own paused":                    func(s *Status) { s.Progress[0].Paused = true },
		"its own recent_active":             func(s *Status) { s.Progress[0].RecentActive = false },
		"its own window":                    func(s *Status) { s.Progress[0].Inflight = 1 },
	} {
		one := leader()
		status := one.node.(*fakeNode).status
		status.Progress = append([]Progress(nil), status.Progress...)
		tamper(&status)
		mustPanic(t, what, func() { one.checkStatus(status) })
	}
	for what, tamper := range map[string]func(*Status){
		"BasicStatus.ID":             func(s *Status) { s.ID = 2 },
		"BasicStatus.LeadTransferee": func(s *Status) { s.Role, s.LeadTransferee, s.Progress = Follower, 2, nil },
	} {
		one := leader()
		status := &one.node.(*fakeNode).status
		tamper(status)
		mustPanic(t, what, func() { one.checkStatus(*status) })
	}
}

// What is handed out must be stored, and a snapshot must be one that the application made.
func TestWhatTheApplicationIsGivenIsChecked(t *testing.T) {
	mustPanic(t, "stored when it is handed out", func() { leader().hand([]Entry{{Index: 2, Term: 1}}) })
	mustPanic(t, "stored when it is handed out", func() { leader().hand([]Entry{{Index: 1, Term: 2}}) })
	mustPanic(t, "", func() { leader().hand([]Entry{{Index: 1, Term: 1}}) })
	mustPanic(t, "the data of the snapshot", func() { leader().install(&Snapshot{Index: 2, Data: []byte("1")}) })
}
