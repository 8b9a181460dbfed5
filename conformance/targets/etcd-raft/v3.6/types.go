package main

import (
	"fmt"
	"slices"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"

	"lockstep/targets/etcd-raft/core"
)

// The types of the library and those of the core, field by field. A field that the library gains is not noticed here
// but in types_test.go, which fills every field that there is.

func each[A, B any](of []A, to func(A) B) []B {
	if of == nil {
		return nil
	}
	out := make([]B, len(of))
	for i := range of {
		out[i] = to(of[i])
	}
	return out
}

func fromMessage(m core.Message) pb.Message {
	return pb.Message{
		Type: pb.MessageType(m.Type), To: m.To, From: m.From, Term: m.Term, LogTerm: m.LogTerm, Index: m.Index,
		Entries: each(m.Entries, fromEntry), Commit: m.Commit, Vote: m.Vote, Snapshot: fromSnapshot(m.Snapshot),
		Reject: m.Reject, RejectHint: m.RejectHint, Context: m.Context, Responses: each(m.Responses, fromMessage),
	}
}

func toMessage(m pb.Message) core.Message {
	return core.Message{
		Type: core.MessageType(m.Type), To: m.To, From: m.From, Term: m.Term, LogTerm: m.LogTerm, Index: m.Index,
		Entries: each(m.Entries, toEntry), Commit: m.Commit, Vote: m.Vote, Snapshot: toSnapshot(m.Snapshot),
		Reject: m.Reject, RejectHint: m.RejectHint, Context: m.Context, Responses: each(m.Responses, toMessage),
	}
}

func fromEntry(e core.Entry) pb.Entry {
	return pb.Entry{Type: pb.EntryType(e.Type), Term: e.Term, Index: e.Index, Data: e.Data}
}

func toEntry(e pb.Entry) core.Entry {
	return core.Entry{Type: core.EntryType(e.Type), Term: e.Term, Index: e.Index, Data: e.Data}
}

func fromSnapshot(s *core.Snapshot) *pb.Snapshot {
	if s == nil {
		return nil
	}
	return &pb.Snapshot{
		Data:     s.Data,
		Metadata: pb.SnapshotMetadata{Index: s.Index, Term: s.Term, ConfState: fromConfState(s.ConfState)},
	}
}

func toSnapshot(s *pb.Snapshot) *core.Snapshot {
	if s == nil {
		return nil
	}
	return &core.Snapshot{
		Data: s.Data, Index: s.Metadata.Index, Term: s.Metadata.Term, ConfState: toConfState(s.Metadata.ConfState),
	}
}

func fromConfState(c core.ConfState) pb.ConfState {
	return pb.ConfState{
		Voters: c.Voters, Learners: c.Learners, VotersOutgoing: c.VotersOutgoing, LearnersNext: c.LearnersNext,
		AutoLeave: c.AutoLeave,
	}
}

func toConfState(c pb.ConfState) core.ConfState {
	return core.ConfState{
		Voters: sorted(c.Voters), Learners: sorted(c.Learners), VotersOutgoing: sorted(c.VotersOutgoing),
		LearnersNext: sorted(c.LearnersNext), AutoLeave: c.AutoLeave,
	}
}

func fromConfChange(c core.ConfChange) pb.ConfChangeV2 {
	change := func(one core.Change) pb.ConfChangeSingle {
		return pb.ConfChangeSingle{Type: pb.ConfChangeType(one.Type), NodeID: one.Server}
	}
	return pb.ConfChangeV2{
		Transition: pb.ConfChangeTransition(c.Transition), Changes: each(c.Changes, change), Context: c.Context,
	}
}

func toConfChange(c pb.ConfChangeV2) core.ConfChange {
	change := func(one pb.ConfChangeSingle) core.Change {
		return core.Change{Type: core.ChangeType(one.Type), Server: one.NodeID}
	}
	return core.ConfChange{
		Transition: core.Transition(c.Transition), Changes: each(c.Changes, change), Context: c.Context,
	}
}

func toReadState(s raft.ReadState) core.ReadState {
	return core.ReadState{Index: s.Index, Context: s.RequestCtx}
}

func toSoftState(s raft.SoftState) core.SoftState {
	return core.SoftState{Lead: s.Lead, Role: toRole(s.RaftState)}
}

func toRole(s raft.StateType) core.Role {
	switch s {
	case raft.StateFollower:
		return core.Follower
	case raft.StateCandidate:
		return core.Candidate
	case raft.StateLeader:
		return core.Leader
	case raft.StatePreCandidate:
		return core.PreCandidate
	default:
		panic(fmt.Sprintf("a role %d", s))
	}
}

func toProgressState(s tracker.StateType) core.ProgressState {
	switch s {
	case tracker.StateProbe:
		return core.Probe
	case tracker.StateReplicate:
		return core.Replicate
	case tracker.StateSnapshot:
		return core.Snapshotting
	default:
		panic(fmt.Sprintf("a state %d", s))
	}
}

func toBasicStatus(s raft.BasicStatus) core.BasicStatus {
	return core.BasicStatus{
		ID: s.ID, HardState: core.HardState{Term: s.Term, Vote: s.Vote, Commit: s.Commit},
		SoftState: toSoftState(s.SoftState), Applied: s.Applied, LeadTransferee: s.LeadTransferee,
	}
}

func sorted(servers []uint64) []uint64 {
	out := slices.Clone(servers)
	slices.Sort(out)
	return out
}

func keys(servers map[uint64]struct{}) []uint64 {
	var out []uint64
	for id := range servers {
		out = append(out, id)
	}
	slices.Sort(out)
	return out
}
