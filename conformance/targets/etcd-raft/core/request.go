package core

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
)

// Requests, read by hand: every input of every trace is in one, and encoding/json, with its reflection,
// took four fifths of the time of a step.

type request struct {
	op       string
	protocol uint64
	session  uint64
	servers  []uint64
	config   *config
	// timing is nil for a session without clocks.
	timing *timing
	inputs []step
}

// step is an input and the server that gets it.
type step struct {
	server uint64
	input  input
}

type config struct {
	servers           uint64
	preVote           bool
	checkQuorum       bool
	oneEntryPerAppend bool
	maxInflight       int
	forwardProposals  bool
	maxUncommitted    uint64
	// voters is empty if the configuration never changes.
	voters                      []uint64
	learners                    []uint64
	stepDownOnRemoval           bool
	disableConfChangeValidation bool
	// asyncStorage tells whether what is handed over is done only when an input says so.
	asyncStorage bool
	// applicationInMemory tells whether an application comes back with its last snapshot.
	applicationInMemory bool
	reads               reads
}

// haveReads tells whether clients may read.
func (c *config) haveReads() bool { return c.reads == readsSafe || c.reads == readsLeaseBased }

// mayChange tells whether clients may change the configuration.
func (c *config) mayChange() bool { return len(c.voters) > 0 }

// confState is the configuration at first.
func (c *config) confState() ConfState {
	if c.mayChange() {
		return ConfState{Voters: slices.Clone(c.voters), Learners: slices.Clone(c.learners)}
	}
	var all ConfState
	for id := uint64(1); id <= c.servers; id++ {
		all.Voters = append(all.Voters, id)
	}
	return all
}

// input is what happens to a server.
type input struct {
	kind kind
	// value is what is proposed.
	value uint64
	// message is what is delivered.
	message Message
	// change is what is proposed to change.
	change ConfChange
	// peer is the server that is to lead, or that is reported.
	peer uint64
	// ok tells whether a snapshot arrived.
	ok bool
	// writes is how many of the outstanding appends a crash keeps.
	writes uint64
	// context is what a client knows the answer to its read by.
	context uint64
}

// reads says how leaders answer reads.
type reads string

const (
	readsOff        reads = "off"
	readsSafe       reads = "safe"
	readsLeaseBased reads = "lease_based"
)

// kind says what an input is.
type kind string

const (
	timeout     kind = "timeout"
	leaseExpire kind = "lease_expire"
	heartbeat   kind = "heartbeat"
	checkQuorum kind = "check_quorum"
	restart     kind = "restart"
	propose     kind = "propose"
	deliver     kind = "deliver"

	transferLeadership kind = "transfer_leadership"
	forgetLeader       kind = "forget_leader"
	compact            kind = "compact"
	proposeConfChange  kind = "propose_conf_change"
	reportUnreachable  kind = "report_unreachable"
	reportSnapshot     kind = "report_snapshot"

	persist        kind = "persist"
	apply          kind = "apply"
	restartKeeping kind = "restart_keeping"
	readIndex      kind = "read_index"

	// tick is given to sessions with clocks only.
	tick kind = "tick"
)

// readRequest reads a whole line. Changes of the configuration are encoded as the library does it.
func readRequest(line []byte, library Library) (request, error) {
	r := reader{text: line, library: library}
	var out request
	r.fields(func(key string) {
		switch key {
		case "op":
			out.op = r.name()
		case "protocol":
			out.protocol = r.number()
		case "session":
			out.session = r.number()
		case "servers":
			out.servers = r.servers()
		case "config":
			out.config = r.config()
		case "timing":
			out.timing = r.timing()
		case "inputs":
			r.items(func(int) { out.inputs = append(out.inputs, r.step()) })
		default:
			r.unknown(key)
		}
	})
	r.end()
	return out, r.err
}

func (r *reader) config() *config {
	var out config
	r.fields(func(key string) {
		switch key {
		case "servers":
			out.servers = r.number()
		case "pre_vote":
			out.preVote = r.boolean()
		case "check_quorum":
			out.checkQuorum = r.boolean()
		case "one_entry_per_append":
			out.oneEntryPerAppend = r.boolean()
		case "max_inflight":
			number := r.number()
			if number > math.MaxInt32 {
				r.fail("max_inflight is too large")
			}
			out.maxInflight = int(number)
		case "forward_proposals":
			out.forwardProposals = r.boolean()
		case "max_uncommitted":
			number := r.number()
			if number > math.MaxInt32 {
				r.fail("max_uncommitted is too large")
			}
			out.maxUncommitted = number
		case "voters":
			out.voters = r.servers()
		case "learners":
			out.learners = r.servers()
		case "step_down_on_removal":
			out.stepDownOnRemoval = r.boolean()
		case "disable_conf_change_validation":
			out.disableConfChangeValidation = r.boolean()
		case "storage":
			out.asyncStorage = r.oneOf("atomic", "async") == "async"
		case "application_in_memory":
			out.applicationInMemory = r.boolean()
		case "reads":
			out.reads = reads(r.oneOf(string(readsOff), string(readsSafe), string(readsLeaseBased)))
		default:
			r.unknown(key)
		}
	})
	return &out
}

// timing reads how fast clocks go.
func (r *reader) timing() *timing {
	var election, beat, seed uint64
	r.numbers(numberField{"election_ticks", &election}, numberField{"heartbeat_ticks", &beat}, numberField{"seed", &seed})
	if beat == 0 || election <= beat || election > mostTicks {
		r.fail("a heartbeat must take a tick at least, and an election timeout longer than that, but not forever")
	}
	return &timing{electionTicks: int(election), heartbeatTicks: int(beat), seed: seed}
}

// oneOf reads a string that must be one of these.
func (r *reader) oneOf(names ...string) string {
	name := r.name()
	if !slices.Contains(names, name) {
		r.fail(fmt.Sprintf("%q is none of %q", name, names))
	}
	return name
}

func (r *reader) server() uint64 {
	id := r.number()
	if id == None {
		r.fail("no server has the name 0")
	}
	return id
}

func (r *reader) servers() (out []uint64) {
	r.items(func(int) { out = append(out, r.server()) })
	return out
}

func (r *reader) step() (out step) {
	count := 0
	r.items(func(position int) {
		switch position {
		case 0:
			out.server = r.server()
		case 1:
			out.input = r.input()
		default:
			r.fail("expected a server and an input")
		}
		count++
	})
	if count != 2 {
		r.fail("expected a server and an input")
	}
	return out
}

func (r *reader) input() (out input) {
	r.variant(func(name string, content bool) { out = r.inputNamed(name, content) })
	return out
}

// inputNamed reads the content of an input, if it has one.
func (r *reader) inputNamed(name string, content bool) (out input) {
	out.kind = kind(name)
	switch out.kind {
	case timeout, leaseExpire, heartbeat, checkQuorum, restart, forgetLeader, compact, persist, apply, tick:
		r.only(!content)
	case propose:
		if r.only(content) {
			out.value = r.number()
		}
	case deliver:
		if r.only(content) {
			r.message(&out.message)
		}
	case restartKeeping:
		if r.only(content) {
			r.numbers(numberField{"writes", &out.writes})
		}
	case readIndex:
		if r.only(content) {
			r.numbers(numberField{"context", &out.context})
		}
	case proposeConfChange:
		if r.only(content) {
			out.change = r.confChange()
		}
	case transferLeadership, reportUnreachable, reportSnapshot:
		if r.only(content) {
			r.aboutPeer(&out)
		}
	default:
		r.fail(fmt.Sprintf("unknown input %q", name))
	}
	return out
}

// aboutPeer reads the content of a call that is about another server.
func (r *reader) aboutPeer(out *input) {
	r.fields(func(key string) {
		switch {
		case key == "to" && out.kind == transferLeadership, key == "peer" && out.kind != transferLeadership:
			out.peer = r.server()
		case key == "ok" && out.kind == reportSnapshot:
			out.ok = r.boolean()
		default:
			r.unknown(key)
		}
	})
}

func (r *reader) message(m *Message) {
	inNameOf := None
	r.fields(func(key string) {
		switch key {
		case "from":
			m.From = r.server()
		case "to":
			m.To = r.server()
		case "term":
			m.Term = r.number()
		case "body":
			inNameOf = r.body(m)
		default:
			r.unknown(key)
		}
	})
	if inNameOf != None {
		m.From = inNameOf
	}
}

// body reads what a message says. It returns the server in whose name it comes, where that is not the one that sent it: in
// a request for a transfer the one that is to lead, in a read that was passed on the one whose client reads.
func (r *reader) body(m *Message) (inNameOf uint64) {
	r.variant(func(name string, content bool) {
		if !r.only(content == (name != "heartbeat_response" && name != "timeout_now")) {
			return
		}
		switch name {
		case "request_vote":
			m.Type = MsgVote
			r.voteRequest(m)
		case "request_pre_vote":
			m.Type = MsgPreVote
			r.numbers(numberField{"last_index", &m.Index}, numberField{"last_term", &m.LogTerm})
		case "request_vote_response":
			m.Type = MsgVoteResp
			r.granted(m)
		case "request_pre_vote_response":
			m.Type = MsgPreVoteResp
			r.granted(m)
		case "append_entries":
			m.Type = MsgApp
			r.appendEntries(m)
		case "append_entries_response":
			m.Type = MsgAppResp
			r.acknowledgement(m)
		case "heartbeat":
			m.Type = MsgHeartbeat
			round := uint64(0)
			r.numbers(numberField{"commit", &m.Commit}, numberField{"round", &round})
			m.Context = contextData(round)
		case "heartbeat_response":
			m.Type = MsgHeartbeatResp
		case "round_response":
			m.Type = MsgHeartbeatResp
			round := uint64(0)
			r.numbers(numberField{"round", &round})
			m.Context = contextData(round)
		case "read_index":
			m.Type = MsgReadIndex
			context := uint64(0)
			r.numbers(numberField{"origin", &inNameOf}, numberField{"context", &context})
			m.Entries = []Entry{{Data: contextData(context)}}
		case "read_index_response":
			m.Type = MsgReadIndexResp
			context := uint64(0)
			r.numbers(numberField{"index", &m.Index}, numberField{"context", &context})
			m.Entries = []Entry{{Data: contextData(context)}}
		case "timeout_now":
			m.Type = MsgTimeoutNow
		case "transfer_leader":
			m.Type = MsgTransferLeader
			// It comes in the name of the server that is to lead.
			r.single("transferee", func() { inNameOf = r.server() })
		case "propose":
			m.Type = MsgProp
			r.single("payloads", func() {
				r.items(func(int) { m.Entries = append(m.Entries, r.payload()) })
			})
		case "install_snapshot":
			m.Type = MsgSnap
			r.single("snapshot", func() { m.Snapshot = r.snapshot() })
		default:
			r.fail(fmt.Sprintf("unknown message %q", name))
		}
	})
	return inNameOf
}

func (r *reader) voteRequest(m *Message) {
	r.fields(func(key string) {
		switch key {
		case "last_index":
			m.Index = r.number()
		case "last_term":
			m.LogTerm = r.number()
		case "transfer":
			if r.boolean() {
				m.Context = []byte(CampaignTransfer)
			}
		default:
			r.unknown(key)
		}
	})
}

func (r *reader) snapshot() *Snapshot {
	var out Snapshot
	r.fields(func(key string) {
		switch key {
		case "index":
			out.Index = r.number()
		case "term":
			out.Term = r.number()
		case "configuration":
			out.ConfState = r.configuration()
		default:
			r.unknown(key)
		}
	})
	out.Data = snapshotData(out.Index)
	return &out
}

func (r *reader) configuration() (out ConfState) {
	r.fields(func(key string) {
		switch key {
		case "voters":
			out.Voters = r.servers()
		case "outgoing":
			out.VotersOutgoing = r.servers()
		case "learners":
			out.Learners = r.servers()
		case "learners_next":
			out.LearnersNext = r.servers()
		case "auto_leave":
			out.AutoLeave = r.boolean()
		default:
			r.unknown(key)
		}
	})
	return out
}

func (r *reader) confChange() (out ConfChange) {
	r.fields(func(key string) {
		switch key {
		case "changes":
			r.items(func(int) { out.Changes = append(out.Changes, r.change()) })
		case "transition":
			name := r.name()
			known := slices.Index(transitions[:], name)
			if known < 0 {
				r.fail(fmt.Sprintf("unknown transition %q", name))
			}
			out.Transition = Transition(known)
		default:
			r.unknown(key)
		}
	})
	return out
}

func (r *reader) change() (out Change) {
	r.variant(func(name string, content bool) {
		known, ok := changeTypes[name]
		switch {
		case !ok:
			r.fail(fmt.Sprintf("unknown change %q", name))
		case r.only(content):
			out = Change{Type: known, Server: r.server()}
		}
	})
	return out
}

func (r *reader) granted(m *Message) {
	r.fields(func(key string) {
		if key != "granted" {
			r.unknown(key)
		}
		m.Reject = !r.boolean()
	})
}

func (r *reader) appendEntries(m *Message) {
	r.fields(func(key string) {
		switch key {
		case "prev_index":
			m.Index = r.number()
		case "prev_term":
			m.LogTerm = r.number()
		case "entries":
			r.items(func(int) { m.Entries = append(m.Entries, r.entry()) })
		case "commit":
			m.Commit = r.number()
		default:
			r.unknown(key)
		}
	})
	for i := range m.Entries {
		m.Entries[i].Index = m.Index + 1 + uint64(i)
	}
}

func (r *reader) entry() (out Entry) {
	term := uint64(0)
	r.fields(func(key string) {
		switch key {
		case "term":
			term = r.number()
		case "payload":
			out = r.payload()
		default:
			r.unknown(key)
		}
	})
	out.Term = term
	return out
}

// payload reads an entry that has no place in a log yet.
func (r *reader) payload() (out Entry) {
	r.variant(func(name string, content bool) {
		switch name {
		case "empty":
			r.only(!content)
		case "value":
			if r.only(content) {
				out.Data = valueData(r.number())
			}
		case "conf_change":
			if r.only(content) {
				out.Type = EntryConfChangeV2
				out.Data = changeData(r.library, r.confChange())
			}
		default:
			r.fail(fmt.Sprintf("unknown payload %q", name))
		}
	})
	return out
}

func (r *reader) acknowledgement(m *Message) {
	r.fields(func(key string) {
		switch {
		case key == "index":
			m.Index = r.number()
		case key == "rejected" && r.null():
		case key == "rejected":
			m.Reject = true
			r.numbers(numberField{"index", &m.RejectHint}, numberField{"term", &m.LogTerm})
		default:
			r.unknown(key)
		}
	})
}

// reader reads one JSON value from left to right. After the first error it reads nothing more: its methods
// return zeros, and err says what was wrong and where.
type reader struct {
	text    []byte
	at      int
	err     error
	library Library
}

func (r *reader) fail(what string) {
	if r.err == nil {
		r.err = fmt.Errorf("malformed request: %s, at byte %d of the line", what, r.at)
	}
	r.at = len(r.text)
}

func (r *reader) unknown(key string) {
	r.fail(fmt.Sprintf("unknown key %q", key))
}

// only fails if a variant has content where it must have none, or the other way round.
func (r *reader) only(holds bool) bool {
	if !holds {
		r.fail("a variant has content that it must not have, or lacks it")
	}
	return holds
}

// peek skips blanks and returns the next byte, or 0 at the end.
func (r *reader) peek() byte {
	for r.at < len(r.text) {
		switch c := r.text[r.at]; c {
		case ' ', '\t', '\r', '\n':
			r.at++
		default:
			return c
		}
	}
	return 0
}

// take skips that byte if it comes next.
func (r *reader) take(c byte) bool {
	if r.peek() != c {
		return false
	}
	r.at++
	return true
}

func (r *reader) expect(c byte) {
	if !r.take(c) {
		r.fail(fmt.Sprintf("expected %q", c))
	}
}

// end fails unless nothing is left.
func (r *reader) end() {
	if r.err == nil && r.peek() != 0 {
		r.fail("expected the end of the line")
	}
}

// fields reads an object; each reads the value of its key.
func (r *reader) fields(each func(key string)) {
	r.expect('{')
	if r.take('}') {
		return
	}
	for r.err == nil {
		key := r.name()
		r.expect(':')
		each(key)
		if r.take('}') {
			return
		}
		r.expect(',')
	}
}

// numberField is a field of an object that holds a number, and where that goes.
type numberField struct {
	key string
	to  *uint64
}

// numbers reads an object that has no other fields than these.
func (r *reader) numbers(wanted ...numberField) {
	r.fields(func(key string) {
		for _, field := range wanted {
			if field.key == key {
				*field.to = r.number()
				return
			}
		}
		r.unknown(key)
	})
}

// single reads an object that has this field and no other.
func (r *reader) single(key string, each func()) {
	found := false
	r.fields(func(name string) {
		if name != key {
			r.unknown(name)
		}
		found = true
		each()
	})
	if r.err == nil && !found {
		r.fail(fmt.Sprintf("%q is missing", key))
	}
}

// items reads an array; each reads the value at its position.
func (r *reader) items(each func(position int)) {
	r.expect('[')
	if r.take(']') {
		return
	}
	for position := 0; r.err == nil; position++ {
		each(position)
		if r.take(']') {
			return
		}
		r.expect(',')
	}
}

// variant reads the JSON form of a sum type: "name", or {"name": content}; each reads the content.
func (r *reader) variant(each func(name string, content bool)) {
	if r.peek() == '"' {
		each(r.name(), false)
		return
	}
	r.expect('{')
	name := r.name()
	r.expect(':')
	if r.err == nil {
		each(name, true)
	}
	r.expect('}')
}

// words are those that occur in requests: a word that is known needs no memory of its own.
var words = make(map[string]string)

func init() {
	for _, word := range []string{
		"op", "describe", "open", "apply", "close", "protocol", "session", "servers", "config", "inputs",
		"pre_vote", "check_quorum", "one_entry_per_append", "max_inflight",
		"timeout", "lease_expire", "heartbeat", "restart", "propose", "deliver",
		"from", "to", "term", "body", "request_vote", "request_pre_vote", "request_vote_response",
		"request_pre_vote_response", "append_entries", "append_entries_response", "heartbeat_response",
		"last_index", "last_term", "granted", "prev_index", "prev_term", "entries", "commit", "payload",
		"empty", "value", "index", "rejected", "forward_proposals", "max_uncommitted", "voters", "learners",
		"step_down_on_removal", "disable_conf_change_validation", "transfer_leadership", "forget_leader", "compact",
		"propose_conf_change", "report_unreachable", "report_snapshot", "peer", "ok", "timeout_now",
		"transfer_leader", "transferee", "payloads", "install_snapshot", "snapshot", "configuration", "outgoing",
		"learners_next", "auto_leave", "changes", "transition", "conf_change", "add_voter", "add_learner",
		"remove", "implicit", "explicit", "transfer",
		"storage", "application_in_memory", "reads", "persist", "apply", "restart_keeping", "read_index", "writes",
		"context", "timing", "election_ticks", "heartbeat_ticks", "seed", "tick", "round", "round_response", "origin", "read_index_response",
	} {
		words[word] = word
	}
}

// name reads a string.
func (r *reader) name() string {
	r.expect('"')
	start := r.at
	for r.at < len(r.text) && r.text[r.at] != '"' {
		if r.text[r.at] == '\\' {
			r.at++
		}
		r.at++
	}
	if r.at >= len(r.text) {
		r.fail("expected the end of a string")
		return ""
	}
	inside := r.text[start:r.at]
	r.at++
	if word, ok := words[string(inside)]; ok {
		return word
	}
	var out string
	if err := json.Unmarshal(r.text[start-1:r.at], &out); err != nil {
		r.fail(err.Error())
	}
	return out
}

// digits reads a number that is not negative and has neither fraction nor exponent.
func (r *reader) digits() []byte {
	r.peek()
	start := r.at
	for r.at < len(r.text) && r.text[r.at] >= '0' && r.text[r.at] <= '9' {
		r.at++
	}
	digits := r.text[start:r.at]
	if len(digits) == 0 || len(digits) > 1 && digits[0] == '0' {
		r.fail("expected a whole number")
		return nil
	}
	return digits
}

func (r *reader) number() (out uint64) {
	for _, digit := range r.digits() {
		next := out*10 + uint64(digit-'0')
		if out > math.MaxUint64/10 || next < out*10 {
			r.fail("a number is too large")
			return 0
		}
		out = next
	}
	return out
}

func (r *reader) boolean() bool {
	switch {
	case r.word("true"):
		return true
	case r.word("false"):
		return false
	}
	r.fail("expected true or false")
	return false
}

func (r *reader) null() bool {
	return r.word("null")
}

// word skips that literal if it comes next.
func (r *reader) word(literal string) bool {
	r.peek()
	end := r.at + len(literal)
	if end > len(r.text) || string(r.text[r.at:end]) != literal {
		return false
	}
	r.at = end
	return true
}
