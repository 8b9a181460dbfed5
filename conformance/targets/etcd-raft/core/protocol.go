package core

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Replies are built by hand, because every step carries a whole view and reflection would dominate the time
// of a step.

// appendMessage writes a message that server `sender` sent. It fails if a field is set that the vocabulary
// leaves out: such a message says something that would be lost.
func appendMessage(line []byte, library Library, m *Message, sender uint64) ([]byte, error) {
	rest := *m
	from := m.From
	if m.Type == MsgTransferLeader || m.Type == MsgProp || m.Type == MsgReadIndex {
		// The one comes in the name of the server that is to lead, the other in that of the server at which it was
		// proposed; nobody looks at the latter. A read comes in the name of the one whose client reads.
		from = sender
	}
	if from != sender {
		return line, fmt.Errorf("server %d sent a message of server %d: %s", sender, from, library.DescribeMessage(*m))
	}
	line = append(line, `{"from":`...)
	line = strconv.AppendUint(line, from, 10)
	line = appendNumber(line, "to", m.To)
	line = appendNumber(line, "term", m.Term)
	line = append(line, `,"body":`...)
	line, err := appendBody(line, library, m, &rest)
	if err != nil {
		return line, err
	}
	if !isEmpty(&rest) {
		return line, fmt.Errorf("sent a message with a field that the vocabulary does not have: %s",
			library.DescribeMessage(*m))
	}
	return append(line, '}'), nil
}

// appendBody writes what a message says, and clears in `rest` what it has written.
func appendBody(line []byte, library Library, m, rest *Message) (_ []byte, err error) {
	switch m.Type {
	case MsgVote, MsgPreVote:
		line = append(line, named(m.Type == MsgVote, `{"request_vote":{"last_index":`, `{"request_pre_vote":{"last_index":`)...)
		line = strconv.AppendUint(line, m.Index, 10)
		line = appendNumber(line, "last_term", m.LogTerm)
		if m.Type == MsgVote && string(m.Context) == CampaignTransfer {
			line = append(line, `,"transfer":true`...)
			rest.Context = nil
		}
		line = append(line, "}}"...)
		rest.Index, rest.LogTerm = 0, 0
	case MsgVoteResp, MsgPreVoteResp:
		line = append(line, named(m.Type == MsgVoteResp, `{"request_vote_response":{"granted":`, `{"request_pre_vote_response":{"granted":`)...)
		line = strconv.AppendBool(line, !m.Reject)
		line = append(line, "}}"...)
		rest.Reject = false
	case MsgApp:
		line = append(line, `{"append_entries":{"prev_index":`...)
		line = strconv.AppendUint(line, m.Index, 10)
		line = appendNumber(line, "prev_term", m.LogTerm)
		line = append(line, `,"entries":`...)
		if line, err = appendEntries(line, library, m.Entries, m.Index+1); err != nil {
			return line, err
		}
		line = appendNumber(line, "commit", m.Commit)
		line = append(line, "}}"...)
		rest.Index, rest.LogTerm, rest.Commit, rest.Entries = 0, 0, 0, nil
	case MsgAppResp:
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
	case MsgHeartbeat:
		line = append(line, `{"heartbeat":{"commit":`...)
		line = strconv.AppendUint(line, m.Commit, 10)
		round, err := contextOf(m.Context)
		if err != nil {
			return line, err
		}
		if round > 0 {
			line = appendNumber(line, "round", round)
		}
		line = append(line, "}}"...)
		rest.Commit, rest.Context = 0, nil
	case MsgHeartbeatResp:
		round, err := contextOf(m.Context)
		if err != nil {
			return line, err
		}
		if round == 0 {
			line = append(line, `"heartbeat_response"`...)
			break
		}
		line = append(line, `{"round_response":{"round":`...)
		line = strconv.AppendUint(line, round, 10)
		line = append(line, "}}"...)
		rest.Context = nil
	case MsgReadIndex, MsgReadIndexResp:
		context, err := readContext(m)
		if err != nil {
			return line, err
		}
		if m.Type == MsgReadIndex {
			line = append(line, `{"read_index":{"origin":`...)
			line = strconv.AppendUint(line, m.From, 10)
		} else {
			line = append(line, `{"read_index_response":{"index":`...)
			line = strconv.AppendUint(line, m.Index, 10)
			rest.Index = 0
		}
		line = appendNumber(line, "context", context)
		line = append(line, "}}"...)
		rest.Entries = nil
	case MsgTimeoutNow:
		line = append(line, `"timeout_now"`...)
	case MsgTransferLeader:
		line = append(line, `{"transfer_leader":{"transferee":`...)
		line = strconv.AppendUint(line, m.From, 10)
		line = append(line, "}}"...)
	case MsgProp:
		line = append(line, `{"propose":{"payloads":[`...)
		for i := range m.Entries {
			if i > 0 {
				line = append(line, ',')
			}
			if m.Entries[i].Index|m.Entries[i].Term != 0 {
				return line, fmt.Errorf("a forwarded proposal has a place in a log: %s", library.DescribeEntry(m.Entries[i]))
			}
			if line, err = appendPayload(line, library, &m.Entries[i]); err != nil {
				return line, err
			}
		}
		line = append(line, "]}}"...)
		rest.Entries = nil
	case MsgSnap:
		if m.Snapshot == nil {
			return line, fmt.Errorf("sent no snapshot: %s", library.DescribeMessage(*m))
		}
		line = append(line, `{"install_snapshot":{"snapshot":`...)
		if line, err = appendSnapshot(line, *m.Snapshot); err != nil {
			return line, err
		}
		line = append(line, "}}"...)
		rest.Snapshot = nil
	default:
		return line, fmt.Errorf("sent what the vocabulary does not have: %s", library.DescribeMessage(*m))
	}
	return line, nil
}

// readContext is the context of a read, which is the data of the only entry of its message.
func readContext(m *Message) (uint64, error) {
	if len(m.Entries) != 1 || m.Entries[0].Index|m.Entries[0].Term != 0 || m.Entries[0].Type != EntryNormal {
		return 0, fmt.Errorf("a read with the entries %v", m.Entries)
	}
	return contextOf(m.Entries[0].Data)
}

// isEmpty tells whether no field of a message is set but its type, sender, recipient and term.
func isEmpty(m *Message) bool {
	return m.Index|m.LogTerm|m.Commit|m.Vote|m.RejectHint == 0 && !m.Reject && m.Snapshot == nil &&
		len(m.Entries) == 0 && len(m.Context) == 0 && len(m.Responses) == 0
}

func appendEntries(line []byte, library Library, entries []Entry, first uint64) ([]byte, error) {
	line = append(line, '[')
	for i := range entries {
		e := &entries[i]
		if e.Index != first+uint64(i) {
			return line, fmt.Errorf("entry at index %d that says otherwise: %s", first+uint64(i), library.DescribeEntry(*e))
		}
		if i > 0 {
			line = append(line, ',')
		}
		var err error
		if line, err = appendEntry(line, library, e); err != nil {
			return line, err
		}
	}
	return append(line, ']'), nil
}

// appendEntry writes an entry without its index.
func appendEntry(line []byte, library Library, e *Entry) ([]byte, error) {
	line = append(line, `{"term":`...)
	line = strconv.AppendUint(line, e.Term, 10)
	line = append(line, `,"payload":`...)
	line, err := appendPayload(line, library, e)
	return append(line, '}'), err
}

// appendPayload writes what an entry carries.
func appendPayload(line []byte, library Library, e *Entry) (_ []byte, err error) {
	foreign := func(err error) ([]byte, error) {
		return line, fmt.Errorf("entry that the vocabulary cannot express: %s (%v)", library.DescribeEntry(*e), err)
	}
	if e.Type != EntryNormal {
		change, err := library.DecodeChange(e.Type, e.Data)
		if err != nil {
			return foreign(err)
		}
		line = append(line, `{"conf_change":`...)
		if line, err = appendChange(line, change); err != nil {
			return foreign(err)
		}
		return append(line, '}'), nil
	}
	if len(e.Data) == 0 {
		return append(line, `"empty"`...), nil
	}
	value, err := valueOf(e.Data)
	if err != nil {
		return foreign(err)
	}
	line = append(line, `{"value":`...)
	line = strconv.AppendUint(line, value, 10)
	return append(line, '}'), nil
}

// appendSnapshot writes a snapshot. It fails if no application made it.
func appendSnapshot(line []byte, s Snapshot) ([]byte, error) {
	if string(s.Data) != string(snapshotData(s.Index)) {
		return line, fmt.Errorf("a snapshot at %d holds %q, which no application made", s.Index, s.Data)
	}
	line = append(line, `{"index":`...)
	line = strconv.AppendUint(line, s.Index, 10)
	line = appendNumber(line, "term", s.Term)
	line = append(line, `,"configuration":`...)
	line = appendConfiguration(line, s.ConfState)
	return append(line, '}'), nil
}

func appendConfiguration(line []byte, c ConfState) []byte {
	line = append(line, `{"voters":`...)
	line = appendServers(line, c.Voters)
	for _, part := range []struct {
		name    string
		servers []uint64
	}{
		{`,"outgoing":`, c.VotersOutgoing}, {`,"learners":`, c.Learners}, {`,"learners_next":`, c.LearnersNext},
	} {
		if len(part.servers) > 0 {
			line = append(line, part.name...)
			line = appendServers(line, part.servers)
		}
	}
	if c.AutoLeave {
		line = append(line, `,"auto_leave":true`...)
	}
	return append(line, '}')
}

func appendServers(line []byte, servers []uint64) []byte {
	line = append(line, '[')
	for i, id := range servers {
		if i > 0 {
			line = append(line, ',')
		}
		line = strconv.AppendUint(line, id, 10)
	}
	return append(line, ']')
}

func appendReplyHead(line []byte, r request) []byte {
	line = append(line, `{"op":"`...)
	line = append(line, r.op...)
	line = append(line, '"')
	return appendNumber(line, "session", r.session)
}

// appendDescription says what the program is, which features it has and what it shows.
func appendDescription(line []byte, version string, chosen options) []byte {
	name := "etcd-raft"
	fields := []string{
		"role", "term", "vote", "leader", "log", "commit", "applied", "match", "next", "progress_state",
		"paused", "recent_active", "inflight_count", "snapshot", "transferee", "configuration", "pending_snapshot",
		"durable", "outcome", "messages", "handed", "unstable_snapshot", "own_match", "appends", "applies", "read_states",
	}
	derived := map[string]string{
		"log":               "the library shows only what it hands over: this is the durable log and the appends that are outstanding",
		"snapshot":          "the library shows only what it hands over: this is the snapshot of the last append that has one, or the durable one",
		"unstable_snapshot": "the library shows only what it hands over: this is the snapshot of the last outstanding append that has one",
	}
	if chosen.async {
		name = "etcd-raft-async"
		fields = append(fields, "after_persist")
	}
	text, err := json.Marshal(map[string]any{
		"op": "describe", "protocol": protocolVersion, "name": name, "version": version,
		"features": []string{
			"pre_vote", "check_quorum", "one_entry_per_append", "forward_proposals", "max_uncommitted", "voters",
			"step_down_on_removal", "disable_conf_change_validation",
			string(transferLeadership), string(forgetLeader), string(compact), string(proposeConfChange),
			string(reportUnreachable), string(reportSnapshot),
			"storage", "application_in_memory", string(persist), string(apply), string(restartKeeping), "reads", string(readIndex),
		},
		"ticks":  true,
		"fields": fields, "derived": derived,
		"departures": departures(version, chosen.without),
	})
	if err != nil {
		panic(err) // strings and numbers always have a JSON form
	}
	return append(line, text...)
}

// departures are the rules of the specification that are different in that version of the library, but for one.
func departures(version, without string) []string {
	all := []string{
		"dropped-change-blocks", "auto-leave-waits", "leads-before-own-vote", "single-voter-reads-at-once",
		"last-voter-not-asked", "lease-after-timeout-now", "lease-without-activity", "postponed-reads-stay",
		"reads-lost-silently", "rounds-not-recounted", "released-reads-ask-others", "removed-leader-waits",
	}
	if strings.HasPrefix(version, "v3.6.") {
		all = append(all, "reads-by-context")
	}
	return slices.DeleteFunc(all, func(name string) bool { return name == without })
}

func appendNumber(line []byte, name string, value uint64) []byte {
	line = append(line, ',', '"')
	line = append(line, name...)
	line = append(line, '"', ':')
	return strconv.AppendUint(line, value, 10)
}

// appendServer writes the name of a server, or null for none.
func appendServer(line []byte, name string, id uint64) []byte {
	if id == None {
		line = append(line, ',', '"')
		line = append(line, name...)
		return append(line, `":null`...)
	}
	return appendNumber(line, name, id)
}

func appendPeer(line []byte, pr *Progress) []byte {
	line = append(line, '"')
	line = strconv.AppendUint(line, pr.ID, 10)
	line = append(line, `":{"match":`...)
	line = strconv.AppendUint(line, pr.Match, 10)
	line = appendNumber(line, "next", pr.Next)
	line = append(line, `,"state":"`...)
	switch pr.State {
	case Probe:
		line = append(line, "probe"...)
	case Replicate:
		line = append(line, "replicate"...)
	case Snapshotting:
		line = append(line, "snapshot"...)
	}
	line = append(line, `","paused":`...)
	line = strconv.AppendBool(line, pr.Paused)
	line = append(line, `,"recent_active":`...)
	line = strconv.AppendBool(line, pr.RecentActive)
	line = appendNumber(line, "inflight_count", uint64(pr.Inflight))
	if pr.PendingSnapshot > 0 {
		line = appendNumber(line, "pending_snapshot", pr.PendingSnapshot)
	}
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
