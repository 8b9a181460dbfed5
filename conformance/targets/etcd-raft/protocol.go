package main

import (
	"encoding/json"
	"fmt"
	"strconv"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"
)

// Replies are built by hand, because every step carries a whole view and reflection would dominate the time
// of a step.

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
		if e.Index != first+uint64(i) {
			return line, fmt.Errorf("entry at index %d that says otherwise: %s", first+uint64(i), raft.DescribeEntry(*e, nil))
		}
		if i > 0 {
			line = append(line, ',')
		}
		var err error
		if line, err = appendEntry(line, e); err != nil {
			return line, err
		}
	}
	return append(line, ']'), nil
}

// appendEntry writes an entry without its index.
func appendEntry(line []byte, e *pb.Entry) ([]byte, error) {
	if e.Type != pb.EntryNormal {
		return line, fmt.Errorf("entry that the vocabulary cannot express: %s", raft.DescribeEntry(*e, nil))
	}
	line = append(line, `{"term":`...)
	line = strconv.AppendUint(line, e.Term, 10)
	if len(e.Data) == 0 {
		return append(line, `,"payload":"empty"}`...), nil
	}
	line = append(line, `,"payload":{"value":`...)
	line = append(line, e.Data...)
	return append(line, "}}"...), nil
}

func appendReplyHead(line []byte, r request) []byte {
	line = append(line, `{"op":"`...)
	line = append(line, r.op...)
	line = append(line, '"')
	return appendNumber(line, "session", r.session)
}

func appendDescription(line []byte, version string, async bool) []byte {
	name := "etcd-raft"
	fields := []string{
		"role", "term", "vote", "leader", "log", "commit", "applied", "match", "next", "progress_state",
		"paused", "recent_active", "inflight_count", "durable", "outcome", "messages", "handed",
	}
	derived := map[string]string{
		"log": "the library shows only what it has stored: this is the durable log once more",
	}
	if async {
		name = "etcd-raft-async"
		fields = append(fields, "after_persist")
	}
	text, err := json.Marshal(map[string]any{
		"op": "describe", "protocol": protocolVersion, "name": name, "version": version,
		"features": []string{"pre_vote", "check_quorum", "one_entry_per_append"}, "fields": fields,
		"derived": derived,
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
