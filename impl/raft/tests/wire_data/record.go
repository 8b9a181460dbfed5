// Record writes what etcd's raftpb makes of messages of every type, for the tests of our wire format.
// See README.md.
package main

import (
	"encoding/hex"
	"fmt"
	"math"
	"math/rand"
	"strings"

	pb "go.etcd.io/raft/v3/raftpb"
)

type marshaler interface{ Marshal() ([]byte, error) }

// record prints a case: name, type, bytes and fields, separated by tabs.
func record(name, typ string, m marshaler, fields string) {
	data, err := m.Marshal()
	if err != nil {
		panic(err)
	}
	fmt.Printf("%s\t%s\t%s\t%s\n", name, typ, hex.EncodeToString(data), fields)
}

func bytesText(b []byte) string {
	if b == nil {
		return "-"
	}
	return "x" + hex.EncodeToString(b)
}

func entryText(e pb.Entry) string {
	return fmt.Sprintf("(%d %d %d %s)", e.Type, e.Term, e.Index, bytesText(e.Data))
}

func confStateText(c pb.ConfState) string {
	return fmt.Sprintf("%v %v %v %v %t", c.Voters, c.Learners, c.VotersOutgoing, c.LearnersNext, c.AutoLeave)
}

func snapshotText(s pb.Snapshot) string {
	m := s.Metadata
	return fmt.Sprintf("(%s %d %d %s)", confStateText(m.ConfState), m.Index, m.Term, bytesText(s.Data))
}

func messageText(m pb.Message) string {
	entries := make([]string, len(m.Entries))
	for i, e := range m.Entries {
		entries[i] = entryText(e)
	}
	responses := make([]string, len(m.Responses))
	for i, r := range m.Responses {
		responses[i] = messageText(r)
	}
	snapshot := "-"
	if m.Snapshot != nil {
		snapshot = snapshotText(*m.Snapshot)
	}
	return fmt.Sprintf("{%d %d %d %d %d %d [%s] %d %s %t %d %s %d [%s]}",
		m.Type, m.To, m.From, m.Term, m.LogTerm, m.Index, strings.Join(entries, " "), m.Commit,
		snapshot, m.Reject, m.RejectHint, bytesText(m.Context), m.Vote, strings.Join(responses, " "))
}

func hardStateText(h pb.HardState) string {
	return fmt.Sprintf("%d %d %d", h.Term, h.Vote, h.Commit)
}

func confChangeText(c pb.ConfChange) string {
	return fmt.Sprintf("%d %d %d %s", c.ID, c.Type, c.NodeID, bytesText(c.Context))
}

func confChangeV2Text(c pb.ConfChangeV2) string {
	changes := make([]string, len(c.Changes))
	for i, s := range c.Changes {
		changes[i] = fmt.Sprintf("(%d %d)", s.Type, s.NodeID)
	}
	return fmt.Sprintf("%d [%s] %s", c.Transition, strings.Join(changes, " "), bytesText(c.Context))
}

// usual records one message of every type with the fields that etcd's raft gives it. The tests write
// the same messages down in our own types, under the same names.
func usual() {
	entries := []pb.Entry{
		{Term: 7, Index: 301, Data: []byte("put x=1")},
		{Type: pb.EntryConfChange, Term: 7, Index: 302, Data: []byte{0x10, 0x01}},
		{Type: pb.EntryConfChangeV2, Term: 8, Index: 303},
	}
	snapshot := &pb.Snapshot{
		Data: []byte("state"),
		Metadata: pb.SnapshotMetadata{
			ConfState: pb.ConfState{
				Voters: []uint64{1, 2, 300}, Learners: []uint64{4}, VotersOutgoing: []uint64{1, 2, 5},
				LearnersNext: []uint64{5}, AutoLeave: true,
			},
			Index: 300, Term: 6,
		},
	}
	read := []pb.Entry{{Data: []byte("read-1")}}
	vote := pb.Message{Type: pb.MsgVoteResp, To: 2, From: 1, Term: 8}
	messages := []struct {
		name string
		pb.Message
	}{
		{"hup", pb.Message{Type: pb.MsgHup}},
		{"beat", pb.Message{Type: pb.MsgBeat}},
		{"propose", pb.Message{Type: pb.MsgProp, Entries: []pb.Entry{{Data: []byte("put x=1")}, {}}}},
		{"append", pb.Message{Type: pb.MsgApp, Term: 8, LogTerm: 6, Index: 300, Entries: entries, Commit: 299}},
		{"append empty", pb.Message{Type: pb.MsgApp, Term: 8, LogTerm: 6, Index: 300, Commit: 300}},
		{"append accepted", pb.Message{Type: pb.MsgAppResp, Term: 8, Index: 303}},
		{"append refused", pb.Message{Type: pb.MsgAppResp, Term: 8, Index: 300, Reject: true, RejectHint: 250, LogTerm: 5}},
		{"append stale", pb.Message{Type: pb.MsgAppResp, Term: 9}},
		{"vote request", pb.Message{Type: pb.MsgVote, Term: 9, LogTerm: 8, Index: 303}},
		{"vote request of a transfer", pb.Message{Type: pb.MsgVote, Term: 9, LogTerm: 8, Index: 303, Context: []byte("CampaignTransfer")}},
		{"vote granted", pb.Message{Type: pb.MsgVoteResp, Term: 9}},
		{"vote refused", pb.Message{Type: pb.MsgVoteResp, Term: 9, Reject: true}},
		{"snapshot", pb.Message{Type: pb.MsgSnap, Term: 8, Snapshot: snapshot}},
		{"heartbeat", pb.Message{Type: pb.MsgHeartbeat, Term: 8, Commit: 303}},
		{"heartbeat of a read", pb.Message{Type: pb.MsgHeartbeat, Term: 8, Commit: 303, Context: []byte("read-1")}},
		{"heartbeat answer", pb.Message{Type: pb.MsgHeartbeatResp, Term: 8}},
		{"heartbeat answer of a read", pb.Message{Type: pb.MsgHeartbeatResp, Term: 8, Context: []byte("read-1")}},
		{"unreachable", pb.Message{Type: pb.MsgUnreachable}},
		{"snapshot failed", pb.Message{Type: pb.MsgSnapStatus, Reject: true}},
		{"snapshot finished", pb.Message{Type: pb.MsgSnapStatus}},
		{"check quorum", pb.Message{Type: pb.MsgCheckQuorum}},
		{"transfer leader", pb.Message{Type: pb.MsgTransferLeader}},
		{"timeout now", pb.Message{Type: pb.MsgTimeoutNow, Term: 8}},
		{"read index", pb.Message{Type: pb.MsgReadIndex, Entries: read}},
		{"read index answer", pb.Message{Type: pb.MsgReadIndexResp, Term: 8, Index: 303, Entries: read}},
		{"pre-vote request", pb.Message{Type: pb.MsgPreVote, Term: 9, LogTerm: 8, Index: 303}},
		{"pre-vote granted", pb.Message{Type: pb.MsgPreVoteResp, Term: 9}},
		{"pre-vote refused", pb.Message{Type: pb.MsgPreVoteResp, Term: 8, Reject: true}},
		{"storage append", pb.Message{Type: pb.MsgStorageAppend, Term: 8, Vote: 2, Commit: 299, Entries: entries, Responses: []pb.Message{vote}}},
		{"storage append of a snapshot", pb.Message{Type: pb.MsgStorageAppend, Snapshot: snapshot}},
		{"storage append answer", pb.Message{Type: pb.MsgStorageAppendResp, Term: 8, LogTerm: 8, Index: 303}},
		{"storage append answer of a snapshot", pb.Message{Type: pb.MsgStorageAppendResp, Term: 8, Snapshot: snapshot}},
		{"storage apply", pb.Message{Type: pb.MsgStorageApply, Entries: entries,
			Responses: []pb.Message{{Type: pb.MsgStorageApplyResp, To: 1, From: math.MaxUint64 - 1, Entries: entries}}}},
		{"storage apply answer", pb.Message{Type: pb.MsgStorageApplyResp, Entries: entries}},
		{"forget leader", pb.Message{Type: pb.MsgForgetLeader}},
	}
	for _, m := range messages {
		m.To, m.From = 2, 1
		record(m.name, "Message", &m.Message, messageText(m.Message))
	}
	largest := pb.Message{
		Type: pb.MsgApp, To: math.MaxUint64, From: math.MaxUint64 - 1, Term: math.MaxUint64,
		LogTerm: math.MaxUint64, Index: math.MaxUint64, Commit: math.MaxUint64,
	}
	record("largest numbers", "Message", &largest, messageText(largest))
}

func parts() {
	for i, h := range []pb.HardState{{}, {Term: 1, Vote: 3, Commit: 2}, {Term: math.MaxUint64, Vote: math.MaxUint64, Commit: math.MaxUint64}} {
		record(fmt.Sprint("hard state ", i), "HardState", &h, hardStateText(h))
	}
	for i, e := range []pb.Entry{{}, {Type: pb.EntryConfChangeV2, Term: 128, Index: 1 << 40}, {Term: 1, Index: 2, Data: make([]byte, 200)}} {
		record(fmt.Sprint("entry ", i), "Entry", &e, entryText(e))
	}
	for i, c := range []pb.ConfState{{}, {Voters: []uint64{1}}, {Voters: []uint64{3, 1, 2}, VotersOutgoing: []uint64{1 << 50}, AutoLeave: true}} {
		record(fmt.Sprint("conf state ", i), "ConfState", &c, confStateText(c))
		s := pb.Snapshot{Metadata: pb.SnapshotMetadata{ConfState: c, Index: uint64(i), Term: uint64(i)}}
		record(fmt.Sprint("snapshot ", i), "Snapshot", &s, snapshotText(s))
	}
	for typ := 0; typ < len(pb.ConfChangeType_name); typ++ {
		t := pb.ConfChangeType(typ)
		c := pb.ConfChange{ID: uint64(typ) * 1000, Type: t, NodeID: 4, Context: []byte("addr:1")}
		record(fmt.Sprint("change ", t), "ConfChange", &c, confChangeText(c))
		v2 := pb.ConfChangeV2{Changes: []pb.ConfChangeSingle{{Type: t, NodeID: 4}, {Type: pb.ConfChangeAddNode, NodeID: 1 << 33}}}
		record(fmt.Sprint("changes ", t), "ConfChangeV2", &v2, confChangeV2Text(v2))
	}
	void := pb.ConfChange{}
	record("change of nobody", "ConfChange", &void, confChangeText(void))
	for typ := 0; typ < len(pb.ConfChangeTransition_name); typ++ {
		t := pb.ConfChangeTransition(typ)
		c := pb.ConfChangeV2{Transition: t}
		record(fmt.Sprint("no change ", t), "ConfChangeV2", &c, confChangeV2Text(c))
	}
	context := pb.ConfChangeV2{Context: []byte("why")}
	record("leave with a context", "ConfChangeV2", &context, confChangeV2Text(context))
}

// arbitrary records messages with any fields, also those that their type does not use.
func arbitrary() {
	r := rand.New(rand.NewSource(1))
	number := func() uint64 {
		switch r.Intn(4) {
		case 0:
			return 0
		case 1:
			return uint64(r.Intn(300))
		case 2:
			return r.Uint64() >> r.Intn(64)
		default:
			return uint64(r.Intn(5))
		}
	}
	data := func() []byte {
		if r.Intn(3) == 0 {
			return nil
		}
		b := make([]byte, r.Intn(20))
		r.Read(b)
		return b
	}
	ids := func() (ids []uint64) {
		for n := r.Intn(4); n > 0; n-- {
			ids = append(ids, 1+number()>>1)
		}
		return
	}
	var message func(typ, depth int) pb.Message
	message = func(typ, depth int) pb.Message {
		m := pb.Message{
			Type: pb.MessageType(typ), To: 1 + number()>>1, From: 1 + number()>>1, Term: number(), LogTerm: number(),
			Index: number(), Commit: number(), Vote: number(), Reject: r.Intn(2) == 0, RejectHint: number(), Context: data(),
		}
		for n := r.Intn(3); n > 0; n-- {
			m.Entries = append(m.Entries, pb.Entry{Type: pb.EntryType(r.Intn(3)), Term: number(), Index: number(), Data: data()})
		}
		if r.Intn(3) == 0 {
			m.Snapshot = &pb.Snapshot{Data: data(), Metadata: pb.SnapshotMetadata{Index: number(), Term: number(), ConfState: pb.ConfState{
				Voters: ids(), Learners: ids(), VotersOutgoing: ids(), LearnersNext: ids(), AutoLeave: r.Intn(2) == 0}}}
		}
		for n := r.Intn(3); n > 0 && depth > 0; n-- {
			m.Responses = append(m.Responses, message(r.Intn(len(pb.MessageType_name)), depth-1))
		}
		return m
	}
	for typ := 0; typ < len(pb.MessageType_name); typ++ {
		for i := 0; i < 4; i++ {
			m := message(typ, 2)
			record(fmt.Sprintf("arbitrary %s %d", m.Type, i), "Message", &m, messageText(m))
		}
	}
}

func main() {
	usual()
	parts()
	arbitrary()
}
