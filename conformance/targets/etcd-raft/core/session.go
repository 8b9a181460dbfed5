package core

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"runtime/debug"
	"strconv"
	"strings"
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
	timersOfItsOwn   = "the clock of the session raises its timers"
	noClock          = "the session has no clock"
	checkBeforeBeat  = "a quorum check falls due before the heartbeat"
	beatWithCheck    = "the heartbeat falls due at the tick of the quorum check"
)

// server is one server of a session. An input is the call and everything that follows from it until the library
// has nothing ready.
type server struct {
	id      uint64
	config  config
	async   bool
	library Library
	storage Storage
	node    Node
	// clock is nil in a session without clocks.
	clock *clock

	// The counters of the library, which it does not show. They start at zero when the server begins
	// to lead, and are read only while it leads.
	leaderTerm       uint64
	electionElapsed  int
	heartbeatElapsed int
	// transferee is who was to lead when the counters were last looked at.
	transferee uint64
	// foundItselfUnreachable tells whether somebody told this leader that it could not be reached by itself.
	foundItselfUnreachable bool

	application application
	sent        []sent
	handed      []Entry
	readStates  []ReadState
	lastView    []byte
}

type sent struct {
	message      Message
	afterPersist bool
}

// session is a cluster, or some of its servers. Once the library has panicked it is of no use.
type session struct {
	servers []*server
	crash   string
}

func newServer(id uint64, c config, t *timing, library Library, async bool) (s *server, err error) {
	async = async || c.asyncStorage
	s = &server{id: id, config: c, async: async, library: library, storage: library.NewStorage(c.confState())}
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("the library refuses the configuration: %v", cause)
		}
	}()
	if t == nil {
		return s, s.start(0)
	}
	s.clock = newClock(id, *t)
	s.clock.while(func() { err = s.start(0) })
	if err == nil && !s.clock.drawn {
		err = errNotDrawn
	}
	return s, err
}

// ticks are the timeouts of the library.
func (s *server) ticks() (election, beat int) {
	if s.clock != nil {
		return s.clock.timing.electionTicks, s.clock.timing.heartbeatTicks
	}
	return electionTicks, heartbeatTicks
}

// start builds the library's state from what is durable.
func (s *server) start(applied uint64) error {
	maxSize := uint64(math.MaxUint64)
	if s.config.oneEntryPerAppend {
		maxSize = 0
	}
	election, beat := s.ticks()
	node, err := s.library.NewNode(NodeConfig{
		ID:            s.id,
		ElectionTick:  election,
		HeartbeatTick: beat,
		Applied:       applied,
		MaxSizePerMsg: maxSize,
		// Left at zero it would take the value of MaxSizePerMsg, and with a zero there the library
		// panics at the first commit (conformance/findings).
		MaxCommittedSizePerReady:    math.MaxUint64,
		MaxUncommittedEntriesSize:   s.config.maxUncommitted * payloadBytes,
		MaxInflightMsgs:             s.config.maxInflight,
		CheckQuorum:                 s.config.checkQuorum,
		PreVote:                     s.config.preVote,
		AsyncStorageWrites:          s.async,
		LeaseBasedReads:             s.config.reads == readsLeaseBased,
		DisableProposalForwarding:   !s.config.forwardProposals,
		StepDownOnRemoval:           s.config.stepDownOnRemoval,
		DisableConfChangeValidation: s.config.disableConfChangeValidation,
	}, s.storage)
	if err != nil {
		return err
	}
	s.node = node
	s.leaderTerm, s.transferee = 0, None
	s.application = application{applied: applied, hard: s.storage.HardState()}
	return nil
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

// appendTimers appends the timers of every server, if the session has clocks.
func (s *session) appendTimers(line []byte) []byte {
	for i, one := range s.servers {
		if one.clock == nil {
			return line
		}
		line = append(line, named(i == 0, `,"timers":[`, `,`)...)
		line = one.clock.appendTimers(line)
	}
	return append(line, named(len(s.servers) > 0, "]", "")...)
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
	s.sent, s.handed, s.readStates = s.sent[:0], s.handed[:0], s.readStates[:0]
	var refused Refusal
	var notDriven string
	do := func() {
		if refused, notDriven = s.drive(in); notDriven == "" {
			s.settle()
			s.watchLeadership()
		}
	}
	if s.clock == nil {
		do()
	} else {
		s.clock.while(do)
	}
	if notDriven != "" {
		return appendText(line, "not_driven", notDriven)
	}

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
		if line, err = appendMessage(line, s.library, &s.sent[i].message, s.id); err != nil {
			panic(err)
		}
		line = append(line, `,"after_persist":`...)
		line = strconv.AppendBool(line, s.sent[i].afterPersist)
		line = append(line, '}')
	}
	line = append(line, ']')
	line = s.appendReadStates(s.appendHanded(line))
	if s.clock != nil {
		line = append(line, `,"timers":`...)
		line = s.clock.appendTimers(line)
	}
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
func (s *server) drive(in input) (refused Refusal, notDriven string) {
	leads := s.node.BasicStatus().Role == Leader
	switch in.kind {
	case timeout, leaseExpire, heartbeat, checkQuorum:
		if s.clock != nil {
			return "", timersOfItsOwn
		}
	case tick:
		if s.clock == nil {
			return "", noClock
		}
	}
	switch in.kind {
	case tick:
		s.node.Tick()
		return "", ""
	case timeout:
		if !leads && (!s.conf().votes(s.id) || s.application.outstanding.snapshot() != nil) {
			// The call does nothing at a server that may not campaign. That the timer fires says all the same that
			// nothing was heard for an election timeout.
			s.passTime()
		}
		return refusal(s.node.Campaign()), ""
	case propose:
		return refusal(s.node.Propose(valueData(in.value))), ""
	case proposeConfChange:
		if leavesJoint(in.change) {
			return refusal(s.node.ProposeConfChange(nil)), ""
		}
		change := sized(s.library, in.change)
		return refusal(s.node.ProposeConfChange(&change)), ""
	case deliver:
		return refusal(s.node.Step(in.message)), ""
	case restart:
		s.crash(0)
		return "", ""
	case restartKeeping:
		s.crash(in.writes)
		return "", ""
	case persist:
		s.persistOldest()
		return "", ""
	case apply:
		s.applyOldest()
		return "", ""
	case readIndex:
		s.node.ReadIndex(contextData(in.context))
		return s.readRefused(), ""
	case transferLeadership:
		s.node.TransferLeader(in.peer)
		return "", ""
	case forgetLeader:
		return refusal(s.node.ForgetLeader()), ""
	case compact:
		s.compact()
		return "", ""
	case reportUnreachable:
		s.node.ReportUnreachable(in.peer)
		s.foundItselfUnreachable = s.foundItselfUnreachable || leads && in.peer == s.id
		return "", ""
	case reportSnapshot:
		s.node.ReportSnapshot(in.peer, in.ok)
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
// if an election timeout would be over before, and that would change something.
func (s *server) heartbeat() (notDriven string) {
	ticks := heartbeatTicks - s.heartbeatElapsed
	matters := s.config.checkQuorum || s.transferee != None
	if matters && s.electionElapsed+ticks >= electionTicks {
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

// watchLeadership starts the counters when the server begins to lead a term, and the one of the election timeout
// when it begins to transfer leadership.
func (s *server) watchLeadership() {
	status := s.node.BasicStatus()
	if status.Role != Leader {
		s.leaderTerm = 0
	} else if s.leaderTerm != status.Term {
		s.leaderTerm, s.electionElapsed, s.heartbeatElapsed = status.Term, 0, 0
		s.foundItselfUnreachable = false
	} else if status.LeadTransferee != None && status.LeadTransferee != s.transferee {
		s.electionElapsed = 0
	}
	s.transferee = status.LeadTransferee
}

// readRefused tells why a read was not taken. The library does not say; its status shows that there is nobody to ask.
func (s *server) readRefused() Refusal {
	status := s.node.BasicStatus()
	if status.Role == Leader || status.Role == Follower && status.Lead != None || !s.config.haveReads() {
		return ""
	}
	return NoLeader
}

// appendView writes what the public API shows of the server. Log and snapshot are what is stored and what is
// outstanding: the library shows its unstable entries to nobody else. The configuration is what the library told the
// application to use, which the status repeats.
func (s *server) appendView(line []byte) []byte {
	full := s.node.Status()
	status := full.BasicStatus
	line = append(line, `{"role":"`...)
	switch status.Role {
	case Follower:
		line = append(line, "follower"...)
	case PreCandidate:
		line = append(line, "pre_candidate"...)
	case Candidate:
		line = append(line, "candidate"...)
	case Leader:
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
	s.checkStatus(full)
	if status.Role == Leader {
		line = append(line, `,"peers":{`...)
		first := true
		for i := range full.Progress {
			if pr := &full.Progress[i]; pr.ID != s.id {
				if !first {
					line = append(line, ',')
				}
				first = false
				line = appendPeer(line, pr)
			}
		}
		line = append(line, '}')
	}
	if status.LeadTransferee != None {
		line = appendNumber(line, "transferee", status.LeadTransferee)
	}
	if s.config.mayChange() {
		line = append(line, `,"configuration":`...)
		line = appendConfiguration(line, s.conf())
	}
	if s.config.asyncStorage {
		line = s.appendOutstanding(line, &full)
	}
	hard := s.storage.HardState()
	line = append(line, `,"durable":{"term":`...)
	line = strconv.AppendUint(line, hard.Term, 10)
	line = appendServer(line, "vote", hard.Vote)
	line = appendNumber(line, "commit", hard.Commit)
	if s.config.asyncStorage {
		line = append(line, `,"log":`...)
		line = s.appendStored(line)
	}
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
		if line, err = appendEntry(line, s.library, &s.handed[i]); err != nil {
			panic(err)
		}
		line = append(line, '}')
	}
	if len(s.handed) > 0 {
		line = append(line, ']')
	}
	return line
}

// appendReadStates writes the reads that were answered, if there are any.
func (s *server) appendReadStates(line []byte) []byte {
	for i, state := range s.readStates {
		line = append(line, named(i == 0, `,"read_states":[`, `,`)...)
		context, err := contextOf(state.Context)
		if err != nil {
			panic(err)
		}
		line = append(line, `{"context":`...)
		line = strconv.AppendUint(line, context, 10)
		line = appendNumber(line, "index", state.Index)
		line = append(line, '}')
	}
	if len(s.readStates) > 0 {
		line = append(line, ']')
	}
	return line
}

// appendLog writes the log, and the snapshot that stands for what is before it.
func (s *server) appendLog(line []byte) []byte {
	if s.config.asyncStorage {
		return s.appendLogInMemory(line)
	}
	return s.appendStored(line)
}

// appendStored writes the log that is stored.
func (s *server) appendStored(line []byte) []byte {
	first := s.storage.FirstIndex()
	line, err := appendEntries(line, s.library, s.storage.Entries(), first)
	if err != nil {
		panic(err)
	}
	if first > 1 {
		snapshot := s.storage.Snapshot()
		agree("the end of the snapshot", snapshot.Index, first-1)
		line = append(line, `,"snapshot":`...)
		if line, err = appendSnapshot(line, snapshot); err != nil {
			panic(err)
		}
	}
	return line
}

// refusal names an error of the library.
func refusal(err error) Refusal {
	var name Refusal
	if err != nil && !errors.As(err, &name) {
		panic(err)
	}
	return name
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

// Silent drops what the library logs. It panics where the library means to.
type Silent struct{}

func (Silent) Debug(...any)            {}
func (Silent) Debugf(string, ...any)   {}
func (Silent) Error(...any)            {}
func (Silent) Errorf(string, ...any)   {}
func (Silent) Info(...any)             {}
func (Silent) Infof(string, ...any)    {}
func (Silent) Warning(...any)          {}
func (Silent) Warningf(string, ...any) {}
func (Silent) Fatal(v ...any)          { panic(fmt.Sprint(v...)) }
func (Silent) Fatalf(f string, v ...any) {
	panic(fmt.Sprintf(f, v...))
}
func (Silent) Panic(v ...any) { panic(fmt.Sprint(v...)) }
func (Silent) Panicf(f string, v ...any) {
	panic(fmt.Sprintf(f, v...))
}
