package core

import (
	"encoding/json"
	"fmt"
	"testing"
)

// fakeLibrary encodes changes as JSON, and does nothing else: the tests here are about what does not need the
// library. Those that do are in the modules of its versions.
type fakeLibrary struct{ Library }

func (fakeLibrary) EncodeChange(change ConfChange) []byte {
	text, err := json.Marshal(change)
	if err != nil {
		panic(err)
	}
	return text
}

func (fakeLibrary) DecodeChange(_ EntryType, data []byte) (change ConfChange, err error) {
	if len(data) > 0 {
		err = json.Unmarshal(data, &change)
	}
	return change, err
}

func (fakeLibrary) DescribeEntry(e Entry) string { return fmt.Sprint(e) }

func (fakeLibrary) DescribeMessage(m Message) string { return fmt.Sprint(m) }

// fakeNode has a status and nothing else.
type fakeNode struct {
	Node
	status Status
}

func (n *fakeNode) BasicStatus() BasicStatus { return n.status.BasicStatus }

// fakeStorage has one entry and a configuration.
type fakeStorage struct {
	Storage
	entry Entry
	conf  ConfState
}

func (s *fakeStorage) Term(index uint64) (uint64, bool) { return s.entry.Term, index == s.entry.Index }

func (s *fakeStorage) LastIndex() uint64 { return s.entry.Index }

func (s *fakeStorage) ConfState() ConfState { return s.conf }

// leader is server 1 of two, which leads with one entry in its log, and was told all of it.
func leader() *server {
	conf := ConfState{Voters: []uint64{1, 2}}
	hard, soft := HardState{Term: 1, Vote: 1}, SoftState{Lead: 1, Role: Leader}
	return &server{
		id: 1, library: fakeLibrary{}, storage: &fakeStorage{entry: Entry{Index: 1, Term: 1}, conf: conf},
		node: &fakeNode{status: Status{
			BasicStatus: BasicStatus{ID: 1, HardState: hard, SoftState: soft}, Config: conf,
			Progress: []Progress{
				{ID: 1, Match: 1, Next: 2, State: Replicate, RecentActive: true}, {ID: 2, Next: 1},
			},
		}},
		application: application{soft: soft, hard: hard},
	}
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

func mustPanic(t *testing.T, expected string, call func()) {
	t.Helper()
	if found := complaint(call); (expected == "") != (found == "") || !contains(found, expected) {
		t.Errorf("expected a complaint about %q, found %q", expected, found)
	}
}
