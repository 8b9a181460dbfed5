package main

import (
	"fmt"
	"slices"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"
	"google.golang.org/protobuf/proto"

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

func fromMessage(m core.Message) *pb.Message {
	return &pb.Message{
		Type: pb.MessageType(m.Type).Enum(), To: proto.Uint64(m.To), From: proto.Uint64(m.From),
		Term: proto.Uint64(m.Term), LogTerm: proto.Uint64(m.LogTerm), Index: proto.Uint64(m.Index),
		Entries: each(m.Entries, fromEntry), Commit: proto.Uint64(m.Commit), Vote: proto.Uint64(m.Vote),
		Snapshot: fromSnapshot(m.Snapshot), Reject: proto.Bool(m.Reject), RejectHint: proto.Uint64(m.RejectHint),
		Context: m.Context, Responses: each(m.Responses, fromMessage),
	}
}

func toMessage(m *pb.Message) core.Message {
	return core.Message{
		Type: core.MessageType(m.GetType()), To: m.GetTo(), From: m.GetFrom(), Term: m.GetTerm(),
		LogTerm: m.GetLogTerm(), Index: m.GetIndex(), Entries: each(m.GetEntries(), toEntry), Commit: m.GetCommit(),
		Vote: m.GetVote(), Snapshot: toSnapshot(m.GetSnapshot()), Reject: m.GetReject(),
		RejectHint: m.GetRejectHint(), Context: m.GetContext(), Responses: each(m.GetResponses(), toMessage),
	}
}

func fromEntry(e core.Entry) *pb.Entry {
	return &pb.Entry{
		Type: pb.EntryType(e.Type).Enum(), Term: proto.Uint64(e.Term), Index: proto.Uint64(e.Index), Data: e.Data,
	}
}

func toEntry(e *pb.Entry) core.Entry {
	return core.Entry{Type: core.EntryType(e.GetType()), Term: e.GetTerm(), Index: e.GetIndex(), Data: e.GetData()}
}

func fromSnapshot(s *core.Snapshot) *pb.Snapshot {
	if s == nil {
		return nil
	}
	return &pb.Snapshot{
		Data: s.Data,
		Metadata: &pb.SnapshotMetadata{
			Index: proto.Uint64(s.Index), Term: proto.Uint64(s.Term), ConfState: fromConfState(s.ConfState),
		},
	}
}

func toSnapshot(s *pb.Snapshot) *core.Snapshot {
	if s == nil {
		return nil
	}
	meta := s.GetMetadata()
	return &core.Snapshot{
		Data: s.GetData(), Index: meta.GetIndex(), Term: meta.GetTerm(), ConfState: toConfState(meta.GetConfState()),
	}
}

func fromConfState(c core.ConfState) *pb.ConfState {
	return &pb.ConfState{
		Voters: c.Voters, Learners: c.Learners, VotersOutgoing: c.VotersOutgoing, LearnersNext: c.LearnersNext,
		AutoLeave: proto.Bool(c.AutoLeave),
	}
}

func toConfState(c *pb.ConfState) core.ConfState {
	return core.ConfState{
		Voters: sorted(c.GetVoters()), Learners: sorted(c.GetLearners()), VotersOutgoing: sorted(c.GetVotersOutgoing()),
		LearnersNext: sorted(c.GetLearnersNext()), AutoLeave: c.GetAutoLeave(),
	}
}

func fromConfChange(c core.ConfChange) *pb.ConfChangeV2 {
	change := func(one core.Change) *pb.ConfChangeSingle {
		return &pb.ConfChangeSingle{Type: pb.ConfChangeType(one.Type).Enum(), NodeId: proto.Uint64(one.Server)}
	}
	return &pb.ConfChangeV2{
		Transition: pb.ConfChangeTransition(c.Transition).Enum(), Changes: each(c.Changes, change), Context: c.Context,
	}
}

func toConfChange(c *pb.ConfChangeV2) core.ConfChange {
	change := func(one *pb.ConfChangeSingle) core.Change {
		return core.Change{Type: core.ChangeType(one.GetType()), Server: one.GetNodeId()}
	}
	return core.ConfChange{
		Transition: core.Transition(c.GetTransition()), Changes: each(c.GetChanges(), change), Context: c.GetContext(),
	}
}

func toHardState(s *pb.HardState) core.HardState {
	return core.HardState{Term: s.GetTerm(), Vote: s.GetVote(), Commit: s.GetCommit()}
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
		ID: s.ID, HardState: toHardState(s.HardState),
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
