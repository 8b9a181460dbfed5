package main

import (
	"fmt"
	"strings"
	"testing"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
)

// started is a server of two that has not been given anything.
func started(t *testing.T) *server {
	one, err := newServer(1, config{servers: 2, maxInflight: 1}, false)
	if err != nil {
		t.Fatal(err)
	}
	return one
}

// complaint is what panics with.
func complaint(call func()) (text string) {
	defer func() {
		if cause := recover(); cause != nil {
			text = fmt.Sprint(cause)
		}
	}()
	call()
	return ""
}

// A Ready that contradicts the state of the server, or what was said before, is found out.
func TestEveryContradictionIsFoundOut(t *testing.T) {
	for what, tamper := range map[string]func(*raft.Ready){
		"":                          func(*raft.Ready) {},
		"Ready.SoftState is":        func(r *raft.Ready) { r.SoftState = nil },
		"Ready.HardState is {1 1 1": func(r *raft.Ready) { r.HardState.Commit = 1 },
		"Ready.HardState is {0":     func(r *raft.Ready) { r.HardState = pb.HardState{} },
		"Ready.MustSync":            func(r *raft.Ready) { r.MustSync = false },
		"Ready.ReadStates":          func(r *raft.Ready) { r.ReadStates = make([]raft.ReadState, 1) },
		"Ready.Snapshot":            func(r *raft.Ready) { r.Snapshot.Metadata.Index = 1 },
		"an entry to be stored is":  func(r *raft.Ready) { r.Entries = []pb.Entry{{Index: 1, Term: 1}} },
	} {
		one := started(t)
		if err := one.storage.Append([]pb.Entry{{Index: 1, Term: 1}}); err != nil {
			t.Fatal(err)
		}
		if err := one.node.Campaign(); err != nil {
			t.Fatal(err)
		}
		ready := one.node.Ready()
		tamper(&ready)
		found := complaint(func() { one.hear(ready) })
		if !strings.Contains(found, what) || (what == "") != (found == "") {
			t.Errorf("expected a complaint about %q, found %q", what, found)
		}
	}
}

// What is handed out must be stored.
func TestWhatIsHandedOutIsStored(t *testing.T) {
	one := started(t)
	found := complaint(func() { one.hand([]pb.Entry{{Index: 1, Term: 1}}) })
	if !strings.Contains(found, "stored when it is handed out") {
		t.Error(found)
	}
}
