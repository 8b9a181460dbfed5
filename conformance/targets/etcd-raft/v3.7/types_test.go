package main

import (
	"reflect"
	"testing"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"

	"lockstep/targets/etcd-raft/core"
)

// A field that the library gains would be lost on the way: each type has as many as its translation knows.
func TestEveryFieldIsKnown(t *testing.T) {
	for of, expected := range map[reflect.Type]int{
		reflect.TypeFor[pb.Message]():          14,
		reflect.TypeFor[pb.Entry]():            4,
		reflect.TypeFor[pb.Snapshot]():         2,
		reflect.TypeFor[pb.SnapshotMetadata](): 3,
		reflect.TypeFor[pb.ConfState]():        5,
		reflect.TypeFor[pb.ConfChangeV2]():     3,
		reflect.TypeFor[pb.ConfChangeSingle](): 2,
		reflect.TypeFor[pb.HardState]():        3,
		reflect.TypeFor[raft.SoftState]():      2,
		reflect.TypeFor[raft.Ready]():          8,
		reflect.TypeFor[raft.ReadState]():      2,
		reflect.TypeFor[raft.BasicStatus]():    5,
		reflect.TypeFor[raft.Status]():         3,
		reflect.TypeFor[tracker.Config]():      4,
		reflect.TypeFor[tracker.Progress]():    8,
	} {
		found := 0
		for i := range of.NumField() {
			if of.Field(i).IsExported() {
				found++
			}
		}
		if found != expected {
			t.Errorf("%s has %d fields, and %d are known", of, found, expected)
		}
	}
}

// fill gives every field another value than zero.
func fill(v reflect.Value, depth int) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), depth)
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), depth)
	case reflect.Slice:
		if depth > 0 {
			v.Set(reflect.MakeSlice(v.Type(), 2, 2))
			fill(v.Index(0), depth-1)
			fill(v.Index(1), depth-1)
		}
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int32:
		v.SetInt(1)
	default:
		v.SetUint(7)
	}
}

func comesBack[T any](t *testing.T, roundTrip func(T) T) {
	var value T
	fill(reflect.ValueOf(&value).Elem(), 3)
	if found := roundTrip(value); !reflect.DeepEqual(found, value) {
		t.Errorf("%+v became %+v", value, found)
	}
}

func TestEveryFieldIsTranslated(t *testing.T) {
	comesBack(t, func(m core.Message) core.Message { return toMessage(fromMessage(m)) })
	comesBack(t, func(e core.Entry) core.Entry { return toEntry(fromEntry(e)) })
	comesBack(t, func(s core.Snapshot) core.Snapshot { return *toSnapshot(fromSnapshot(&s)) })
	comesBack(t, func(c core.ConfState) core.ConfState { return toConfState(fromConfState(c)) })
	comesBack(t, func(c core.ConfChange) core.ConfChange { return toConfChange(fromConfChange(c)) })
	comesBack(t, func(c core.ConfChange) core.ConfChange {
		found, err := library{}.DecodeChange(core.EntryConfChangeV2, library{}.EncodeChange(c))
		if err != nil {
			t.Error(err)
		}
		return found
	})
}

func TestTheNumbersAreThoseOfTheLibrary(t *testing.T) {
	for found, expected := range map[pb.MessageType]core.MessageType{
		pb.MsgProp: core.MsgProp, pb.MsgApp: core.MsgApp, pb.MsgAppResp: core.MsgAppResp, pb.MsgVote: core.MsgVote,
		pb.MsgVoteResp: core.MsgVoteResp, pb.MsgSnap: core.MsgSnap, pb.MsgHeartbeat: core.MsgHeartbeat,
		pb.MsgHeartbeatResp: core.MsgHeartbeatResp, pb.MsgTransferLeader: core.MsgTransferLeader,
		pb.MsgTimeoutNow: core.MsgTimeoutNow, pb.MsgPreVote: core.MsgPreVote, pb.MsgPreVoteResp: core.MsgPreVoteResp,
		pb.MsgReadIndex: core.MsgReadIndex, pb.MsgReadIndexResp: core.MsgReadIndexResp,
		pb.MsgStorageAppendResp: core.MsgStorageAppendResp,
	} {
		if int32(found) != int32(expected) {
			t.Errorf("%s is %d, not %d", found, found, expected)
		}
	}
	for _, pair := range [][2]int32{
		{int32(pb.EntryNormal), int32(core.EntryNormal)}, {int32(pb.EntryConfChange), int32(core.EntryConfChange)},
		{int32(pb.EntryConfChangeV2), int32(core.EntryConfChangeV2)},
		{int32(pb.ConfChangeTransitionAuto), int32(core.TransitionAuto)},
		{int32(pb.ConfChangeTransitionJointImplicit), int32(core.TransitionImplicit)},
		{int32(pb.ConfChangeTransitionJointExplicit), int32(core.TransitionExplicit)},
		{int32(pb.ConfChangeAddNode), int32(core.AddVoter)}, {int32(pb.ConfChangeRemoveNode), int32(core.Remove)},
		{int32(pb.ConfChangeAddLearnerNode), int32(core.AddLearner)},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%d, not %d", pair[0], pair[1])
		}
	}
	if raft.LocalAppendThread != core.AppendThread || raft.LocalApplyThread != core.ApplyThread || raft.None != core.None {
		t.Error("the threads have other numbers")
	}
}

// Only a change that the library would not panic at is applied.
func TestAChangeFitsOrNot(t *testing.T) {
	simple := core.ConfState{Voters: []uint64{1, 2}}
	joint := core.ConfState{Voters: []uint64{1, 3}, VotersOutgoing: []uint64{1, 2}, AutoLeave: true}
	one := core.ConfChange{Changes: []core.Change{{Type: core.AddVoter, Server: 3}}}
	two := core.ConfChange{Changes: []core.Change{{Type: core.AddVoter, Server: 3}, {Type: core.Remove, Server: 1}}}
	last := core.ConfChange{Changes: []core.Change{{Type: core.Remove, Server: 1}}}
	for _, it := range []struct {
		conf   core.ConfState
		change core.ConfChange
		fits   bool
	}{
		{simple, one, true}, {simple, two, true}, {simple, core.ConfChange{}, false},
		{joint, one, false}, {joint, two, false}, {joint, core.ConfChange{}, true},
		{core.ConfState{Voters: []uint64{1}}, last, false},
	} {
		if (library{}).Fits(it.conf, it.change) != it.fits {
			t.Errorf("%+v at %+v: expected %t", it.change, it.conf, it.fits)
		}
	}
}
