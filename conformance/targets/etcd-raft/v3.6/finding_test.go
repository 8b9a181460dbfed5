package main

import (
	"math"
	"strings"
	"testing"

	"go.etcd.io/raft/v3"

	"lockstep/targets/etcd-raft/core"
)

// The findings in conformance/findings that need no more than one server. If a test here fails, the library was mended:
// note it there.

// leads lets a server that is alone become leader and applies what it commits; it returns the panic of the
// library, if there is one.
func leads(t *testing.T, c core.NodeConfig) (one *node, cause any) {
	defer func() { cause = recover() }()
	c.ID, c.ElectionTick, c.HeartbeatTick, c.MaxInflightMsgs = 1, 10, 1, 1
	store := library{}.NewStorage(core.ConfState{Voters: []uint64{1}})
	made, err := library{}.NewNode(c, store)
	if err != nil {
		t.Fatal(err)
	}
	one = made.(*node)
	check(one.Campaign())
	settle(one, store)
	if status := one.BasicStatus(); status.Role != core.Leader || status.Applied != 1 {
		t.Fatalf("it neither leads with one entry applied nor panics: %+v", status)
	}
	return one, nil
}

func settle(one *node, store core.Storage) {
	for one.HasReady() {
		ready := one.Ready()
		store.Append(ready.Entries)
		for _, e := range ready.CommittedEntries {
			if e.Type != core.EntryNormal {
				one.ApplyConfChange(must(library{}.DecodeChange(e.Type, e.Data)))
			}
		}
		one.Advance()
	}
}

// The library panics in a configuration that it documents, and the way round it helps.
func TestZeroMaxSizePerMsgPanicsAtTheFirstCommit(t *testing.T) {
	_, cause := leads(t, core.NodeConfig{MaxSizePerMsg: 0})
	text, _ := cause.(string)
	if expected := "applying entry size (0-0)=0 not positive"; !strings.Contains(text, expected) {
		t.Errorf("expected the panic %q, found %q", expected, text)
	}
	for _, fine := range []core.NodeConfig{
		{MaxSizePerMsg: 0, MaxCommittedSizePerReady: math.MaxUint64},
		{MaxSizePerMsg: 1},
	} {
		if _, cause := leads(t, fine); cause != nil {
			t.Errorf("%+v: %v", fine, cause)
		}
	}
}

// Status().Config has a field AutoLeave, which is false although the joint configuration is one that leaves itself.
func TestTheStatusForgetsAutoLeave(t *testing.T) {
	one, _ := leads(t, core.NodeConfig{MaxSizePerMsg: math.MaxUint64})
	// It cannot be left yet: that takes an entry, and its commit.
	conf := one.ApplyConfChange(core.ConfChange{
		Transition: core.TransitionImplicit, Changes: []core.Change{{Type: core.AddVoter, Server: 2}},
	})
	status := one.Status()
	if !conf.AutoLeave || len(status.Config.VotersOutgoing) != 1 {
		t.Fatalf("it is not joint, or is not left: %+v", conf)
	}
	if status.Config.AutoLeave {
		t.Error("the status says that the configuration leaves itself")
	}
}

var _ raft.Storage = &durable{}
