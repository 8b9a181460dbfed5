package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// Each kind of timer has a scale of its own, so that the harness can fire one and no other: a pause after a failure takes some
// seconds, a leader repeats itself after commitTimeout, sends the other kind of heartbeat after heartbeatTimeout/10, and elections
// come last. Random timeouts are between these and twice as long.
const (
	backoff          = time.Minute
	commitTimeout    = time.Hour
	heartbeatTimeout = 100 * time.Hour
	electionTimeout  = 1000 * time.Hour
	never            = 1_000_000 * time.Hour
)

// disk takes time to write, as disks do. While a goroutine waits for it, all others go on as far as they can: without this, it would
// be for the scheduler to say whether the first append of a leader has the entry that the leader stores at the same time.
type disk struct{ *raft.InmemStore }

func (d disk) StoreLog(e *raft.Log) error {
	time.Sleep(time.Millisecond)
	return d.InmemStore.StoreLog(e)
}

func (d disk) StoreLogs(entries []*raft.Log) error {
	time.Sleep(time.Millisecond)
	return d.InmemStore.StoreLogs(entries)
}

func (d disk) DeleteRange(first, last uint64) error {
	time.Sleep(time.Millisecond)
	return d.InmemStore.DeleteRange(first, last)
}

func (d disk) Set(key, value []byte) error {
	time.Sleep(time.Millisecond)
	return d.InmemStore.Set(key, value)
}

func (d disk) SetUint64(key []byte, value uint64) error {
	time.Sleep(time.Millisecond)
	return d.InmemStore.SetUint64(key, value)
}

// message is what one server sends to another: a request, or with Reply the answer to it.
type message struct {
	PreVote *vote    `json:"pre_vote,omitempty"`
	Vote    *vote    `json:"vote,omitempty"`
	Append  *appends `json:"append,omitempty"`
	Reply   *reply   `json:"reply,omitempty"`
}

type vote struct{ Term, LastIndex, LastTerm uint64 }

type appends struct {
	Term, PrevIndex, PrevTerm, Commit uint64
	Entries                           []entry
}

type entry struct {
	Index, Term uint64
	Type        raft.LogType
	Data        []byte
}

type reply struct {
	Term, LastLog uint64
	OK, NoBackoff bool
}

type sent struct {
	To      int     `json:"to"`
	Message message `json:"message"`
}

// call is a request that the library waits for the answer to.
type call struct {
	to      int
	request string
	done    chan *reply
}

var errLost = errors.New("the connection is lost")

// server is one server, with its disk. It is the transport of the library too.
type server struct {
	id, servers int
	preVote     bool
	store       disk
	snapshots   *raft.InmemSnapshotStore
	raft        *raft.Raft
	requests    chan raft.RPC
	calls       []*call
	leads       time.Time // Since when.
	asking      sync.Mutex
	stopping    bool
	// Of this leadership, and maybe of one before.
	replications []reflect.Value
	sent         []sent
	granted      []int // Who has voted for it in this term: the library keeps count in a local variable.
	grantedTerm  uint64
}

func newServer(id, servers int, preVote bool) *server {
	s := &server{id: id, servers: servers, preVote: preVote, store: disk{raft.NewInmemStore()}, snapshots: raft.NewInmemSnapshotStore()}
	var all raft.Configuration
	for peer := 1; peer <= servers; peer++ {
		all.Servers = append(all.Servers, raft.Server{ID: raft.ServerID(name(peer)), Address: raft.ServerAddress(name(peer))})
	}
	must(raft.BootstrapCluster(s.config(), s.store, s.store, s.snapshots, s, all))
	s.start()
	return s
}

func (s *server) config() *raft.Config {
	c := raft.DefaultConfig()
	c.LocalID = raft.ServerID(name(s.id))
	c.HeartbeatTimeout, c.LeaderLeaseTimeout = heartbeatTimeout, heartbeatTimeout
	c.ElectionTimeout, c.CommitTimeout = electionTimeout, commitTimeout
	c.SnapshotInterval = never
	c.PreVoteDisabled = !s.preVote
	c.Logger = hclog.NewNullLogger()
	return c
}

func (s *server) start() {
	s.requests, s.granted, s.grantedTerm = make(chan raft.RPC), nil, 0
	var err error
	s.raft, err = raft.NewRaft(s.config(), fsm{}, s.store, s.store, s.snapshots, s)
	must(err)
	s.settle()
}

// stop ends the library's goroutines; a disk is left as it is.
func (s *server) stop() {
	s.stopping = true
	stopped := s.raft.Shutdown()
	s.hangUp(func(*call) bool { return true })
	must(stopped.Error())
	s.stopping = false
}

// settle lets the goroutines run until each waits for something else than a pause after a failure.
func (s *server) settle() {
	synctest.Wait()
	time.Sleep(backoff)
	synctest.Wait()
}

// hangUp fails the calls that are chosen, as a connection that is lost does.
func (s *server) hangUp(chosen func(*call) bool) {
	var lost []*call
	s.calls = slices.DeleteFunc(s.calls, func(one *call) bool {
		if chosen(one) {
			lost = append(lost, one)
			return true
		}
		return false
	})
	for _, one := range lost {
		one.done <- nil
	}
}

func (s *server) take(text json.RawMessage) {
	s.sent = []sent{}
	var input struct {
		Propose *uint64
		Deliver *struct {
			From    int
			Message message
		}
	}
	switch string(text) {
	case `"restart"`:
		s.stop()
		s.sent = []sent{}
		s.start()
	case `"timeout"`:
		s.timeout()
	case `"heartbeat"`:
		s.repeat()
	default:
		must(json.Unmarshal(text, &input))
		if input.Propose != nil {
			s.raft.Apply(fmt.Appendf(nil, "%d", *input.Propose), 0)
		} else {
			s.deliver(input.Deliver.From, input.Deliver.Message)
		}
	}
	s.settle()
	// Calls of another term are of no interest to anybody any more.
	role, term := s.raft.State(), s.term()
	if role != raft.Leader {
		s.endReplication()
		s.leads = time.Time{}
	} else if s.leads.IsZero() {
		s.leads = time.Now()
	}
	s.replications = append(s.replications, replications(s.raft)...)
	s.hangUp(func(one *call) bool { return !current(one, role, term) })
	s.settle()
	slices.SortFunc(s.sent, func(a, b sent) int { return strings.Compare(encode(a), encode(b)) })
}

// repeat lets a leader send what was not answered, and what each peer may have missed. It gives up before other timers fire: each
// time takes two hours of the ten before a leader sends empty heartbeats.
func (s *server) repeat() {
	s.hangUp(func(*call) bool { return true })
	s.settle() // It sends again what it had to send.
	if time.Since(s.leads)+3*commitTimeout > heartbeatTimeout/10 {
		fmt.Fprintln(os.Stderr, "more heartbeats of one leader than this program can tell from other timers")
		os.Exit(1)
	}
	time.Sleep(2 * commitTimeout)
}

// timeout lets time pass until the server campaigns: the timer of a follower goes on if it has heard from its leader.
func (s *server) timeout() {
	s.hangUp(func(*call) bool { return true })
	s.settle()
	term, role := s.term(), s.raft.State()
	step := heartbeatTimeout / 4
	if role == raft.Candidate {
		step = electionTimeout / 4
	}
	for range 20 {
		if s.raft.State() != role || s.term() != term || len(s.sent) > 0 {
			return
		}
		time.Sleep(step)
		synctest.Wait()
	}
}

// replications are what a leader keeps of its peers.
func replications(of *raft.Raft) (out []reflect.Value) {
	for each := private(of, "leaderState", "replState").MapRange(); each.Next(); {
		out = append(out, each.Value().Elem())
	}
	return out
}

// endReplication takes a choice from the library: a goroutine that replicates to a peer, and learns after a call that it has both
// to stop and to send more, chooses at random (select). Here it stops. With -late it sends: an append of the old term with whatever
// the log holds by now, entries of a new leader too.
func (s *server) endReplication() {
	for _, peer := range s.replications {
		trigger := *(*chan struct{})(unsafe.Pointer(peer.FieldByName("triggerCh").UnsafeAddr()))
		stop := (*chan uint64)(unsafe.Pointer(peer.FieldByName("stopCh").UnsafeAddr()))
		switch {
		case len(trigger) == 0:
		case *late:
			stopped := *stop
			*stop = make(chan uint64)
			defer func() { *stop = stopped }()
		default:
			<-trigger
		}
	}
	s.replications = nil
	role, term := s.raft.State(), s.term()
	s.hangUp(func(one *call) bool { return !current(one, role, term) })
	s.settle()
}

func (s *server) deliver(from int, m message) {
	if m.Reply != nil {
		answered := *m.Reply
		m.Reply = nil
		at := slices.IndexFunc(s.calls, func(one *call) bool { return one.to == from && one.request == encode(m) })
		if at < 0 {
			return // Nobody waits for it.
		}
		if m.Vote != nil && answered.OK && answered.Term == s.term() {
			if s.grantedTerm != answered.Term {
				s.granted, s.grantedTerm = nil, answered.Term
			}
			s.granted = append(s.granted, from)
			slices.Sort(s.granted)
		}
		one := s.calls[at]
		s.calls = slices.Delete(s.calls, at, at+1)
		one.done <- &answered
		return
	}
	answers := make(chan raft.RPCResponse, 1)
	s.requests <- raft.RPC{Command: command(from, m), RespChan: answers}
	got := <-answers
	must(got.Error)
	m.Reply = replied(got.Response)
	s.sent = append(s.sent, sent{from, m})
}

func (s *server) term() uint64 { return private(s.raft, "raftState", "currentTerm").Uint() }

// current tells whether the answer to a call can still mean something.
func current(one *call, role raft.RaftState, term uint64) bool {
	var m message
	must(json.Unmarshal([]byte(one.request), &m))
	switch {
	case m.Append != nil:
		return role == raft.Leader && m.Append.Term == term
	case m.Vote != nil:
		return role == raft.Candidate && m.Vote.Term == term
	default:
		return role == raft.Candidate && m.PreVote.Term == term+1
	}
}

// What the library calls its transport for

func (s *server) ask(to raft.ServerID, m message) (*reply, error) {
	peer, err := strconv.Atoi(string(to))
	must(err)
	if s.stopping {
		return nil, errLost
	}
	one := &call{to: peer, request: encode(m), done: make(chan *reply, 1)}
	s.asking.Lock()
	s.calls = append(s.calls, one)
	s.sent = append(s.sent, sent{peer, m})
	s.asking.Unlock()
	if answered := <-one.done; answered != nil {
		return answered, nil
	}
	return nil, errLost
}

func (s *server) RequestVote(to raft.ServerID, _ raft.ServerAddress, q *raft.RequestVoteRequest, a *raft.RequestVoteResponse) error {
	got, err := s.ask(to, message{Vote: &vote{q.Term, q.LastLogIndex, q.LastLogTerm}})
	if err == nil {
		*a = raft.RequestVoteResponse{RPCHeader: header(to), Term: got.Term, Granted: got.OK}
	}
	return err
}

func (s *server) RequestPreVote(to raft.ServerID, _ raft.ServerAddress, q *raft.RequestPreVoteRequest, a *raft.RequestPreVoteResponse) error {
	got, err := s.ask(to, message{PreVote: &vote{q.Term, q.LastLogIndex, q.LastLogTerm}})
	if err == nil {
		*a = raft.RequestPreVoteResponse{RPCHeader: header(to), Term: got.Term, Granted: got.OK}
	}
	return err
}

func (s *server) AppendEntries(to raft.ServerID, _ raft.ServerAddress, q *raft.AppendEntriesRequest, a *raft.AppendEntriesResponse) error {
	entries := []entry{}
	for _, e := range q.Entries {
		entries = append(entries, entry{e.Index, e.Term, e.Type, e.Data})
	}
	got, err := s.ask(to, message{Append: &appends{q.Term, q.PrevLogEntry, q.PrevLogTerm, q.LeaderCommitIndex, entries}})
	if err == nil {
		*a = raft.AppendEntriesResponse{RPCHeader: header(to), Term: got.Term, Success: got.OK, LastLog: got.LastLog, NoRetryBackoff: got.NoBackoff}
	}
	return err
}

func (s *server) Consumer() <-chan raft.RPC     { return s.requests }
func (s *server) LocalAddr() raft.ServerAddress { return raft.ServerAddress(name(s.id)) }
func (s *server) AppendEntriesPipeline(raft.ServerID, raft.ServerAddress) (raft.AppendPipeline, error) {
	return nil, raft.ErrPipelineReplicationNotSupported
}
func (s *server) InstallSnapshot(raft.ServerID, raft.ServerAddress, *raft.InstallSnapshotRequest, *raft.InstallSnapshotResponse, io.Reader) error {
	panic("these bounds have no snapshot")
}
func (s *server) TimeoutNow(raft.ServerID, raft.ServerAddress, *raft.TimeoutNowRequest, *raft.TimeoutNowResponse) error {
	panic("these bounds have no transfer")
}
func (s *server) EncodePeer(_ raft.ServerID, to raft.ServerAddress) []byte { return []byte(to) }
func (s *server) DecodePeer(text []byte) raft.ServerAddress                { return raft.ServerAddress(text) }
func (s *server) SetHeartbeatHandler(func(raft.RPC))                       {}

// fsm is the application: it keeps nothing.
type fsm struct{}

func (fsm) Apply(*raft.Log) any                 { return nil }
func (fsm) Snapshot() (raft.FSMSnapshot, error) { panic("these bounds have no snapshot") }
func (fsm) Restore(io.ReadCloser) error         { panic("these bounds have no snapshot") }

func header(from raft.ServerID) raft.RPCHeader {
	return raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(from), Addr: []byte(from)}
}

// command is a request as the library takes it.
func command(from int, m message) any {
	h := header(raft.ServerID(name(from)))
	switch {
	case m.Vote != nil:
		return &raft.RequestVoteRequest{RPCHeader: h, Term: m.Vote.Term, Candidate: h.Addr, LastLogIndex: m.Vote.LastIndex, LastLogTerm: m.Vote.LastTerm}
	case m.PreVote != nil:
		return &raft.RequestPreVoteRequest{RPCHeader: h, Term: m.PreVote.Term, LastLogIndex: m.PreVote.LastIndex, LastLogTerm: m.PreVote.LastTerm}
	default:
		out := &raft.AppendEntriesRequest{RPCHeader: h, Term: m.Append.Term, Leader: h.Addr, PrevLogEntry: m.Append.PrevIndex,
			PrevLogTerm: m.Append.PrevTerm, LeaderCommitIndex: m.Append.Commit}
		for _, e := range m.Append.Entries {
			out.Entries = append(out.Entries, &raft.Log{Index: e.Index, Term: e.Term, Type: e.Type, Data: e.Data})
		}
		return out
	}
}

func replied(response any) *reply {
	switch r := response.(type) {
	case *raft.RequestVoteResponse:
		return &reply{Term: r.Term, OK: r.Granted}
	case *raft.RequestPreVoteResponse:
		return &reply{Term: r.Term, OK: r.Granted}
	case *raft.AppendEntriesResponse:
		return &reply{Term: r.Term, LastLog: r.LastLog, OK: r.Success, NoBackoff: r.NoRetryBackoff}
	}
	panic("an answer of no known kind")
}

func name(id int) string { return strconv.Itoa(id) }

func encode(value any) string {
	text, err := json.Marshal(value)
	must(err)
	return string(text)
}

// private is a private field of the library, for reading.
func private(of any, path ...string) reflect.Value {
	v := reflect.ValueOf(of)
	for _, field := range path {
		v = reflect.Indirect(v).FieldByName(field)
	}
	return v
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
