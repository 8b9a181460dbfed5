package core

import (
	"reflect"
	"strings"
	"testing"
)

// The names of types and fields are those of the library.
type (
	raft struct {
		Term, lead, maxUncommittedSize, uncommittedSize uint64
		electionElapsed, electionTimeout                int
		checkQuorum                                     bool
		trk                                             ProgressTracker
		tick                                            func()
	}
	ProgressTracker struct {
		Votes    map[uint64]bool
		Progress map[uint64]*tracked
	}
	tracked struct {
		Match     uint64
		Inflights *Inflights
	}
	Inflights struct {
		start, count, size int
		maxBytes           uint64
		buffer             []inflight
	}
	inflight struct{ index, bytes uint64 }
)

// wholeNode is a server in which every part of a state is there.
func wholeNode() *raft {
	return &raft{
		Term: 3, lead: 2, maxUncommittedSize: 100, uncommittedSize: 40, electionTimeout: 10, checkQuorum: true,
		trk: ProgressTracker{
			Votes: map[uint64]bool{1: true, 2: false},
			Progress: map[uint64]*tracked{2: {Match: 4, Inflights: &Inflights{
				start: 1, count: 2, size: 3, maxBytes: 70, buffer: []inflight{{9, 9}, {5, 10}, {6, 20}},
			}}},
		},
		tick: func() {},
	}
}

func nameOf(node any, role Role) string {
	var out strings.Builder
	w := stateWriter{out: &out, role: role}
	w.write(reflect.ValueOf(node))
	return out.String()
}

func TestWhatIsReadIsPartOfTheName(t *testing.T) {
	for what, c := range map[string]struct {
		role   Role
		change func(*raft)
	}{
		"the term":                       {Follower, func(r *raft) { r.Term++ }},
		"the leader":                     {Follower, func(r *raft) { r.lead = 1 }},
		"a vote":                         {Candidate, func(r *raft) { r.trk.Votes[2] = true }},
		"another vote":                   {PreCandidate, func(r *raft) { r.trk.Votes[3] = false }},
		"a match":                        {Leader, func(r *raft) { r.trk.Progress[2].Match++ }},
		"an index in a window":           {Leader, func(r *raft) { r.trk.Progress[2].Inflights.buffer[1].index++ }},
		"bytes in a window with a limit": {Leader, func(r *raft) { r.trk.Progress[2].Inflights.buffer[2].bytes++ }},
		"a size with a limit":            {Leader, func(r *raft) { r.uncommittedSize++ }},
		"the end of a lease":             {Follower, func(r *raft) { r.electionElapsed = 10 }},
	} {
		changed := wholeNode()
		c.change(changed)
		if nameOf(changed, c.role) == nameOf(wholeNode(), c.role) {
			t.Errorf("%s does not count", what)
		}
	}
}

func TestWhatIsNeverReadIsNoPartOfTheName(t *testing.T) {
	unlimited := func(r *raft) *raft {
		r.maxUncommittedSize = 1<<64 - 1
		r.trk.Progress[2].Inflights.maxBytes = 0
		return r
	}
	for what, c := range map[string]struct {
		role   Role
		change func(*raft)
	}{
		"a vote of a leader":                 {Leader, func(r *raft) { r.trk.Votes[2] = true }},
		"a match of a follower":              {Follower, func(r *raft) { r.trk.Progress[2].Match++ }},
		"time within a lease":                {Follower, func(r *raft) { r.electionElapsed = 9 }},
		"time of a leader":                   {Leader, func(r *raft) { r.electionElapsed = 10 }},
		"the place of a window":              {Leader, func(r *raft) { w := r.trk.Progress[2].Inflights; w.start, w.buffer = 0, w.buffer[1:] }},
		"what was in a window":               {Leader, func(r *raft) { r.trk.Progress[2].Inflights.buffer[0] = inflight{} }},
		"bytes in a window without a limit":  {Leader, func(r *raft) { r.trk.Progress[2].Inflights.buffer[2].bytes++ }},
		"a size without a limit":             {Leader, func(r *raft) { r.uncommittedSize++ }},
		"a lease of a server without leader": {Follower, func(r *raft) { r.lead = None; r.electionElapsed = 10 }},
	} {
		changed, same := unlimited(wholeNode()), unlimited(wholeNode())
		c.change(changed)
		if what == "a lease of a server without leader" {
			same.lead = None
		}
		if nameOf(changed, c.role) != nameOf(same, c.role) {
			t.Errorf("%s counts: %s", what, nameOf(changed, c.role))
		}
	}
}

func TestValuesThatMeanTheSameAreWrittenAlike(t *testing.T) {
	zero := uint64(0)
	for what, pair := range map[string][2]any{
		"no list":   {[]uint64(nil), []uint64{}},
		"no bytes":  {[]byte(nil), []byte{}},
		"no number": {(*uint64)(nil), &zero},
	} {
		if a, b := nameOf(pair[0], Follower), nameOf(pair[1], Follower); a != b {
			t.Errorf("%s is written as %s and as %s", what, a, b)
		}
	}
	mustPanic(t, "the state holds a chan int", func() { nameOf(make(chan int), Follower) })
}

func TestQuestionsAreRead(t *testing.T) {
	line := `{"op":"ask","id":7,"config":{"servers":2,"pre_vote":true,"check_quorum":false,"one_entry_per_append":false,"max_inflight":2},` +
		`"server":2,"inputs":["timeout",{"propose":5},{"deliver":{"from":1,"message":{"from":1,"to":2,"term":3,"body":{"heartbeat":{"commit":4}}}}}]}`
	q, err := readQuestion([]byte(line), fakeLibrary{})
	if err != nil || q.id != 7 || q.server != 2 || len(q.inputs) != 3 || !q.config.preVote {
		t.Fatalf("%+v, %v", q, err)
	}
	if m := q.inputs[2].message; m.Type != MsgHeartbeat || m.From != 1 || m.Term != 3 || m.Commit != 4 {
		t.Errorf("%+v", m)
	}
	for _, bad := range []string{
		`{"op":"ask","id":7,"saved":1}`,
		`{"op":"ask","inputs":["transfer"]}`,
		`{"op":"ask","inputs":[{"deliver":{"from":1,"term":2}}]}`,
		`{"op":"ask","inputs":["deliver"]}`,
	} {
		if _, err := readQuestion([]byte(bad), fakeLibrary{}); err == nil {
			t.Errorf("%s is no error", bad)
		}
	}
}
