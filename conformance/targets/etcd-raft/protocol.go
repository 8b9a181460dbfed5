package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"
)

// The JSON of the protocol: requests are decoded by encoding/json; replies are built by hand, because
// every step carries a whole view and reflection would dominate the time of a step.

type request struct {
	Op       string   `json:"op"`
	Protocol int      `json:"protocol"`
	Session  uint64   `json:"session"`
	Servers  []uint64 `json:"servers"`
	Config   *config  `json:"config"`
	Inputs   []step   `json:"inputs"`
}

// step is an input and the server that gets it.
type step struct {
	Server uint64
	Input  input
}

func (s *step) UnmarshalJSON(text []byte) error {
	pair := []any{&s.Server, &s.Input}
	if err := json.Unmarshal(text, &pair); err != nil {
		return err
	}
	if len(pair) != 2 || s.Server == raft.None {
		return errors.New("expected a server and an input")
	}
	return nil
}

type config struct {
	Servers           uint64 `json:"servers"`
	PreVote           bool   `json:"pre_vote"`
	CheckQuorum       bool   `json:"check_quorum"`
	OneEntryPerAppend bool   `json:"one_entry_per_append"`
	MaxInflight       int    `json:"max_inflight"`
}

// input is what happens to a server. Kind is the name of the variant.
type input struct {
	Kind    string
	Value   uint64
	Message message
}

func (in *input) UnmarshalJSON(text []byte) error {
	name, content, err := variant(text)
	if err != nil {
		return err
	}
	in.Kind = name
	switch name {
	case "propose":
		return json.Unmarshal(content, &in.Value)
	case "deliver":
		return json.Unmarshal(content, &in.Message)
	}
	return nil
}

type message struct {
	From uint64 `json:"from"`
	To   uint64 `json:"to"`
	Term uint64 `json:"term"`
	Body body   `json:"body"`
}

type body struct {
	Kind      string
	LastIndex uint64  `json:"last_index"`
	LastTerm  uint64  `json:"last_term"`
	PrevIndex uint64  `json:"prev_index"`
	PrevTerm  uint64  `json:"prev_term"`
	Index     uint64  `json:"index"`
	Commit    uint64  `json:"commit"`
	Granted   bool    `json:"granted"`
	Entries   []entry `json:"entries"`
	Rejected  *hint   `json:"rejected"`
}

type hint struct {
	Index uint64 `json:"index"`
	Term  uint64 `json:"term"`
}

type entry struct {
	Term    uint64  `json:"term"`
	Payload payload `json:"payload"`
}

// payload is the data of an entry: nil, or the decimal digits of a value.
type payload []byte

func (b *body) UnmarshalJSON(text []byte) error {
	name, content, err := variant(text)
	if err != nil {
		return err
	}
	if content != nil {
		type plain body // without this method, so that decoding does not recur
		if err := json.Unmarshal(content, (*plain)(b)); err != nil {
			return err
		}
	}
	b.Kind = name
	return nil
}

func (p *payload) UnmarshalJSON(text []byte) error {
	name, content, err := variant(text)
	if err != nil {
		return err
	}
	switch name {
	case "empty":
		*p = nil
	case "value":
		*p = append([]byte(nil), content...)
	default:
		return fmt.Errorf("unknown payload %q", name)
	}
	return nil
}

// variant splits the JSON form of a sum type: "name", or {"name": content}.
func variant(text []byte) (name string, content []byte, err error) {
	if len(text) > 0 && text[0] == '"' {
		err = json.Unmarshal(text, &name)
		return name, nil, err
	}
	var object map[string]json.RawMessage
	if err := json.Unmarshal(text, &object); err != nil {
		return "", nil, err
	}
	if len(object) != 1 {
		return "", nil, errors.New("expected an object with one key")
	}
	for name, content := range object {
		return name, content, nil
	}
	panic("unreachable: the map has one key")
}

// toRaft is the raftpb form of a message.
func (m message) toRaft() (pb.Message, error) {
	out := pb.Message{From: m.From, To: m.To, Term: m.Term}
	b := m.Body
	switch b.Kind {
	case "request_vote", "request_pre_vote":
		out.Type = pb.MsgVote
		if b.Kind == "request_pre_vote" {
			out.Type = pb.MsgPreVote
		}
		out.Index, out.LogTerm = b.LastIndex, b.LastTerm
	case "request_vote_response", "request_pre_vote_response":
		out.Type = pb.MsgVoteResp
		if b.Kind == "request_pre_vote_response" {
			out.Type = pb.MsgPreVoteResp
		}
		out.Reject = !b.Granted
	case "append_entries":
		out.Type = pb.MsgApp
		out.Index, out.LogTerm, out.Commit = b.PrevIndex, b.PrevTerm, b.Commit
		for i, e := range b.Entries {
			out.Entries = append(out.Entries, pb.Entry{
				Term: e.Term, Index: b.PrevIndex + 1 + uint64(i), Data: e.Payload,
			})
		}
	case "append_entries_response":
		out.Type = pb.MsgAppResp
		out.Index = b.Index
		if b.Rejected != nil {
			out.Reject = true
			out.RejectHint, out.LogTerm = b.Rejected.Index, b.Rejected.Term
		}
	case "heartbeat":
		out.Type = pb.MsgHeartbeat
		out.Commit = b.Commit
	case "heartbeat_response":
		out.Type = pb.MsgHeartbeatResp
	default:
		return pb.Message{}, fmt.Errorf("unknown message %q", b.Kind)
	}
	return out, nil
}

// appendMessage writes a message that the library sent. It fails if a field is set that the vocabulary
// leaves out: such a message says something that would be lost.
func appendMessage(line []byte, m *pb.Message) ([]byte, error) {
	rest := *m
	line = append(line, `{"from":`...)
	line = strconv.AppendUint(line, m.From, 10)
	line = appendNumber(line, "to", m.To)
	line = appendNumber(line, "term", m.Term)
	line = append(line, `,"body":`...)
	switch m.Type {
	case pb.MsgVote, pb.MsgPreVote:
		line = append(line, named(m.Type == pb.MsgVote, `{"request_vote":{"last_index":`, `{"request_pre_vote":{"last_index":`)...)
		line = strconv.AppendUint(line, m.Index, 10)
		line = appendNumber(line, "last_term", m.LogTerm)
		line = append(line, "}}"...)
		rest.Index, rest.LogTerm = 0, 0
	case pb.MsgVoteResp, pb.MsgPreVoteResp:
		line = append(line, named(m.Type == pb.MsgVoteResp, `{"request_vote_response":{"granted":`, `{"request_pre_vote_response":{"granted":`)...)
		line = strconv.AppendBool(line, !m.Reject)
		line = append(line, "}}"...)
		rest.Reject = false
	case pb.MsgApp:
		line = append(line, `{"append_entries":{"prev_index":`...)
		line = strconv.AppendUint(line, m.Index, 10)
		line = appendNumber(line, "prev_term", m.LogTerm)
		line = append(line, `,"entries":`...)
		var err error
		if line, err = appendEntries(line, m.Entries, m.Index+1); err != nil {
			return line, err
		}
		line = appendNumber(line, "commit", m.Commit)
		line = append(line, "}}"...)
		rest.Index, rest.LogTerm, rest.Commit, rest.Entries = 0, 0, 0, nil
	case pb.MsgAppResp:
		line = append(line, `{"append_entries_response":{"index":`...)
		line = strconv.AppendUint(line, m.Index, 10)
		line = append(line, `,"rejected":`...)
		if m.Reject {
			line = append(line, `{"index":`...)
			line = strconv.AppendUint(line, m.RejectHint, 10)
			line = appendNumber(line, "term", m.LogTerm)
			line = append(line, '}')
			rest.Reject, rest.RejectHint, rest.LogTerm = false, 0, 0
		} else {
			line = append(line, "null"...)
		}
		line = append(line, "}}"...)
		rest.Index = 0
	case pb.MsgHeartbeat:
		line = append(line, `{"heartbeat":{"commit":`...)
		line = strconv.AppendUint(line, m.Commit, 10)
		line = append(line, "}}"...)
		rest.Commit = 0
	case pb.MsgHeartbeatResp:
		line = append(line, `"heartbeat_response"`...)
	default:
		return line, fmt.Errorf("sent a %s, which the vocabulary does not have", m.Type)
	}
	if !isEmpty(&rest) {
		return line, fmt.Errorf("sent a message with a field that the vocabulary does not have: %s",
			raft.DescribeMessage(*m, nil))
	}
	return append(line, '}'), nil
}

// isEmpty tells whether no field of a message is set but its type, sender, recipient and term.
func isEmpty(m *pb.Message) bool {
	return m.Index|m.LogTerm|m.Commit|m.Vote|m.RejectHint == 0 && !m.Reject && m.Snapshot == nil &&
		len(m.Entries) == 0 && len(m.Context) == 0 && len(m.Responses) == 0
}

func appendEntries(line []byte, entries []pb.Entry, first uint64) ([]byte, error) {
	line = append(line, '[')
	for i := range entries {
		e := &entries[i]
		if e.Index != first+uint64(i) || e.Type != pb.EntryNormal {
			return line, fmt.Errorf("entry that the vocabulary cannot express: %s", raft.DescribeEntry(*e, nil))
		}
		if i > 0 {
			line = append(line, ',')
		}
		line = append(line, `{"term":`...)
		line = strconv.AppendUint(line, e.Term, 10)
		if len(e.Data) == 0 {
			line = append(line, `,"payload":"empty"}`...)
		} else {
			line = append(line, `,"payload":{"value":`...)
			line = append(line, e.Data...)
			line = append(line, "}}"...)
		}
	}
	return append(line, ']'), nil
}

func appendReplyHead(line []byte, r request) []byte {
	line = append(line, `{"op":"`...)
	line = append(line, r.Op...)
	line = append(line, '"')
	return appendNumber(line, "session", r.Session)
}

func appendDescription(line []byte, version string, async bool) []byte {
	name := "etcd-raft"
	fields := []string{
		"role", "term", "vote", "leader", "log", "commit", "applied", "match", "next", "progress_state",
		"paused", "recent_active", "inflight_count", "durable", "outcome", "messages",
	}
	if async {
		name = "etcd-raft-async"
		fields = append(fields, "after_persist")
	}
	text, err := json.Marshal(map[string]any{
		"op": "describe", "protocol": protocolVersion, "name": name, "version": version,
		"features": []string{"pre_vote", "check_quorum", "one_entry_per_append"}, "fields": fields,
	})
	if err != nil {
		panic(err) // strings and numbers always have a JSON form
	}
	return append(line, text...)
}

func appendNumber(line []byte, name string, value uint64) []byte {
	line = append(line, ',', '"')
	line = append(line, name...)
	line = append(line, '"', ':')
	return strconv.AppendUint(line, value, 10)
}

// appendServer writes the name of a server, or null for none.
func appendServer(line []byte, name string, id uint64) []byte {
	if id == raft.None {
		line = append(line, ',', '"')
		line = append(line, name...)
		return append(line, `":null`...)
	}
	return appendNumber(line, name, id)
}

func appendPeer(line []byte, id uint64, pr *tracker.Progress) []byte {
	line = append(line, '"')
	line = strconv.AppendUint(line, id, 10)
	line = append(line, `":{"match":`...)
	line = strconv.AppendUint(line, pr.Match, 10)
	line = appendNumber(line, "next", pr.Next)
	line = append(line, `,"state":"`...)
	switch pr.State {
	case tracker.StateProbe:
		line = append(line, "probe"...)
	case tracker.StateReplicate:
		line = append(line, "replicate"...)
	case tracker.StateSnapshot:
		line = append(line, "snapshot"...)
	}
	line = append(line, `","paused":`...)
	line = strconv.AppendBool(line, pr.IsPaused())
	line = append(line, `,"recent_active":`...)
	line = strconv.AppendBool(line, pr.RecentActive)
	line = appendNumber(line, "inflight_count", uint64(pr.Inflights.Count()))
	return append(line, '}')
}

func named(first bool, a, b string) string {
	if first {
		return a
	}
	return b
}

// appendText writes an object with one text.
func appendText(line []byte, name, text string) []byte {
	quoted, err := json.Marshal(text)
	if err != nil {
		panic(err) // text always has a JSON form
	}
	line = append(line, `{"`...)
	line = append(line, name...)
	line = append(line, `":`...)
	line = append(line, quoted...)
	return append(line, '}')
}
