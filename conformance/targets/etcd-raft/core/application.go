package core

import (
	"errors"
	"fmt"
	"slices"
)

// application is the application of one server: what it was told and handed so far. It does what every Ready
// asks for, and holds the library to what it says: a Ready repeats some of the state, and that is compared with
// the state itself and with what was said before. A contradiction is a panic, and with that a crash at this
// input. conformance/COMPARED.md lists every field.
type application struct {
	// applied is the index of the last entry that it was handed; survives a restart.
	applied uint64
	// soft and hard are role, leader, term, vote and commit index, as last told.
	soft SoftState
	hard HardState
	// outstanding is the work that its storage threads have not done yet, with asynchronous storage.
	outstanding outstanding
}

// settle persists, sends, applies and advances until nothing is ready.
func (s *server) settle() {
	rounds := 0
	for s.node.HasReady() {
		rounds++
		ready := s.node.Ready()
		s.hear(ready)
		s.readStates = append(s.readStates, ready.ReadStates...)
		if s.async {
			s.deliver(ready)
			continue
		}
		s.install(ready.Snapshot)
		s.persist(ready.Entries, ready.HardState)
		for _, m := range ready.Messages {
			s.sent = append(s.sent, sent{message: m})
		}
		s.hand(ready.CommittedEntries)
		s.node.Advance()
	}
	if s.config.asyncStorage {
		agree("one Ready at most", rounds < 2, true)
	}
	status := s.node.BasicStatus()
	agree("the soft state last told", s.application.soft, status.SoftState)
	agree("the hard state last told", s.application.hard, status.HardState)
}

// deliver does the work of a Ready with asynchronous storage writes: every message is delivered, those to the
// storage threads too.
func (s *server) deliver(ready Ready) {
	appends, applies := 0, 0
	for _, m := range ready.Messages {
		switch m.To {
		case AppendThread:
			appends++
			hard := HardState{Term: m.Term, Vote: m.Vote, Commit: m.Commit}
			agree("the hard state to append", hard, ready.HardState)
			agree("the entries to append", len(m.Entries), len(ready.Entries))
			agree("a snapshot to append", m.Snapshot != nil, ready.Snapshot != nil)
			if s.config.asyncStorage {
				s.application.outstanding.append(m)
				continue
			}
			s.write(m)
			s.respond(m.Responses, true)
		case ApplyThread:
			applies++
			agree("the entries to apply", len(m.Entries), len(ready.CommittedEntries))
			if s.config.asyncStorage {
				s.application.outstanding.apply(m)
				continue
			}
			s.hand(m.Entries)
			s.respond(m.Responses, false)
		default:
			s.sent = append(s.sent, sent{message: m})
		}
	}
	writes := len(ready.Entries) > 0 || ready.HardState != HardState{} || ready.Snapshot != nil
	agree("one append at most", appends < 2 && (appends == 1 || !writes), true)
	agree("one apply for committed entries", applies == 1, len(ready.CommittedEntries) > 0)
}

// hear checks what a Ready says of the state, and takes note of it.
func (s *server) hear(ready Ready) {
	status, told := s.node.BasicStatus(), &s.application
	soft := told.soft
	if ready.SoftState != nil {
		soft = *ready.SoftState
	}
	agree("Ready.SoftState", soft, status.SoftState)
	agree("Ready.SoftState is there", ready.SoftState != nil, told.soft != status.SoftState)
	hard, said := told.hard, ready.HardState != HardState{}
	if said {
		hard = ready.HardState
	}
	agree("Ready.HardState", hard, status.HardState)
	agree("Ready.HardState is there", said, told.hard != status.HardState)
	agree("Ready.ReadStates where nobody reads", !s.config.haveReads() && len(ready.ReadStates) > 0, false)
	vital := told.hard.Term != hard.Term || told.hard.Vote != hard.Vote || len(ready.Entries) > 0
	agree("Ready.MustSync", ready.MustSync, vital)
	if ready.Snapshot != nil {
		agree("Ready.Snapshot is ahead of what is applied", ready.Snapshot.Index > told.applied, true)
	}
	// With writes outstanding an entry may be stored that another took the place of since.
	if len(ready.Entries) > 0 && !s.config.asyncStorage {
		first := ready.Entries[0]
		term, found := s.storage.Term(first.Index)
		agree("an entry to be stored is stored already", found && term == first.Term, false)
	}
	told.soft, told.hard = soft, hard
}

// hand takes committed entries as they come; that they are the right ones is for the comparison to say.
func (s *server) hand(entries []Entry) {
	for _, e := range entries {
		term, found := s.storage.Term(e.Index)
		agree("an entry is stored when it is handed out", found && term == e.Term, true)
		s.handed = append(s.handed, e)
		s.application.applied = e.Index
		if e.Type != EntryNormal {
			s.change(e)
		}
	}
}

// change uses another configuration. One that does not fit the configuration in use is not for the application to
// apply: the library panics.
func (s *server) change(e Entry) {
	change, err := s.library.DecodeChange(e.Type, e.Data)
	if err != nil {
		panic(err)
	}
	if s.library.Fits(s.storage.ConfState(), change) {
		s.storage.SetConfState(s.node.ApplyConfChange(change))
	}
}

// respond hands on what waited for a local write: to the library itself, or to the other servers. A leader that was removed
// meanwhile is unknown to itself; the library says so and changes nothing, and an application goes on.
func (s *server) respond(messages []Message, afterPersist bool) {
	for _, m := range messages {
		if m.To != s.id {
			s.sent = append(s.sent, sent{message: m, afterPersist: afterPersist})
		} else if err := s.node.Step(m); err != nil && !errors.Is(err, UnknownPeer) {
			panic(err)
		}
	}
}

// install stores a snapshot, and takes it in place of the entries that it stands for.
func (s *server) install(snapshot *Snapshot) {
	if snapshot == nil {
		return
	}
	agree("the data of the snapshot", string(snapshot.Data), string(snapshotData(snapshot.Index)))
	s.storage.ApplySnapshot(*snapshot)
	s.application.applied = snapshot.Index
}

func (s *server) persist(entries []Entry, hard HardState) {
	s.storage.Append(entries)
	if (hard != HardState{}) {
		s.storage.SetHardState(hard)
	}
}

// compact makes a snapshot of what is applied, and drops the log behind it. Nobody makes a snapshot while another one is
// being installed. What a snapshot stands for is known to be committed.
func (s *server) compact() {
	applied := s.application.applied
	if applied < s.storage.FirstIndex() || s.application.outstanding.snapshot() != nil {
		return
	}
	s.storage.Compact(applied, snapshotData(applied))
	s.commitStored(applied)
}

// checkStatus compares what the status says beyond the view with what must be there.
func (s *server) checkStatus(status Status) {
	basic := s.node.BasicStatus()
	agree("Status", status.BasicStatus, basic)
	agree("BasicStatus.ID", basic.ID, s.id)
	leads := basic.Role == Leader
	agree("BasicStatus.LeadTransferee at another role", !leads && basic.LeadTransferee != None, false)
	conf := s.conf()
	conf.AutoLeave = false // The status never says it.
	if !status.Config.equal(conf) {
		agree("Status.Config", fmt.Sprint(status.Config), fmt.Sprint(conf))
	}
	members := []uint64{}
	if leads {
		members = conf.members()
	}
	agree("Status.Progress", len(status.Progress), len(members))
	for i := range status.Progress {
		pr := &status.Progress[i]
		agree("Status.Progress", pr.ID, members[i])
		agree("Progress.IsLearner", pr.IsLearner, slices.Contains(conf.Learners, pr.ID))
		agree("Progress.PendingSnapshot", pr.PendingSnapshot > 0, pr.State == Snapshotting)
		// A leader that was removed and added again does not count its own log until it appends. Only without
		// validation can that be.
		if pr.ID != s.id || s.config.disableConfChangeValidation {
			continue
		}
		if s.config.asyncStorage {
			// The view shows its match.
			continue
		}
		last := s.storage.LastIndex()
		agree("its own match", pr.Match, last)
		agree("its own next", pr.Next, last+1)
		// The library takes a report about the leader itself for one about a peer, and probes itself until it appends
		// again, to no effect.
		probes := s.foundItselfUnreachable && pr.State == Probe
		agree("its own state", pr.State == Replicate || probes, true)
		agree("its own paused", pr.Paused, false)
		agree("its own recent_active", pr.RecentActive, true)
		agree("its own window", pr.Inflight, 0)
	}
}

// agree panics unless two ways to say one thing say the same.
func agree[T comparable](what string, is, mustBe T) {
	if is != mustBe {
		panic(fmt.Sprintf("it contradicts itself: %s is %v, must be %v", what, is, mustBe))
	}
}
