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
		switch s {
		case "heartbeat_response":
			out.Type = pb.MsgHeartbeatResp
		case "timeout_now":
			out.Type = pb.MsgTimeoutNow
		default:
			panic(s)
		}
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
			if boolean(b["transfer"]) {
				out.Context = []byte(campaignTransfer)
			}
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
		case "transfer_leader":
			out.Type, out.From = pb.MsgTransferLeader, num(b["transferee"])
		case "propose":
			out.Type = pb.MsgProp
			for _, p := range b["payloads"].([]any) {
				out.Entries = append(out.Entries, entry(J{"term": float64(0), "payload": p}))
			}
		case "install_snapshot":
			out.Type = pb.MsgSnap
			sn := snapshot(b["snapshot"])
			out.Snapshot = &sn
		default:
			panic(k)
		}
	}
	return out
}

func snapshot(v any) pb.Snapshot {
	m := v.(J)
	cf, _ := m["configuration"].(J)
	return pb.Snapshot{Metadata: pb.SnapshotMetadata{Index: num(m["index"]), Term: num(m["term"]), ConfState: pb.ConfState{
		Voters: ids(cf["voters"]), VotersOutgoing: ids(cf["outgoing"]), Learners: ids(cf["learners"]), LearnersNext: ids(cf["learners_next"]), AutoLeave: boolean(cf["auto_leave"])}}}
}

func showSnap(s *pb.Snapshot) string {
	if s == nil {
		return "-"
	}
	cs := s.Metadata.ConfState
	return fmt.Sprintf("%d@%d %s %s %s %s %v", s.Metadata.Index, s.Metadata.Term, set(cs.Voters), set(cs.VotersOutgoing), set(cs.Learners), set(cs.LearnersNext), cs.AutoLeave)
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
	return fmt.Sprintf("%d->%d %v t%d lt%d i%d c%d rej%v hint%d %v %s %s", m.From, m.To, m.Type, m.Term, m.LogTerm, m.Index, c, m.Reject, m.RejectHint, es, showSnap(m.Snapshot), m.Context)
}

var fixedVoters []any

type lsNode struct {
	id      uint64
	rn      *RawNode
	st      *store
	cfg     J
	appends []pb.Message
	applies []pb.Message
	snapCS  pb.ConfState
}

func (n *lsNode) start() {
	quiet := &DefaultLogger{Logger: log.New(io.Discard, "", 0)}
	size := uint64(math.MaxUint64)
	if boolean(n.cfg["one_entry_per_append"]) {
		size = 0
	}
	c := &Config{ID: n.id, ElectionTick: 10, HeartbeatTick: 1, Storage: n.st, Applied: n.st.applied, MaxSizePerMsg: size,
		MaxCommittedSizePerReady: math.MaxUint64, AsyncStorageWrites: true, MaxUncommittedEntriesSize: num(n.cfg["max_uncommitted"]),
		MaxInflightMsgs: int(num(n.cfg["max_inflight"])), CheckQuorum: boolean(n.cfg["check_quorum"]), PreVote: boolean(n.cfg["pre_vote"]),
		DisableProposalForwarding: !boolean(n.cfg["forward_proposals"]), DisableConfChangeValidation: boolean(n.cfg["disable_conf_change_validation"]), StepDownOnRemoval: boolean(n.cfg["step_down_on_removal"]), Logger: quiet}
	rn, err := NewRawNode(c)
	if err != nil {
		panic(err)
	}
	n.rn = rn
	n.appends, n.applies = nil, nil
}

func (n *lsNode) commitAtLeast(index uint64) {
	hs, _, _ := n.st.InitialState()
	if hs.Commit < index {
		hs.Commit = index
		n.st.SetHardState(hs)
	}
}

func (n *lsNode) write(m pb.Message) {
	if m.Term != 0 || m.Vote != 0 || m.Commit != 0 {
		old, _, _ := n.st.InitialState()
		n.st.SetHardState(pb.HardState{Term: m.Term, Vote: m.Vote, Commit: max(m.Commit, old.Commit)})
	}
	if m.Snapshot != nil {
		if err := n.st.ApplySnapshot(*m.Snapshot); err != nil {
			panic(err)
		}
		n.snapCS = m.Snapshot.Metadata.ConfState
		n.st.cs = n.snapCS
		n.st.applied = max(n.st.applied, m.Snapshot.Metadata.Index)
	}
	if len(m.Entries) > 0 {
		if err := n.st.Append(m.Entries); err != nil {
			panic(err)
		}
	}
}

func (n *lsNode) persist() (out []string) {
	if len(n.appends) == 0 {
		return
	}
	m := n.appends[0]
	n.appends = n.appends[1:]
	n.write(m)
	for _, r := range m.Responses {
		if r.To == n.id {
			n.rn.Step(r)
		} else {
			out = append(out, showMessage(r))
		}
	}
	return
}

func (n *lsNode) apply() {
	if len(n.applies) == 0 {
		return
	}
	m := n.applies[0]
	n.applies = n.applies[1:]
	for _, e := range m.Entries {
		if e.Type == pb.EntryConfChangeV2 {
			var cc pb.ConfChangeV2
			if err := cc.Unmarshal(e.Data); err != nil {
				panic(err)
			}
			n.st.cs = *n.rn.ApplyConfChange(cc)
		}
		n.st.applied = e.Index
	}
	for _, r := range m.Responses {
		n.rn.Step(r)
	}
}

func (n *lsNode) restart(kept int) {
	for i := 0; i < kept && i < len(n.appends); i++ {
		n.write(n.appends[i])
	}
	if boolean(n.cfg["application_in_memory"]) {
		f, _ := n.st.FirstIndex()
		n.st.applied, n.st.cs = f-1, n.snapCS
	}
	n.commitAtLeast(n.st.applied)
	n.start()
}

func (n *lsNode) compact() {
	f, _ := n.st.FirstIndex()
	if n.rn.raft.raftLog.unstable.snapshot != nil || n.st.applied <= f-1 {
		return
	}
	cs := n.st.cs
	if _, err := n.st.CreateSnapshot(n.st.applied, &cs, nil); err != nil {
		panic(err)
	}
	if err := n.st.Compact(n.st.applied); err != nil {
		panic(err)
	}
	n.snapCS = cs
	n.commitAtLeast(n.st.applied)
}

func (n *lsNode) drain(out []string) []string {
	rounds := 0
	for n.rn.HasReady() {
		rounds++
		if rounds > 2 {
			panic("many readies")
		}
		rd := n.rn.Ready()
		if !IsEmptySnap(rd.Snapshot) {
			n.applies = nil
		}
		for _, m := range rd.Messages {
			switch m.To {
			case LocalAppendThread:
				n.appends = append(n.appends, m)
			case LocalApplyThread:
				n.applies = append(n.applies, m)
			default:
				out = append(out, showMessage(m))
			}
		}
	}
	sort.Strings(out)
	return out
}

func showAppend(m pb.Message, async bool) string {
	var sb strings.Builder
	if m.Term != 0 || m.Vote != 0 || m.Commit != 0 {
		fmt.Fprintf(&sb, "hs%d/%d/%d ", m.Term, m.Vote, m.Commit)
	}
	sb.WriteString(showSnap(m.Snapshot))
	for _, e := range m.Entries {
		fmt.Fprintf(&sb, " %d=%s", e.Index, showEntry(e))
	}
	var rs []string
	for _, r := range m.Responses {
		if r.Type == pb.MsgStorageAppendResp {
			si := uint64(0)
			if r.Snapshot != nil {
				si = r.Snapshot.Metadata.Index
			}
			fmt.Fprintf(&sb, " ack t%d %d@%d s%d", r.Term, r.Index, r.LogTerm, si)
			continue
		}
		rs = append(rs, showMessage(r))
	}
	fmt.Fprintf(&sb, " %v", rs)
	return sb.String()
}

func expectAppend(v J) string {
	var m pb.Message
	if h, ok := v["hard_state"].(J); ok {
		m.Term, m.Vote, m.Commit = num(h["term"]), num(h["vote"]), num(h["commit"])
	}
	if sn, ok := v["snapshot"]; ok {
		x := snapshot(sn)
		m.Snapshot = &x
	}
	if es, ok := v["entries"].([]any); ok {
		for i, e := range es {
			en := entry(e)
			en.Index = num(v["first"]) + uint64(i)
			m.Entries = append(m.Entries, en)
		}
	}
	if rs, ok := v["responses"].([]any); ok {
		for _, r := range rs {
			m.Responses = append(m.Responses, message(r))
		}
	}
	if a, ok := v["acknowledges"].(J); ok {
		r := pb.Message{Type: pb.MsgStorageAppendResp, Term: num(a["term"]), Index: num(a["last_index"]), LogTerm: num(a["last_term"])}
		if sx := num(a["snapshot"]); sx > 0 {
			r.Snapshot = &pb.Snapshot{Metadata: pb.SnapshotMetadata{Index: sx}}
		}
		m.Responses = append(m.Responses, r)
	}
	return showAppend(m, true)
}

func set(v []uint64) string { sort.Slice(v, func(i, j int) bool { return v[i] < v[j] }); return fmt.Sprint(v) }

func (n *lsNode) view() string {
	r := n.rn.raft
	var sb strings.Builder
	fmt.Fprintf(&sb, "%v t%d v%d l%d c%d a%d ", r.state, r.Term, r.Vote, r.lead, r.raftLog.committed, r.raftLog.applied)
	for _, e := range r.raftLog.allEntries() {
		sb.WriteString(showEntry(e) + ",")
	}
	first := r.raftLog.firstIndex() - 1
	ft, _ := r.raftLog.term(first)
	fmt.Fprintf(&sb, " first%d@%d", first, ft)
	us := uint64(0)
	if r.raftLog.unstable.snapshot != nil {
		us = r.raftLog.unstable.snapshot.Metadata.Index
	}
	fmt.Fprintf(&sb, " stable%d us%d", r.raftLog.unstable.offset-1, us)
	hs, _, _ := n.st.InitialState()
	fmt.Fprintf(&sb, " durable %d/%d/%d ", hs.Term, hs.Vote, hs.Commit)
	df, _ := n.st.FirstIndex()
	dl, _ := n.st.LastIndex()
	var dur []pb.Entry
	if dl >= df {
		dur, _ = n.st.Entries(df, dl+1, math.MaxUint64)
	}
	fmt.Fprintf(&sb, "%d:", df-1)
	for _, e := range dur {
		sb.WriteString(showEntry(e) + ",")
	}
	for _, m := range n.appends {
		sb.WriteString(" {" + showAppend(m, true) + "}")
	}
	sb.WriteString(" applies")
	for _, m := range n.applies {
		fmt.Fprintf(&sb, " %d", m.Entries[len(m.Entries)-1].Index)
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
		own := uint64(0)
		if pr, ok := r.trk.Progress[r.id]; ok {
			own = pr.Match
		}
		if num(n.cfg["storage_fixed"]) == 1 {
			p = 0
		}
		fmt.Fprintf(&sb, " pend%d own%d tr%d", p, own, r.leadTransferee)
		for id := uint64(1); id <= 5; id++ {
			if pr, ok := r.trk.Progress[id]; ok && id != r.id {
				fl := pr.Inflights.Count()
				fmt.Fprintf(&sb, " [%d m%d n%d %v paused%v act%v in%d ps%d]", id, pr.Match, pr.Next, pr.State, pr.MsgAppFlowPaused || pr.State == tracker.StateSnapshot, pr.RecentActive, fl, pr.PendingSnapshot)
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
	snapAt := func(v J) (uint64, uint64) {
		if sn, ok := v["snapshot"].(J); ok {
			return num(sn["index"]), num(sn["term"])
		}
		return 0, 0
	}
	fi, ft := snapAt(v)
	fmt.Fprintf(&sb, " first%d@%d", fi, ft)
	fmt.Fprintf(&sb, " stable%d us%d", num(v["stable"]), num(v["unstable_snapshot"]))
	d := v["durable"].(J)
	fmt.Fprintf(&sb, " durable %d/%d/%d ", num(d["term"]), num(d["vote"]), num(d["commit"]))
	di, _ := snapAt(d)
	fmt.Fprintf(&sb, "%d:", di)
	for _, e := range d["log"].([]any) {
		sb.WriteString(showEntry(entry(e)) + ",")
	}
	if as, ok := v["appends"].([]any); ok {
		for _, a := range as {
			sb.WriteString(" {" + expectAppend(a.(J)) + "}")
		}
	}
	sb.WriteString(" applies")
	if as, ok := v["applies"].([]any); ok {
		for _, a := range as {
			fmt.Fprintf(&sb, " %d", num(a))
		}
	}
	cf, _ := v["configuration"].(J)
	if cf == nil {
		cf = J{"voters": fixedVoters}
	}
	fmt.Fprintf(&sb, " lease%v %s %s %s %s %v", boolean(v["lease"]), set(ids(cf["voters"])), set(ids(cf["outgoing"])), set(ids(cf["learners"])), set(ids(cf["learners_next"])), boolean(cf["auto_leave"]))
	votes := v["votes"].(J)
	for id := 1; id <= 5; id++ {
		if x, ok := votes[strconv.Itoa(id)]; ok {
			fmt.Fprintf(&sb, " vote%d:%v", id, x)
		}
	}
	if role == StateLeader {
		fmt.Fprintf(&sb, " pend%d own%d tr%d", num(v["pending_conf_index"]), num(v["own_match"]), num(v["transferee"]))
		for id := 1; id <= 5; id++ {
			if x, ok := v["peers"].(J)[strconv.Itoa(id)]; ok {
				p := x.(J)
				st := map[string]tracker.StateType{"probe": tracker.StateProbe, "replicate": tracker.StateReplicate, "snapshot": tracker.StateSnapshot}[p["state"].(string)]
				fmt.Fprintf(&sb, " [%d m%d n%d %v paused%v act%v in%d ps%d]", id, num(p["match"]), num(p["next"]), st, p["paused"], p["recent_active"], len(p["inflight"].([]any)), num(p["pending_snapshot"]))
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
			vs := ids(cfg["voters"])
			if vs == nil {
				cfg["storage_fixed"] = float64(1)
			}
			if id == 1 {
				fixedVoters = nil
				for x := uint64(1); x <= num(cfg["servers"]); x++ {
					fixedVoters = append(fixedVoters, float64(x))
				}
			}
			if vs == nil {
				for x := uint64(1); x <= num(cfg["servers"]); x++ {
					vs = append(vs, x)
				}
			}
			st := &store{MemoryStorage: NewMemoryStorage(), cs: pb.ConfState{Voters: vs, Learners: ids(cfg["learners"])}}
			n := &lsNode{id: id, st: st, cfg: cfg, snapCS: st.cs}
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
			var left []string
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
					if r.state == StateLeader {
						if r.checkQuorum {
							err = r.Step(pb.Message{From: n.id, Type: pb.MsgCheckQuorum})
						}
						if r.state == StateLeader && r.leadTransferee != None {
							r.abortLeaderTransfer()
						}
					}
				case "restart":
					n.restart(0)
				case "persist":
					left = n.persist()
				case "apply":
					n.apply()
				case "compact":
					n.compact()
				case "forget_leader":
					err = n.rn.ForgetLeader()
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
					case "restart_keeping":
						n.restart(int(num(v.(J)["writes"])))
					case "transfer_leadership":
						n.rn.TransferLeader(num(v.(J)["to"]))
					case "report_unreachable":
						n.rn.ReportUnreachable(num(v.(J)["peer"]))
					case "report_snapshot":
						st := SnapshotFinish
						if !boolean(v.(J)["ok"]) {
							st = SnapshotFailure
						}
						n.rn.ReportSnapshot(num(v.(J)["peer"]), st)
					}
				}
			}
			sent := n.drain(left)
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
				if bad < 4 {
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
