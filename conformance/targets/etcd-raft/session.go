package main

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"runtime/debug"
	"strconv"
	"strings"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"
)

// How many ticks make a timeout. The library counts ticks once for its heartbeats and once for its quorum
// checks, and a tick advances both counters. These two numbers leave room to raise one without the other:
// quiesced ticks advance the election counter alone, so that heartbeatTicks-1 quorum checks fit between two
// heartbeats, and some electionTicks/heartbeatTicks heartbeats fit before a quorum check is due. Election
// timers of followers never fire by ticks, so the library's own jitter changes nothing.
const (
	electionTicks  = 1024
	heartbeatTicks = 32
)

// Why an input is not driven: the role has no such timer, or ticks raise it only together with another one.
const (
	noLease          = "a leader waits for no other leader, so it has no lease that could expire"
	noHeartbeatTimer = "only a leader has a heartbeat timer"
	noQuorumCheck    = "only a leader checks its quorum"
	checkBeforeBeat  = "a quorum check falls due before the heartbeat"
	beatWithCheck    = "the heartbeat falls due at the tick of the quorum check"
)

// server is one server of a session. An input is the call and everything that follows from it until the library
// has nothing ready.
type server struct {
	id      uint64
	config  config
	async   bool
	storage *storage
	node    *raft.RawNode

	// The counters of the library, which it does not show. They start at zero when the server begins
	// to lead, and are read only while it leads.
	leaderTerm       uint64
	electionElapsed  int
	heartbeatElapsed int

	application application
	sent        []sent
	handed      []pb.Entry
	lastView    []byte
}

type sent struct {
	message      pb.Message
	afterPersist bool
}

// session is a cluster, or some of its servers. Once the library has panicked it is of no use.
type session struct {
	servers []*server
	crash   string
}

// storage is the library's own, with the voters in the initial state: the log starts empty.
type storage struct {
	*raft.MemoryStorage
	voters []uint64
}

func (s *storage) InitialState() (pb.HardState, pb.ConfState, error) {
	hard, _, err := s.MemoryStorage.InitialState()
	return hard, pb.ConfState{Voters: s.voters}, err
}

func newServer(id uint64, c config, async bool) (s *server, err error) {
	s = &server{id: id, config: c, async: async, storage: &storage{MemoryStorage: raft.NewMemoryStorage()}}
	for voter := uint64(1); voter <= c.servers; voter++ {
		s.storage.voters = append(s.storage.voters, voter)
	}
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("the library refuses the configuration: %v", cause)
		}
	}()
	return s, s.start(0)
}

// start builds the library's state from what is durable.
func (s *server) start(applied uint64) error {
	maxSize := uint64(math.MaxUint64)
	if s.config.oneEntryPerAppend {
		maxSize = 0
	}
	node, err := raft.NewRawNode(&raft.Config{
		ID:            s.id,
		ElectionTick:  electionTicks,
		HeartbeatTick: heartbeatTicks,
		Storage:       s.storage,
		Applied:       applied,
		MaxSizePerMsg: maxSize,
		// Left at zero it would take the value of MaxSizePerMsg, and with a zero there the library
		// panics at the first commit (conformance/findings).
		MaxCommittedSizePerReady:  math.MaxUint64,
		MaxInflightMsgs:           s.config.maxInflight,
		CheckQuorum:               s.config.checkQuorum,
		PreVote:                   s.config.preVote,
		AsyncStorageWrites:        s.async,
		DisableProposalForwarding: true,
		Logger:                    silent{},
	})
	if err != nil {
		return err
	}
	s.node = node
	s.leaderTerm = 0
	hard, _, err := s.storage.InitialState()
	s.application = application{applied: applied, soft: raft.SoftState{RaftState: raft.StateFollower}, hard: hard}
	return err
}

// apply does one step and appends its result, or that the library panicked.
func (s *session) apply(line []byte, next step) (out []byte) {
	start := len(line)
	defer func() {
		if cause := recover(); cause != nil {
			s.crash = describePanic(cause)
			out = appendText(line[:start], "crashed", s.crash)
		}
	}()
	if s.crash != "" {
		return appendText(line, "crashed", s.crash)
	}
	for _, one := range s.servers {
		if one.id == next.server {
			return one.apply(line, next.input)
		}
	}
	return appendText(line, "not_driven", fmt.Sprintf("server %d is not in this session", next.server))
}

// appendViews appends what has changed since it was last written, and ends the reply.
func (s *session) appendViews(line []byte) []byte {
	line = append(line, `,"views":[`...)
	for i, one := range s.servers {
		if i > 0 {
			line = append(line, ',')
		}
		changed := false
		if s.crash == "" {
			line, changed = one.appendViewIfChanged(line)
		}
		if !changed {
			line = append(line, "null"...)
		}
	}
	return append(line, "]}"...)
}

// apply does one input and appends its result.
func (s *server) apply(line []byte, in input) []byte {
	s.sent, s.handed = s.sent[:0], s.handed[:0]
	refused, notDriven := s.drive(in)
	if notDriven != "" {
		return appendText(line, "not_driven", notDriven)
	}
	s.settle()
	s.watchLeadership()

	line = append(line, `{"outcome":`...)
	if refused == "" {
		line = append(line, `"accepted"`...)
	} else {
		line = append(line, `{"refused":"`...)
		line = append(line, refused...)
		line = append(line, `"}`...)
	}
	line = append(line, `,"sent":[`...)
	for i := range s.sent {
		if i > 0 {
			line = append(line, ',')
		}
		line = append(line, `{"message":`...)
		var err error
		if line, err = appendMessage(line, &s.sent[i].message); err != nil {
			panic(err)
		}
		line = append(line, `,"after_persist":`...)
		line = strconv.AppendBool(line, s.sent[i].afterPersist)
		line = append(line, '}')
	}
	line = append(line, ']')
	line = s.appendHanded(line)
	mark := len(line)
	line = append(line, `,"view":`...)
	if line, changed := s.appendViewIfChanged(line); changed {
		return append(line, '}')
	}
	return append(line[:mark], '}')
}

// appendViewIfChanged appends the view, or nothing if it is the one that was written last.
func (s *server) appendViewIfChanged(line []byte) ([]byte, bool) {
	start := len(line)
	line = s.appendView(line)
	if bytes.Equal(line[start:], s.lastView) {
		return line[:start], false
	}
	s.lastView = append(s.lastView[:0], line[start:]...)
	return line, true
}

// drive makes the call of an input. It returns why the library refused it, or why it was not made.
func (s *server) drive(in input) (refused, notDriven string) {
	leads := s.node.BasicStatus().RaftState == raft.StateLeader
	switch in.kind {
	case timeout:
		return refusal(s.node.Campaign())
	case propose:
		return refusal(s.node.Propose(strconv.AppendUint(nil, in.value, 10)))
	case deliver:
		return refusal(s.node.Step(in.message))
	case restart:
		if err := s.start(s.application.applied); err != nil {
			panic(err)
		}
		return "", ""
	case leaseExpire:
		if leads {
			return "", noLease
		}
		s.passTime()
		return "", ""
	case heartbeat:
		if !leads {
			return "", noHeartbeatTimer
		}
		return "", s.heartbeat()
	case checkQuorum:
		if !leads {
			return "", noQuorumCheck
		}
		return "", s.checkQuorum()
	default:
		return "", "unknown input " + strconv.Quote(string(in.kind))
	}
}

// passTime lets an election timeout pass in which no timer fires.
func (s *server) passTime() {
	for range electionTicks {
		s.node.TickQuiesced()
	}
}

// heartbeat ticks a leader until its heartbeat timer fires, and no further. It does nothing and says why
// if a quorum check would fire before.
func (s *server) heartbeat() (notDriven string) {
	ticks := heartbeatTicks - s.heartbeatElapsed
	if s.config.checkQuorum && s.electionElapsed+ticks >= electionTicks {
		return checkBeforeBeat
	}
	for range ticks {
		s.node.Tick()
	}
	s.heartbeatElapsed = 0
	s.electionElapsed = (s.electionElapsed + ticks) % electionTicks
	return ""
}

// checkQuorum passes the rest of a leader's election timeout quietly and ends it by one tick. It does
// nothing and says why if that tick would fire the heartbeat timer too.
func (s *server) checkQuorum() (notDriven string) {
	if s.heartbeatElapsed+1 >= heartbeatTicks {
		return beatWithCheck
	}
	for range electionTicks - 1 - s.electionElapsed {
		s.node.TickQuiesced()
	}
	s.node.Tick()
	s.electionElapsed = 0
	s.heartbeatElapsed++
	return ""
}

// watchLeadership starts the counters when the server begins to lead a term.
func (s *server) watchLeadership() {
	status := s.node.BasicStatus()
	if status.RaftState != raft.StateLeader {
		s.leaderTerm = 0
	} else if s.leaderTerm != status.Term {
		s.leaderTerm, s.electionElapsed, s.heartbeatElapsed = status.Term, 0, 0
	}
}

// appendView writes what the public API shows of the server. The log is the durable one: nothing is
// left unstable at the end of an input, and the library shows its unstable entries to nobody else.
func (s *server) appendView(line []byte) []byte {
	status := s.node.BasicStatus()
	line = append(line, `{"role":"`...)
	switch status.RaftState {
	case raft.StateFollower:
		line = append(line, "follower"...)
	case raft.StatePreCandidate:
		line = append(line, "pre_candidate"...)
	case raft.StateCandidate:
		line = append(line, "candidate"...)
	case raft.StateLeader:
		line = append(line, "leader"...)
	}
	line = append(line, '"')
	line = appendNumber(line, "term", status.Term)
	line = appendServer(line, "vote", status.Vote)
	line = appendServer(line, "leader", status.Lead)
	line = append(line, `,"log":`...)
	line = s.appendLog(line)
	line = appendNumber(line, "commit", status.Commit)
	line = appendNumber(line, "applied", status.Applied)
	full := s.node.Status()
	s.checkStatus(full)
	if status.RaftState == raft.StateLeader {
		line = append(line, `,"peers":{`...)
		progress := full.Progress
		first := true
		for _, id := range s.storage.voters {
			if pr, ok := progress[id]; ok && id != s.id {
				if !first {
					line = append(line, ',')
				}
				first = false
				line = appendPeer(line, id, (*tracker.Progress)(&pr))
			}
		}
		line = append(line, '}')
	}
	hard, _, err := s.storage.InitialState()
	if err != nil {
		panic(err)
	}
	line = append(line, `,"durable":{"term":`...)
	line = strconv.AppendUint(line, hard.Term, 10)
	line = appendServer(line, "vote", hard.Vote)
	line = appendNumber(line, "commit", hard.Commit)
	return append(line, "}}"...)
}

// appendHanded writes the entries that the application was handed, if there are any.
func (s *server) appendHanded(line []byte) []byte {
	for i := range s.handed {
		if i == 0 {
			line = append(line, `,"handed":[`...)
		} else {
			line = append(line, ',')
		}
		line = append(line, `{"index":`...)
		line = strconv.AppendUint(line, s.handed[i].Index, 10)
		line = append(line, `,"entry":`...)
		var err error
		if line, err = appendEntry(line, &s.handed[i]); err != nil {
			panic(err)
		}
		line = append(line, '}')
	}
	if len(s.handed) > 0 {
		line = append(line, ']')
	}
	return line
}

func (s *server) appendLog(line []byte) []byte {
	last, err := s.storage.LastIndex()
	if err != nil {
		panic(err)
	}
	var entries []pb.Entry
	if last > 0 {
		if entries, err = s.storage.Entries(1, last+1, math.MaxUint64); err != nil {
			panic(err)
		}
	}
	if line, err = appendEntries(line, entries, 1); err != nil {
		panic(err)
	}
	return line
}

// refusal names the errors of the library.
func refusal(err error) (refused, notDriven string) {
	switch {
	case err == nil:
		return "", ""
	case errors.Is(err, raft.ErrProposalDropped):
		return "proposal_dropped", ""
	case errors.Is(err, raft.ErrStepPeerNotFound):
		return "unknown_peer", ""
	case errors.Is(err, raft.ErrStepLocalMsg):
		return "local_message", ""
	default:
		panic(err)
	}
}

// describePanic is the cause of a panic and the functions of the library that led to it.
func describePanic(cause any) string {
	var b strings.Builder
	fmt.Fprintf(&b, "panic: %v", cause)
	frames := 0
	for _, frame := range strings.Split(string(debug.Stack()), "\n") {
		if frames < 6 && strings.HasPrefix(frame, "go.etcd.io/raft/") {
			if arguments := strings.LastIndex(frame, "("); arguments > 0 {
				frame = frame[:arguments]
			}
			fmt.Fprintf(&b, "; in %s", frame)
			frames++
		}
	}
	return b.String()
}

// silent drops what the library logs. It panics where the library means to.
type silent struct{}

func (silent) Debug(...any)            {}
func (silent) Debugf(string, ...any)   {}
func (silent) Error(...any)            {}
func (silent) Errorf(string, ...any)   {}
func (silent) Info(...any)             {}
func (silent) Infof(string, ...any)    {}
func (silent) Warning(...any)          {}
func (silent) Warningf(string, ...any) {}
func (silent) Fatal(v ...any)          { panic(fmt.Sprint(v...)) }
func (silent) Fatalf(f string, v ...any) {
	panic(fmt.Sprintf(f, v...))
}
func (silent) Panic(v ...any) { panic(fmt.Sprint(v...)) }
func (silent) Panicf(f string, v ...any) {
	panic(fmt.Sprintf(f, v...))
}
