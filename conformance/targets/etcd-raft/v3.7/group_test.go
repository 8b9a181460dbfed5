package main

import (
	"math"
	"slices"
	"testing"

	"lockstep/targets/etcd-raft/core"
)

// group is a cluster of RawNodes with a network that delivers what a test asks for, and nothing else.
type group struct {
	t       *testing.T
	config  core.NodeConfig
	servers []*member
	network []core.Message
}

// member is one server with its application. With AsyncStorageWrites every append stays outstanding until persist.
type member struct {
	node    *node
	store   core.Storage
	appends []core.Message
	// reads are the answers to its clients, applied is the data of the entries that its application has.
	reads   []core.ReadState
	applied []string
}

// newGroup starts that many voters.
func newGroup(t *testing.T, voters uint64, config core.NodeConfig) *group {
	config.ElectionTick, config.HeartbeatTick, config.MaxInflightMsgs = 10, 1, 8
	config.MaxSizePerMsg, config.MaxCommittedSizePerReady = math.MaxUint64, math.MaxUint64
	g := &group{t: t, config: config}
	var conf core.ConfState
	for id := uint64(1); id <= voters; id++ {
		conf.Voters = append(conf.Voters, id)
	}
	for id := uint64(1); id <= voters; id++ {
		g.servers = append(g.servers, &member{store: library{}.NewStorage(conf)})
		g.start(id)
	}
	return g
}

func (g *group) at(id uint64) *member { return g.servers[id-1] }

// start starts a server from its storage, with an application that has nothing: it has its state in memory.
func (g *group) start(id uint64) {
	config := g.config
	config.ID = id
	s := g.at(id)
	s.node = must(library{}.NewNode(config, s.store)).(*node)
	s.appends, s.applied, s.reads = nil, nil, nil
}

// call makes a call at a server and does what its Readys ask for.
func (g *group) call(id uint64, call func(n *node)) {
	s := g.at(id)
	call(s.node)
	for s.node.HasReady() {
		ready := s.node.Ready()
		s.reads = append(s.reads, ready.ReadStates...)
		for _, m := range ready.Messages {
			switch m.To {
			case core.AppendThread:
				s.appends = append(s.appends, m)
			case core.ApplyThread:
				s.apply(m.Entries)
				for _, response := range m.Responses {
					check(s.node.Step(response))
				}
			default:
				g.network = append(g.network, m)
			}
		}
		if !g.config.AsyncStorageWrites {
			s.write(ready.Entries, ready.HardState)
			s.apply(ready.CommittedEntries)
			s.node.Advance()
		}
	}
}

func (s *member) write(entries []core.Entry, hard core.HardState) {
	s.store.Append(entries)
	if (hard != core.HardState{}) {
		s.store.SetHardState(hard)
	}
}

func (s *member) apply(entries []core.Entry) {
	for _, e := range entries {
		s.applied = append(s.applied, string(e.Data))
		if e.Type != core.EntryNormal {
			s.store.SetConfState(s.node.ApplyConfChange(must(library{}.DecodeChange(e.Type, e.Data))))
		}
	}
}

// persist makes the oldest outstanding append of a server durable.
func (g *group) persist(id uint64) {
	s := g.at(id)
	m := s.appends[0]
	s.appends = s.appends[1:]
	s.write(m.Entries, core.HardState{Term: m.Term, Vote: m.Vote, Commit: m.Commit})
	for _, response := range m.Responses {
		if response.To != id {
			g.network = append(g.network, response)
			continue
		}
		g.call(id, func(n *node) { check(n.Step(response)) })
	}
}

// crash loses what is not durable, and starts the server anew.
func (g *group) crash(id uint64) { g.start(id) }

// take takes the first such message off the network.
func (g *group) take(kind core.MessageType, from, to uint64) core.Message {
	g.t.Helper()
	for i, m := range g.network {
		if m.Type == kind && m.From == from && m.To == to {
			g.network = slices.Delete(g.network, i, i+1)
			return m
		}
	}
	g.t.Fatalf("no message of type %d from %d to %d in %+v", kind, from, to, g.network)
	return core.Message{}
}

// give hands a message to its recipient.
func (g *group) give(m core.Message) { g.call(m.To, func(n *node) { check(n.Step(m)) }) }

func (g *group) deliver(kind core.MessageType, from, to uint64) {
	g.t.Helper()
	g.give(g.take(kind, from, to))
}

// settle delivers and persists everything among these servers until nothing is left. Other messages stay on their way.
func (g *group) settle(among ...uint64) {
	for busy := true; busy; {
		busy = false
		for _, id := range among {
			for len(g.at(id).appends) > 0 {
				g.persist(id)
				busy = true
			}
		}
		for i, m := range g.network {
			if slices.Contains(among, m.From) && slices.Contains(among, m.To) {
				g.network = slices.Delete(g.network, i, i+1)
				g.give(m)
				busy = true
				break
			}
		}
	}
}

func (g *group) campaign(id uint64) { g.call(id, func(n *node) { check(n.Campaign()) }) }

func (g *group) propose(id uint64, data string) {
	g.call(id, func(n *node) { check(n.Propose([]byte(data))) })
}

func (g *group) read(id uint64, context string) {
	g.call(id, func(n *node) { n.ReadIndex([]byte(context)) })
}

// mustLead fails unless the server leads that term with that commit index.
func (g *group) mustLead(id, term, commit uint64) {
	g.t.Helper()
	status := g.at(id).node.BasicStatus()
	if status.Role != core.Leader || status.Term != term || status.Commit != commit {
		g.t.Fatalf("it does not lead term %d with commit index %d: %+v", term, commit, status)
	}
}

// answer is the index that a client of this server was last told, and whether it was told one.
func (g *group) answer(id uint64, context string) (index uint64, found bool) {
	for _, state := range g.at(id).reads {
		if string(state.Context) == context {
			index, found = state.Index, true
		}
	}
	return index, found
}
