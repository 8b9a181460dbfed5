package raft

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"math"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"testing"

	pb "go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"
)

type J = map[string]any

type store struct {
	*MemoryStorage
	cs      pb.ConfState
	applied uint64
}

func (s *store) InitialState() (pb.HardState, pb.ConfState, error) {
	hs, _, err := s.MemoryStorage.InitialState()
	return hs, s.cs, err
}

func num(v any) uint64 {
	if v == nil {
		return 0
	}
	return uint64(v.(float64))
}
func ids(v any) []uint64 {
	var out []uint64
	if v == nil {
		return nil
	}
	for _, x := range v.([]any) {
		out = append(out, num(x))
	}
	return out
}
func boolean(v any) bool { b, _ := v.(bool); return b }

func change(v any) pb.ConfChangeV2 {
	m := v.(J)
	var cc pb.ConfChangeV2
	for _, c := range m["changes"].([]any) {
		for k, id := range c.(J) {
			t := map[string]pb.ConfChangeType{"add_voter": pb.ConfChangeAddNode, "add_learner": pb.ConfChangeAddLearnerNode, "remove": pb.ConfChangeRemoveNode}[k]
			cc.Changes = append(cc.Changes, pb.ConfChangeSingle{Type: t, NodeID: num(id)})
		}
	}
	switch m["transition"] {
	case "implicit":
		cc.Transition = pb.ConfChangeTransitionJointImplicit
	case "explicit":
		cc.Transition = pb.ConfChangeTransitionJointExplicit
	}
	return cc
}

func entry(v any) pb.Entry {
	m := v.(J)
	e := pb.Entry{Term: num(m["term"])}
	switch p := m["payload"].(type) {
	case string:
	case J:
		if val, ok := p["value"]; ok {
			e.Data = []byte(strconv.FormatUint(num(val), 10))
		} else {
			cc := change(p["conf_change"])
			d, _ := cc.Marshal()
			e.Type = pb.EntryConfChangeV2
			e.Data = d
		}
	}
	return e
}

func showEntry(e pb.Entry) string {
	if e.Type == pb.EntryConfChangeV2 {
		var cc pb.ConfChangeV2
		cc.Unmarshal(e.Data)
		return fmt.Sprintf("%d:%v%v", e.Term, cc.Changes, cc.Transition)
	}
	return fmt.Sprintf("%d:%d:%x", e.Term, e.Type, e.Data)
}

func message(v any) pb.Message {
	m := v.(J)
	out := pb.Message{From: num(m["from"]), To: num(m["to"]), Term: num(m["term"])}
	if s, ok := m["body"].(string); ok {
		if s != "heartbeat_response" {
			panic(s)
		}
		out.Type = pb.MsgHeartbeatResp
		return out
	}
	for k, bv := range m["body"].(J) {
		b := bv.(J)
		switch k {
		case "request_vote", "request_pre_vote":
			out.Type = pb.MsgVote
			if k == "request_pre_vote" {
				out.Type = pb.MsgPreVote
			}
			out.Index, out.LogTerm = num(b["last_index"]), num(b["last_term"])
		case "request_vote_response":
			out.Type, out.Reject = pb.MsgVoteResp, !boolean(b["granted"])
		case "request_pre_vote_response":
			out.Type, out.Reject = pb.MsgPreVoteResp, !boolean(b["granted"])
		case "append_entries":
			out.Type = pb.MsgApp
			out.Index, out.LogTerm, out.Commit = num(b["prev_index"]), num(b["prev_term"]), num(b["commit"])
			for i, e := range b["entries"].([]any) {
				en := entry(e)
				en.Index = out.Index + 1 + uint64(i)
				out.Entries = append(out.Entries, en)
			}
		case "append_entries_response":
			out.Type = pb.MsgAppResp
			out.Index = num(b["index"])
			if r, ok := b["rejected"].(J); ok {
				out.Reject = true
				out.RejectHint, out.LogTerm = num(r["index"]), num(r["term"])
			}
		case "heartbeat":
			out.Type, out.Commit = pb.MsgHeartbeat, num(b["commit"])
		default:
			panic(k)
		}
	}
	return out
}

func showMessage(m pb.Message) string {
	var es []string
	for _, e := range m.Entries {
		es = append(es, showEntry(e))
	}
	c := m.Commit
	if m.Type != pb.MsgApp && m.Type != pb.MsgHeartbeat {
		c = 0
	}
	return fmt.Sprintf("%d->%d %v t%d lt%d i%d c%d rej%v hint%d %v", m.From, m.To, m.Type, m.Term, m.LogTerm, m.Index, c, m.Reject, m.RejectHint, es)
}

type lsNode struct {
	id  uint64
	rn  *RawNode
	st  *store
	cfg J
	log []pb.Entry
}

func (n *lsNode) start() {
	quiet := &DefaultLogger{Logger: log.New(io.Discard, "", 0)}
	size := uint64(math.MaxUint64)
	if boolean(n.cfg["one_entry_per_append"]) {
		size = 0
	}
	c := &Config{ID: n.id, ElectionTick: 10, HeartbeatTick: 1, Storage: n.st, Applied: n.st.applied, MaxSizePerMsg: size,
		MaxCommittedSizePerReady: math.MaxUint64,
		MaxInflightMsgs: int(num(n.cfg["max_inflight"])), CheckQuorum: boolean(n.cfg["check_quorum"]), PreVote: boolean(n.cfg["pre_vote"]),
		DisableProposalForwarding: true, DisableConfChangeValidation: boolean(n.cfg["disable_conf_change_validation"]), StepDownOnRemoval: boolean(n.cfg["step_down_on_removal"]), Logger: quiet}
	rn, err := NewRawNode(c)
	if err != nil {
		panic(err)
	}
	n.rn = rn
}

func (n *lsNode) drain() (out []string) {
	for n.rn.HasReady() {
		rd := n.rn.Ready()
		if !IsEmptyHardState(rd.HardState) {
			n.st.SetHardState(rd.HardState)
		}
		n.st.Append(rd.Entries)
		for _, m := range rd.Messages {
			out = append(out, showMessage(m))
		}
		for _, e := range rd.CommittedEntries {
			if e.Type == pb.EntryConfChangeV2 {
				var cc pb.ConfChangeV2
				if err := cc.Unmarshal(e.Data); err != nil {
					panic(err)
				}
				n.st.cs = *n.rn.ApplyConfChange(cc)
			}
			n.st.applied = e.Index
		}
		n.rn.Advance(rd)
	}
	sort.Strings(out)
	return
}

func set(v []uint64) string { sort.Slice(v, func(i, j int) bool { return v[i] < v[j] }); return fmt.Sprint(v) }

func (n *lsNode) view() string {
	r := n.rn.raft
	var sb strings.Builder
	fmt.Fprintf(&sb, "%v t%d v%d l%d c%d a%d ", r.state, r.Term, r.Vote, r.lead, r.raftLog.committed, r.raftLog.applied)
	ents, _ := n.st.Entries(1, r.raftLog.lastIndex()+1, math.MaxUint64)
	for _, e := range ents {
		sb.WriteString(showEntry(e) + ",")
	}
	lease := r.state == StateFollower && r.lead != 0 && r.checkQuorum && r.electionElapsed < r.electionTimeout
	cs := r.trk.ConfState()
	fmt.Fprintf(&sb, " lease%v %s %s %s %s %v", lease, set(cs.Voters), set(cs.VotersOutgoing), set(cs.Learners), set(cs.LearnersNext), cs.AutoLeave)
	if r.state == StateCandidate || r.state == StatePreCandidate {
		for id := uint64(1); id <= 5; id++ {
			if v, ok := r.trk.Votes[id]; ok {
				fmt.Fprintf(&sb, " vote%d:%v", id, v)
			}
		}
	}
	if r.state == StateLeader {
		p := r.pendingConfIndex
		if p <= r.raftLog.applied {
			p = 0
		}
		fmt.Fprintf(&sb, " pend%d", p)
		for id := uint64(1); id <= 5; id++ {
			if pr, ok := r.trk.Progress[id]; ok && id != r.id {
				fl := pr.Inflights.Count()
				fmt.Fprintf(&sb, " [%d m%d n%d %v paused%v act%v in%d]", id, pr.Match, pr.Next, pr.State, pr.MsgAppFlowPaused, pr.RecentActive, fl)
			}
		}
	}
	return sb.String()
}

func expectView(v J) string {
	var sb strings.Builder
	role := map[string]StateType{"follower": StateFollower, "pre_candidate": StatePreCandidate, "candidate": StateCandidate, "leader": StateLeader}[v["role"].(string)]
	fmt.Fprintf(&sb, "%v t%d v%d l%d c%d a%d ", role, num(v["term"]), num(v["vote"]), num(v["leader"]), num(v["commit"]), num(v["applied"]))
	for _, e := range v["log"].([]any) {
		sb.WriteString(showEntry(entry(e)) + ",")
	}
	cf := v["configuration"].(J)
	fmt.Fprintf(&sb, " lease%v %s %s %s %s %v", boolean(v["lease"]), set(ids(cf["voters"])), set(ids(cf["outgoing"])), set(ids(cf["learners"])), set(ids(cf["learners_next"])), boolean(cf["auto_leave"]))
	votes := v["votes"].(J)
	for id := 1; id <= 5; id++ {
		if x, ok := votes[strconv.Itoa(id)]; ok {
			fmt.Fprintf(&sb, " vote%d:%v", id, x)
		}
	}
	if role == StateLeader {
		fmt.Fprintf(&sb, " pend%d", num(v["pending_conf_index"]))
		for id := 1; id <= 5; id++ {
			if x, ok := v["peers"].(J)[strconv.Itoa(id)]; ok {
				p := x.(J)
				st := map[string]tracker.StateType{"probe": tracker.StateProbe, "replicate": tracker.StateReplicate}[p["state"].(string)]
				fmt.Fprintf(&sb, " [%d m%d n%d %v paused%v act%v in%d]", id, num(p["match"]), num(p["next"]), st, p["paused"], p["recent_active"], len(p["inflight"].([]any)))
			}
		}
	}
	return sb.String()
}

func TestLockstep(t *testing.T) {
	files, _ := filepath.Glob(os.Getenv("WALKS") + "/*.ndjson")
	steps, bad := 0, 0
	counts := map[string]int{}
	panics := 0
	for _, f := range files {
	func() {
		defer func() { if e := recover(); e != nil { panics++; if panics < 3 { fmt.Println(filepath.Base(f), "PANIC", e) }; if !strings.Contains(fmt.Sprint(e), "removed all voters") && !strings.Contains(fmt.Sprint(e), "more than one voter") { fmt.Println("OTHER", filepath.Base(f), e) } } }()
		h, _ := os.Open(f)
		sc := bufio.NewScanner(h)
		sc.Buffer(make([]byte, 1<<26), 1<<26)
		sc.Scan()
		var head J
		json.Unmarshal(sc.Bytes(), &head)
		cfg := head["config"].(J)
		nodes := map[uint64]*lsNode{}
		for id := uint64(1); id <= num(cfg["servers"]); id++ {
			st := &store{MemoryStorage: NewMemoryStorage(), cs: pb.ConfState{Voters: ids(cfg["voters"]), Learners: ids(cfg["learners"])}}
			n := &lsNode{id: id, st: st, cfg: cfg}
			n.start()
			nodes[id] = n
		}
		for sc.Scan() {
			var line J
			json.Unmarshal(sc.Bytes(), &line)
			ev, ok := line["event"].(J)
			if !ok {
				continue
			}
			sv, ok := ev["server"].(J)
			if !ok {
				continue
			}
			steps++
			n := nodes[num(sv["server"])]
			r := n.rn.raft
			var err error
			switch in := sv["input"].(type) {
			case string:
				counts[in]++
				switch in {
				case "timeout":
					err = n.rn.Campaign()
				case "lease_expire":
					if r.state == StateFollower {
						r.electionElapsed = r.electionTimeout
					}
				case "heartbeat":
					if r.state == StateLeader {
						err = r.Step(pb.Message{From: n.id, Type: pb.MsgBeat})
					}
				case "check_quorum":
					if r.state == StateLeader && r.checkQuorum {
						err = r.Step(pb.Message{From: n.id, Type: pb.MsgCheckQuorum})
					}
				case "restart":
					n.start()
				}
			case J:
				for k, v := range in {
					counts[k]++
					switch k {
					case "propose":
						err = n.rn.Propose([]byte(strconv.FormatUint(num(v), 10)))
					case "propose_conf_change":
						err = n.rn.ProposeConfChange(change(v))
					case "deliver":
						err = n.rn.Step(message(v))
					}
				}
			}
			sent := n.drain()
			exp := line["expect"].(J)
			wantErr := ""
			if o, ok := exp["outcome"].(J); ok {
				wantErr = o["refused"].(string)
			}
			gotErr := ""
			if errors.Is(err, ErrProposalDropped) {
				gotErr = "proposal_dropped"
			} else if errors.Is(err, ErrStepPeerNotFound) {
				gotErr = "unknown_peer"
			} else if err != nil {
				gotErr = err.Error()
			}
			var want []string
			for _, s := range exp["sent"].([]any) {
				want = append(want, showMessage(message(s.(J)["message"])))
			}
			sort.Strings(want)
			gv, wv := n.view(), expectView(exp["view"].(J))
			if gotErr != wantErr || gv != wv || strings.Join(sent, ";") != strings.Join(want, ";") {
				bad++
				if bad < 6 {
					ein, _ := json.Marshal(sv)
					fmt.Printf("%s step %v %s\n err got %q want %q\n got  %s\n want %s\n sent got  %s\n sent want %s\n", filepath.Base(f), line["step"], ein, gotErr, wantErr, gv, wv, strings.Join(sent, "\n   "), strings.Join(want, "\n   "))
				}
				break
			}
		}
		h.Close()
	}()
	}
	fmt.Println("panics", panics)
	fmt.Println("files", len(files), "steps", steps, "bad", bad, counts)
}
