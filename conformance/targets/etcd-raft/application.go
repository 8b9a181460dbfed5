package main

import (
	"fmt"
	"maps"
	"slices"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"
)

// application is the application of one server: what it was told and handed so far. It does what every Ready
// asks for, and holds the library to what it says: a Ready repeats some of the state, and that is compared with
// the state itself and with what was said before. A contradiction is a panic, and with that a crash at this
// input. conformance/COMPARED.md lists every field.
type application struct {
	// applied is the index of the last entry that it was handed; survives a restart.
	applied uint64
	// soft and hard are role, leader, term, vote and commit index, as last told.
	soft raft.SoftState
	hard pb.HardState
}

// settle persists, sends, applies and advances until nothing is ready.
func (s *server) settle() {
	for s.node.HasReady() {
		ready := s.node.Ready()
		s.hear(ready)
		if !s.async {
			s.persist(ready.Entries, ready.HardState)
			for _, m := range ready.Messages {
				s.sent = append(s.sent, sent{message: m})
			}
			s.hand(ready.CommittedEntries)
			s.node.Advance(ready)
			continue
		}
		appends, applies := 0, 0
		for _, m := range ready.Messages {
			switch m.To {
			case raft.LocalAppendThread:
				appends++
				hard := pb.HardState{Term: m.Term, Vote: m.Vote, Commit: m.Commit}
				agree("the hard state to append", hard, ready.HardState)
				agree("the entries to append", len(m.Entries), len(ready.Entries))
				agree("a snapshot to append", m.Snapshot == nil, true)
				s.persist(m.Entries, hard)
				s.respond(m.Responses, true)
			case raft.LocalApplyThread:
				applies++
				agree("the entries to apply", len(m.Entries), len(ready.CommittedEntries))
				s.hand(m.Entries)
				s.respond(m.Responses, false)
			default:
				s.sent = append(s.sent, sent{message: m})
			}
		}
		writes := len(ready.Entries) > 0 || !raft.IsEmptyHardState(ready.HardState)
		agree("one append at most", appends < 2 && (appends == 1 || !writes), true)
		agree("one apply for committed entries", applies == 1, len(ready.CommittedEntries) > 0)
	}
	status := s.node.BasicStatus()
	agree("the soft state last told", s.application.soft, status.SoftState)
	agree("the hard state last told", s.application.hard, status.HardState)
}

// hear checks what a Ready says of the state, and takes note of it.
func (s *server) hear(ready raft.Ready) {
	status, told := s.node.BasicStatus(), &s.application
	soft := told.soft
	if ready.SoftState != nil {
		soft = *ready.SoftState
	}
	agree("Ready.SoftState", soft, status.SoftState)
	agree("Ready.SoftState is there", ready.SoftState != nil, told.soft != status.SoftState)
	hard := told.hard
	if !raft.IsEmptyHardState(ready.HardState) {
		hard = ready.HardState
	}
	agree("Ready.HardState", hard, status.HardState)
	agree("Ready.HardState is there", !raft.IsEmptyHardState(ready.HardState), told.hard != status.HardState)
	agree("Ready.ReadStates", len(ready.ReadStates), 0)
	agree("Ready.Snapshot is empty", raft.IsEmptySnap(ready.Snapshot), true)
	vital := told.hard.Term != hard.Term || told.hard.Vote != hard.Vote || len(ready.Entries) > 0
	agree("Ready.MustSync", ready.MustSync, vital)
	if len(ready.Entries) > 0 {
		first := ready.Entries[0]
		term, err := s.storage.Term(first.Index)
		agree("an entry to be stored is stored already", err == nil && term == first.Term, false)
	}
	told.soft, told.hard = soft, hard
}

// hand takes committed entries as they come; that they are the right ones is for the comparison to say.
func (s *server) hand(entries []pb.Entry) {
	for _, e := range entries {
		term, err := s.storage.Term(e.Index)
		agree("an entry is stored when it is handed out", err == nil && term == e.Term, true)
		s.handed = append(s.handed, e)
		s.application.applied = e.Index
	}
}

// respond hands on what waited for a local write: to the library itself, or to the other servers.
func (s *server) respond(messages []pb.Message, afterPersist bool) {
	for _, m := range messages {
		if m.To != s.id {
			s.sent = append(s.sent, sent{message: m, afterPersist: afterPersist})
		} else if err := s.node.Step(m); err != nil {
			panic(err)
		}
	}
}

func (s *server) persist(entries []pb.Entry, hard pb.HardState) {
	if err := s.storage.Append(entries); err != nil {
		panic(err)
	}
	if !raft.IsEmptyHardState(hard) {
		if err := s.storage.SetHardState(hard); err != nil {
			panic(err)
		}
	}
}

// checkStatus compares what the status says beyond the view with what must be there in a group of voters that
// never changes.
func (s *server) checkStatus(status raft.Status) {
	basic := s.node.BasicStatus()
	agree("Status", status.BasicStatus, basic)
	agree("BasicStatus.ID", basic.ID, s.id)
	agree("BasicStatus.LeadTransferee", basic.LeadTransferee, raft.None)
	voters := fmt.Sprint(slices.Sorted(maps.Keys(status.Config.Voters.IDs())))
	agree("Status.Config", voters, fmt.Sprint(s.storage.voters))
	others := len(status.Config.Learners) + len(status.Config.LearnersNext)
	agree("learners in Status.Config", others, 0)
	leads := basic.RaftState == raft.StateLeader
	members := fmt.Sprint(slices.Sorted(maps.Keys(status.Progress)))
	if leads {
		agree("Status.Progress", members, fmt.Sprint(s.storage.voters))
	} else {
		agree("Status.Progress", members, "[]")
	}
	for id, pr := range status.Progress {
		agree("Progress.IsLearner", pr.IsLearner, false)
		agree("Progress.PendingSnapshot", pr.PendingSnapshot, 0)
		if id != s.id {
			continue
		}
		last, err := s.storage.LastIndex()
		if err != nil {
			panic(err)
		}
		agree("its own match", pr.Match, last)
		agree("its own next", pr.Next, last+1)
		agree("its own state", pr.State, tracker.StateReplicate)
		agree("its own paused", pr.IsPaused(), false)
		agree("its own recent_active", pr.RecentActive, true)
		agree("its own window", pr.Inflights.Count(), 0)
	}
}

// agree panics unless two ways to say one thing say the same.
func agree[T comparable](what string, is, mustBe T) {
	if is != mustBe {
		panic(fmt.Sprintf("it contradicts itself: %s is %v, must be %v", what, is, mustBe))
	}
}
