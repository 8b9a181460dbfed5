package main

import (
	"math"
	"strings"
	"testing"

	"go.etcd.io/raft/v3"
)

// leads lets a server that is alone become leader and applies what it commits; it returns the panic of the
// library, if there is one.
func leads(t *testing.T, c raft.Config) (cause any) {
	defer func() { cause = recover() }()
	store := &storage{MemoryStorage: raft.NewMemoryStorage(), voters: []uint64{1}}
	c.ID, c.ElectionTick, c.HeartbeatTick, c.MaxInflightMsgs = 1, 10, 1, 1
	c.Storage, c.Logger = store, silent{}
	node, err := raft.NewRawNode(&c)
	if err != nil {
		t.Fatal(err)
	}
	one := &server{id: 1, storage: store, node: node}
	if err := node.Campaign(); err != nil {
		t.Fatal(err)
	}
	one.settle()
	if status := node.BasicStatus(); status.RaftState != raft.StateLeader || status.Applied != 1 {
		t.Fatalf("it neither leads with one entry applied nor panics: %+v", status)
	}
	return nil
}

// The finding in conformance/findings: the library panics in a configuration that it documents, and the
// way round it helps. If this fails, the library was mended: note it there.
func TestZeroMaxSizePerMsgPanicsAtTheFirstCommit(t *testing.T) {
	text, _ := leads(t, raft.Config{MaxSizePerMsg: 0}).(string)
	if expected := "applying entry size (0-0)=0 not positive"; !strings.Contains(text, expected) {
		t.Errorf("expected the panic %q, found %q", expected, text)
	}
	for _, fine := range []raft.Config{
		{MaxSizePerMsg: 0, MaxCommittedSizePerReady: math.MaxUint64},
		{MaxSizePerMsg: 1},
	} {
		if cause := leads(t, fine); cause != nil {
			t.Errorf("%+v: %v", fine, cause)
		}
	}
}
