// Command recorder records runs of a small cluster of etcd's raft with its own tracing (build tag with_tla), one JSON object a
// line. The same seed gives the same bytes: nothing here reads a clock, and elections are asked for, so that the
// library's own random timeouts never count.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"math/rand"
	"os"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
)

// An election timeout that no run reaches.
const electionTick = 1 << 20

type tracer struct {
	out   *json.Encoder
	lines int
}

type line struct {
	Tag   string             `json:"tag"`
	Event *raft.TracingEvent `json:"event"`
}

func (t *tracer) TraceEvent(event *raft.TracingEvent) {
	t.lines++
	if err := t.out.Encode(line{"trace", event}); err != nil {
		fail(err)
	}
}

// server is one server: the library, and its disk, on which every write is synced.
type server struct {
	id      uint64
	node    *raft.RawNode
	storage *raft.MemoryStorage
	applied uint64
	ready   *raft.Ready
}

type cluster struct {
	random  *rand.Rand
	trace   *tracer
	options options
	servers []*server
	network []pb.Message
	value   int
}

type options struct {
	seed        int64
	servers     int
	lines       int
	preVote     bool
	checkQuorum bool
	crashes     bool
	loss        float64
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "recorder:", err)
	os.Exit(1)
}

func (c *cluster) config(s *server) *raft.Config {
	return &raft.Config{
		ID:              s.id,
		ElectionTick:    electionTick,
		HeartbeatTick:   1,
		Storage:         s.storage,
		MaxSizePerMsg:   1 << 20,
		MaxInflightMsgs: 256,
		PreVote:         c.options.preVote,
		CheckQuorum:     c.options.checkQuorum,
		Logger:          &raft.DefaultLogger{Logger: log.New(io.Discard, "", 0)},
		TraceLogger:     c.trace,
	}
}

// start creates the library of a server, for the first time with a list of peers.
func (c *cluster) start(s *server, peers []raft.Peer) {
	node, err := raft.NewRawNode(c.config(s))
	if err != nil {
		fail(err)
	}
	s.node, s.ready, s.applied = node, nil, 0
	if peers != nil {
		if err := node.Bootstrap(peers); err != nil {
			fail(err)
		}
	}
}

// take hands the application what there is to do, if it is not busy.
func (c *cluster) take(s *server) {
	if s.ready == nil && s.node.HasReady() {
		ready := s.node.Ready()
		s.ready = &ready
	}
}

// finish writes, sends and applies what was taken.
func (c *cluster) finish(s *server) {
	if s.ready == nil {
		return
	}
	ready := *s.ready
	s.ready = nil
	if !raft.IsEmptyHardState(ready.HardState) {
		if err := s.storage.SetHardState(ready.HardState); err != nil {
			fail(err)
		}
	}
	if err := s.storage.Append(ready.Entries); err != nil {
		fail(err)
	}
	for _, m := range ready.Messages {
		if c.random.Float64() >= c.options.loss {
			c.network = append(c.network, m)
		}
	}
	for _, entry := range ready.CommittedEntries {
		if entry.Type == pb.EntryConfChange {
			var change pb.ConfChange
			if err := change.Unmarshal(entry.Data); err != nil {
				fail(err)
			}
			s.node.ApplyConfChange(change)
		}
		s.applied = entry.Index
	}
	s.node.Advance(ready)
}

// step does one thing, by chance.
func (c *cluster) step() {
	s := c.servers[c.random.Intn(len(c.servers))]
	switch chance := c.random.Intn(100); {
	case chance < 35 && len(c.network) > 0:
		place := c.random.Intn(len(c.network))
		m := c.network[place]
		c.network = append(c.network[:place], c.network[place+1:]...)
		// A refused message changes nothing.
		_ = c.servers[m.To-1].node.Step(m)
	case chance < 60:
		c.take(s)
	case chance < 85:
		c.finish(s)
	case chance < 92:
		c.value++
		// Who does not lead passes it on or drops it.
		_ = s.node.Propose([]byte(fmt.Sprint(c.value)))
	case chance < 97:
		s.node.Tick()
	case chance < 99:
		_ = s.node.Campaign()
	case c.options.crashes:
		c.start(s, nil)
	}
}

func main() {
	var o options
	flag.Int64Var(&o.seed, "seed", 1, "the seed")
	flag.IntVar(&o.servers, "servers", 3, "the number of servers")
	flag.IntVar(&o.lines, "lines", 600, "stop after this many lines")
	flag.BoolVar(&o.preVote, "pre-vote", false, "PreVote")
	flag.BoolVar(&o.checkQuorum, "check-quorum", false, "CheckQuorum")
	flag.BoolVar(&o.crashes, "crashes", false, "servers crash and come back")
	flag.Float64Var(&o.loss, "loss", 0.05, "the share of messages that are lost")
	flag.Parse()
	out := bufio.NewWriter(os.Stdout)
	c := &cluster{
		random:  rand.New(rand.NewSource(o.seed)),
		trace:   &tracer{out: json.NewEncoder(out)},
		options: o,
	}
	var peers []raft.Peer
	for id := 1; id <= o.servers; id++ {
		peers = append(peers, raft.Peer{ID: uint64(id)})
	}
	for _, peer := range peers {
		s := &server{id: peer.ID, storage: raft.NewMemoryStorage()}
		c.servers = append(c.servers, s)
		c.start(s, peers)
	}
	for c.trace.lines < o.lines {
		c.step()
	}
	if err := out.Flush(); err != nil {
		fail(err)
	}
}
