package core

import "testing"

// writing is a leader with asynchronous storage that has handed over these writes.
func writing(writes ...Message) *server {
	one := leader()
	one.config.asyncStorage = true
	for _, m := range writes {
		one.application.outstanding.append(m)
	}
	return one
}

// A write that storage acknowledges otherwise than it was asked for is found out.
func TestEveryContradictionOfAWriteIsFoundOut(t *testing.T) {
	snapshot := func() *Snapshot { return &Snapshot{Index: 2, Data: snapshotData(2)} }
	for what, tamper := range map[string]func(write, acknowledgement *Message){
		"":                                func(_, _ *Message) {},
		"who acknowledges":                func(_, a *Message) { a.From = 1 },
		"to whom":                         func(_, a *Message) { a.To = 2 },
		"a snapshot that is":              func(_, a *Message) { a.Snapshot = nil },
		"the snapshot that is":            func(_, a *Message) { a.Snapshot.Index = 1 },
		"says no more":                    func(_, a *Message) { a.Commit = 1 },
		"entry at index 4 that":           func(w, _ *Message) { w.Entries = []Entry{{Index: 3}, {Index: 5}} },
		"sent a message of server 2":      func(w, _ *Message) { w.Responses[0].From = 2 },
		"which no application made":       func(w, _ *Message) { w.Snapshot.Data = nil },
		"that the vocabulary does not ha": func(w, _ *Message) { w.Responses[0].Context = []byte("7") },
	} {
		acknowledgement := Message{Type: MsgStorageAppendResp, From: AppendThread, To: 1, Term: 1, Snapshot: snapshot()}
		write := Message{Term: 1, Snapshot: snapshot(), Responses: []Message{{Type: MsgAppResp, From: 1, To: 2}}}
		tamper(&write, &acknowledgement)
		write.Responses = append(write.Responses, acknowledgement)
		mustPanic(t, what, func() { writing().appendWrite(nil, &write) })
	}
}

// A snapshot takes the place of what is to be applied, and the last one is what the log begins with.
func TestASnapshotTakesThePlaceOfApplies(t *testing.T) {
	one := writing()
	one.application.outstanding.apply(Message{Entries: []Entry{{Index: 1}}})
	one.application.outstanding.append(Message{Entries: []Entry{{Index: 2}}})
	if o := &one.application.outstanding; len(o.applies) != 1 || o.snapshot() != nil {
		t.Errorf("%+v", o)
	}
	conf := ConfState{Voters: []uint64{3}}
	one.application.outstanding.append(Message{Snapshot: &Snapshot{Index: 4, ConfState: conf}})
	one.application.outstanding.append(Message{Entries: []Entry{{Index: 5}}})
	if o := &one.application.outstanding; len(o.applies) != 0 || o.snapshot().Index != 4 || !one.conf().equal(conf) {
		t.Errorf("%+v", o)
	}
}

// A refused read is told by who could be asked.
func TestAReadIsRefusedWhereNobodyCanBeAsked(t *testing.T) {
	for _, it := range []struct {
		soft    SoftState
		refusal Refusal
	}{
		{SoftState{Lead: 1, Role: Leader}, ""}, {SoftState{Lead: 2, Role: Follower}, ""},
		{SoftState{Role: Follower}, NoLeader}, {SoftState{Role: Candidate}, NoLeader},
		{SoftState{Role: PreCandidate}, NoLeader},
	} {
		one := leader()
		one.config.reads = readsSafe
		one.node.(*fakeNode).status.SoftState = it.soft
		if found := one.readRefused(); found != it.refusal {
			t.Errorf("%+v: %q", it.soft, found)
		}
	}
}
