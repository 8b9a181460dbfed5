package main

import (
	"strconv"

	"github.com/hashicorp/raft"
)

type view struct {
	Role    string            `json:"role"`
	Term    uint64            `json:"term"`
	Log     [][2]any          `json:"log"`
	Commit  uint64            `json:"commit"`
	Applied uint64            `json:"applied"`
	Vote    *int              `json:"vote"`
	Match   map[string]uint64 `json:"match,omitempty"`
	Durable durable           `json:"durable"`
}

type durable struct {
	Term uint64   `json:"term"`
	Vote *int     `json:"vote"`
	Log  [][2]any `json:"log"`
}

// view is what the harness sees. The library stores its term, vote and log before it goes on, so they are what is durable.
func (s *server) view() view {
	roles := map[raft.RaftState]string{raft.Follower: "follower", raft.Candidate: "candidate", raft.Leader: "leader"}
	out := view{
		Role: roles[s.raft.State()], Term: s.term(), Commit: s.raft.CommitIndex(), Applied: s.raft.AppliedIndex(),
		Log: s.log(), Vote: s.vote(),
	}
	stored, _ := s.store.GetUint64([]byte("CurrentTerm"))
	out.Durable = durable{stored, out.Vote, out.Log}
	if out.Vote != nil && stored != out.Term {
		panic("the term in memory is not the one on disk")
	}
	if s.raft.State() == raft.Leader {
		out.Match = map[string]uint64{}
		matches := private(s.raft, "leaderState", "commitment", "matchIndexes")
		for each := matches.MapRange(); each.Next(); {
			if peer := each.Key().String(); peer != name(s.id) {
				out.Match[peer] = each.Value().Uint()
			}
		}
	}
	return out
}

// vote is whom it has voted for in this term.
func (s *server) vote() *int {
	if term, err := s.store.GetUint64([]byte("LastVoteTerm")); err != nil || term != s.term() {
		return nil
	}
	candidate, err := s.store.Get([]byte("LastVoteCand"))
	must(err)
	id, err := strconv.Atoi(string(candidate))
	must(err)
	return &id
}

func (s *server) log() [][2]any {
	last, err := s.store.LastIndex()
	must(err)
	out := [][2]any{}
	for index := uint64(1); index <= last; index++ {
		var e raft.Log
		must(s.store.GetLog(index, &e))
		var payload any
		switch e.Type {
		case raft.LogCommand:
			value, err := strconv.ParseUint(string(e.Data), 10, 64)
			must(err)
			payload = value
		case raft.LogNoop:
			payload = "noop"
		case raft.LogConfiguration:
			payload = "configuration"
		default:
			panic("an entry of no known type")
		}
		out = append(out, [2]any{e.Term, payload})
	}
	return out
}

// state is what the library can read again: what the view shows, its private fields, the calls that it waits for, and what it
// keeps on the stacks of its goroutines, as far as that is known from outside.
func (s *server) state() any {
	leader, _ := s.raft.LeaderWithID()
	out := map[string]any{
		"view": s.view(), "leader": leader, "granted": []int{},
		"configurations": []uint64{
			private(s.raft, "configurations", "committedIndex").Uint(), private(s.raft, "configurations", "latestIndex").Uint(),
		},
		"last": []uint64{private(s.raft, "raftState", "lastLogIndex").Uint(), private(s.raft, "raftState", "lastLogTerm").Uint()},
	}
	calls := map[string]int{}
	for _, one := range s.calls {
		calls[name(one.to)+" "+one.request]++
	}
	out["calls"] = calls
	switch s.raft.State() {
	case raft.Candidate:
		if s.grantedTerm == s.term() {
			out["granted"] = s.granted
		}
	case raft.Leader:
		next := map[string]any{}
		peers := private(s.raft, "leaderState", "replState")
		for each := peers.MapRange(); each.Next(); {
			peer := each.Value().Elem()
			next[each.Key().String()] = []any{peer.FieldByName("nextIndex").Uint(), peer.FieldByName("allowPipeline").Bool(),
				peer.FieldByName("triggerCh").Len()}
		}
		out["peers"] = next
		commitment := private(s.raft, "leaderState", "commitment")
		out["commitment"] = []uint64{commitment.Elem().FieldByName("commitIndex").Uint(), commitment.Elem().FieldByName("startIndex").Uint()}
	}
	return out
}
