package main

import (
	"errors"
	"math"
	"slices"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/confchange"
	pb "go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"

	"lockstep/targets/etcd-raft/core"
)

// library is this version of etcd's raft.
type library struct{}

func (library) NewStorage(conf core.ConfState) core.Storage {
	return &storage{durable{raft.NewMemoryStorage(), fromConfState(conf)}}
}

func (library) NewNode(c core.NodeConfig, s core.Storage) (core.Node, error) {
	raw, err := raft.NewRawNode(&raft.Config{
		ID:                          c.ID,
		ElectionTick:                c.ElectionTick,
		HeartbeatTick:               c.HeartbeatTick,
		Storage:                     &s.(*storage).durable,
		Applied:                     c.Applied,
		MaxSizePerMsg:               c.MaxSizePerMsg,
		MaxCommittedSizePerReady:    c.MaxCommittedSizePerReady,
		MaxUncommittedEntriesSize:   c.MaxUncommittedEntriesSize,
		MaxInflightMsgs:             c.MaxInflightMsgs,
		CheckQuorum:                 c.CheckQuorum,
		PreVote:                     c.PreVote,
		AsyncStorageWrites:          c.AsyncStorageWrites,
		ReadOnlyOption:              readOnly(c.LeaseBasedReads),
		DisableProposalForwarding:   c.DisableProposalForwarding,
		StepDownOnRemoval:           c.StepDownOnRemoval,
		DisableConfChangeValidation: c.DisableConfChangeValidation,
		Logger:                      core.Silent{},
	})
	if err != nil {
		return nil, err
	}
	return &node{raw: raw}, nil
}

func readOnly(leaseBased bool) raft.ReadOnlyOption {
	if leaseBased {
		return raft.ReadOnlyLeaseBased
	}
	return raft.ReadOnlySafe
}

func (library) EncodeChange(change core.ConfChange) []byte {
	v2 := fromConfChange(change)
	return must(v2.Marshal())
}

func (library) DecodeChange(kind core.EntryType, data []byte) (core.ConfChange, error) {
	if pb.EntryType(kind) == pb.EntryConfChange {
		var v1 pb.ConfChange
		err := v1.Unmarshal(data)
		return toConfChange(v1.AsV2()), err
	}
	var v2 pb.ConfChangeV2
	err := v2.Unmarshal(data)
	return toConfChange(v2), err
}

func (library) Fits(conf core.ConfState, change core.ConfChange) bool {
	changer := confchange.Changer{Tracker: tracker.MakeProgressTracker(1, 0), LastIndex: 1}
	var err error
	if changer.Tracker.Config, changer.Tracker.Progress, err = confchange.Restore(changer, fromConfState(conf)); err != nil {
		return false
	}
	v2 := fromConfChange(change)
	if autoLeave, joint := v2.EnterJoint(); v2.LeaveJoint() {
		_, _, err = changer.LeaveJoint()
	} else if joint {
		_, _, err = changer.EnterJoint(autoLeave, v2.Changes...)
	} else {
		_, _, err = changer.Simple(v2.Changes...)
	}
	return err == nil
}

func (library) DescribeMessage(m core.Message) string {
	return raft.DescribeMessage(fromMessage(m), nil)
}

func (library) DescribeEntry(e core.Entry) string { return raft.DescribeEntry(fromEntry(e), nil) }

// node is a server, and the last Ready that it gave.
type node struct {
	raw   *raft.RawNode
	ready raft.Ready
}

func (n *node) Campaign() error { return refusal(n.raw.Campaign()) }

func (n *node) Propose(data []byte) error { return refusal(n.raw.Propose(data)) }

func (n *node) ProposeConfChange(change *core.ConfChange) error {
	if change == nil {
		return refusal(n.raw.ProposeConfChange(nil))
	}
	return refusal(n.raw.ProposeConfChange(fromConfChange(*change)))
}

func (n *node) Step(m core.Message) error { return refusal(n.raw.Step(fromMessage(m))) }

func (n *node) Tick() { n.raw.Tick() }

func (n *node) TickQuiesced() { n.raw.TickQuiesced() }

func (n *node) TransferLeader(to uint64) { n.raw.TransferLeader(to) }

func (n *node) ForgetLeader() error { return refusal(n.raw.ForgetLeader()) }

func (n *node) ReadIndex(context []byte) { n.raw.ReadIndex(context) }

func (n *node) ReportUnreachable(server uint64) { n.raw.ReportUnreachable(server) }

func (n *node) ReportSnapshot(server uint64, ok bool) {
	status := raft.SnapshotFailure
	if ok {
		status = raft.SnapshotFinish
	}
	n.raw.ReportSnapshot(server, status)
}

func (n *node) HasReady() bool { return n.raw.HasReady() }

func (n *node) Ready() core.Ready {
	n.ready = n.raw.Ready()
	out := core.Ready{
		HardState:        core.HardState{Term: n.ready.Term, Vote: n.ready.Vote, Commit: n.ready.Commit},
		ReadStates:       each(n.ready.ReadStates, toReadState),
		Entries:          each(n.ready.Entries, toEntry),
		CommittedEntries: each(n.ready.CommittedEntries, toEntry),
		Messages:         each(n.ready.Messages, toMessage),
		MustSync:         n.ready.MustSync,
	}
	if n.ready.SoftState != nil {
		soft := toSoftState(*n.ready.SoftState)
		out.SoftState = &soft
	}
	if !raft.IsEmptySnap(n.ready.Snapshot) {
		out.Snapshot = toSnapshot(&n.ready.Snapshot)
	}
	return out
}

func (n *node) Advance() { n.raw.Advance(n.ready) }

func (n *node) ApplyConfChange(change core.ConfChange) core.ConfState {
	return toConfState(*n.raw.ApplyConfChange(fromConfChange(change)))
}

func (n *node) BasicStatus() core.BasicStatus { return toBasicStatus(n.raw.BasicStatus()) }

func (n *node) Status() core.Status {
	status := n.raw.Status()
	out := core.Status{
		BasicStatus: toBasicStatus(status.BasicStatus),
		Config: core.ConfState{
			Voters:         status.Config.Voters[0].Slice(),
			VotersOutgoing: status.Config.Voters[1].Slice(),
			Learners:       keys(status.Config.Learners),
			LearnersNext:   keys(status.Config.LearnersNext),
			AutoLeave:      status.Config.AutoLeave,
		},
	}
	for id, pr := range status.Progress {
		out.Progress = append(out.Progress, core.Progress{
			ID: id, Match: pr.Match, Next: pr.Next, PendingSnapshot: pr.PendingSnapshot,
			State: toProgressState(pr.State), Paused: pr.IsPaused(), RecentActive: pr.RecentActive,
			IsLearner: pr.IsLearner, Inflight: pr.Inflights.Count(),
		})
	}
	slices.SortFunc(out.Progress, func(a, b core.Progress) int { return int(a.ID) - int(b.ID) })
	return out
}

// durable is the library's own storage, with the configuration that the application uses: the log starts empty.
type durable struct {
	*raft.MemoryStorage
	conf pb.ConfState
}

func (d *durable) InitialState() (pb.HardState, pb.ConfState, error) {
	hard, _, err := d.MemoryStorage.InitialState()
	return hard, d.conf, err
}

// storage shows it to the application.
type storage struct{ durable durable }

func (s *storage) HardState() core.HardState {
	hard, _, err := s.durable.InitialState()
	check(err)
	return core.HardState{Term: hard.Term, Vote: hard.Vote, Commit: hard.Commit}
}

func (s *storage) SetHardState(hard core.HardState) {
	check(s.durable.SetHardState(pb.HardState{Term: hard.Term, Vote: hard.Vote, Commit: hard.Commit}))
}

func (s *storage) ConfState() core.ConfState { return toConfState(s.durable.conf) }

func (s *storage) SetConfState(conf core.ConfState) { s.durable.conf = fromConfState(conf) }

func (s *storage) Term(index uint64) (uint64, bool) {
	term, err := s.durable.Term(index)
	return term, err == nil
}

func (s *storage) FirstIndex() uint64 { return must(s.durable.FirstIndex()) }

func (s *storage) LastIndex() uint64 { return must(s.durable.LastIndex()) }

func (s *storage) Entries() []core.Entry {
	first, last := s.FirstIndex(), s.LastIndex()
	if last < first {
		return nil
	}
	return each(must(s.durable.Entries(first, last+1, math.MaxUint64)), toEntry)
}

func (s *storage) Append(entries []core.Entry) {
	check(s.durable.Append(each(entries, fromEntry)))
}

func (s *storage) Snapshot() core.Snapshot {
	snapshot := must(s.durable.Snapshot())
	return *toSnapshot(&snapshot)
}

func (s *storage) ApplySnapshot(snapshot core.Snapshot) {
	check(s.durable.ApplySnapshot(*fromSnapshot(&snapshot)))
	s.SetConfState(snapshot.ConfState)
}

func (s *storage) Compact(index uint64, data []byte) {
	must(s.durable.CreateSnapshot(index, &s.durable.conf, data))
	check(s.durable.Compact(index))
}

// refusal names the errors that the library returns to its caller. It panics at any other one.
func refusal(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, raft.ErrProposalDropped):
		return core.ProposalDropped
	case errors.Is(err, raft.ErrStepPeerNotFound):
		return core.UnknownPeer
	case errors.Is(err, raft.ErrStepLocalMsg):
		return core.LocalMessage
	default:
		panic(err)
	}
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func must[T any](value T, err error) T {
	check(err)
	return value
}
