package main

import (
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// A leader of term 2 that waits for an answer of a peer and has more to send learns of term 3. What it sends then is of term 2, with the
// entry that the leader of term 3 has just given to it. Whether it sends or stops is for a select to choose, so this is tried until it sends.
// If it never does, the library was mended: note it in conformance/findings.
func TestADeposedLeaderSendsEntriesOfItsSuccessor(t *testing.T) {
	for try := range 100 {
		sent := false
		synctest.Test(t, func(t *testing.T) { sent = depose(t) })
		if sent {
			t.Logf("it sends at the attempt %d", try+1)
			return
		}
	}
	t.Error("it always stops")
}

// depose makes one server lead and then follow, with the library alone. It tells whether it sent an entry of term 3 in term 2.
func depose(t *testing.T) (found bool) {
	wire := &wire{requests: make(chan raft.RPC), hold: make(chan struct{})}
	config := raft.DefaultConfig()
	config.LocalID, config.Logger, config.PreVoteDisabled = "1", hclog.NewNullLogger(), true
	store, snapshots := raft.NewInmemStore(), raft.NewInmemSnapshotStore()
	var all raft.Configuration
	for _, id := range []string{"1", "2", "3"} {
		all.Servers = append(all.Servers, raft.Server{ID: raft.ServerID(id), Address: raft.ServerAddress(id)})
	}
	must(raft.BootstrapCluster(config, store, store, snapshots, wire, all))
	node, err := raft.NewRaft(config, fsm{}, store, store, snapshots, wire)
	must(err)
	for node.State() != raft.Leader {
		time.Sleep(10 * time.Millisecond)
		synctest.Wait()
	}
	node.Apply([]byte("7"), 0) // Both peers were sent its first entry, and have not answered.
	synctest.Wait()

	answers := make(chan raft.RPCResponse, 1)
	wire.requests <- raft.RPC{RespChan: answers, Command: &raft.AppendEntriesRequest{
		RPCHeader: header("3"), Term: 3, Leader: []byte("3"), PrevLogEntry: 1, PrevLogTerm: 1,
		Entries: []*raft.Log{{Index: 2, Term: 3, Type: raft.LogNoop}},
	}}
	if got := <-answers; !got.Response.(*raft.AppendEntriesResponse).Success {
		t.Fatal("it does not follow")
	}
	wire.asked = nil
	close(wire.hold) // Both connections are lost.
	time.Sleep(100 * time.Millisecond)
	synctest.Wait()
	for _, asked := range wire.asked {
		for _, e := range asked.Entries {
			found = found || asked.Term == 2 && e.Term == 3
		}
	}
	must(node.Shutdown().Error())
	return found
}

// wire is a transport to two peers that grant every vote, and answer appends with an error when they are let go.
type wire struct {
	requests chan raft.RPC
	hold     chan struct{}
	asking   sync.Mutex
	asked    []raft.AppendEntriesRequest
}

func (w *wire) AppendEntries(_ raft.ServerID, _ raft.ServerAddress, q *raft.AppendEntriesRequest, _ *raft.AppendEntriesResponse) error {
	w.asking.Lock()
	w.asked = append(w.asked, *q)
	w.asking.Unlock()
	<-w.hold
	return errLost
}

func (w *wire) RequestVote(to raft.ServerID, _ raft.ServerAddress, q *raft.RequestVoteRequest, a *raft.RequestVoteResponse) error {
	*a = raft.RequestVoteResponse{RPCHeader: header(to), Term: q.Term, Granted: true}
	return nil
}

func (w *wire) Consumer() <-chan raft.RPC     { return w.requests }
func (w *wire) LocalAddr() raft.ServerAddress { return "1" }
func (w *wire) AppendEntriesPipeline(raft.ServerID, raft.ServerAddress) (raft.AppendPipeline, error) {
	return nil, raft.ErrPipelineReplicationNotSupported
}
func (w *wire) InstallSnapshot(raft.ServerID, raft.ServerAddress, *raft.InstallSnapshotRequest, *raft.InstallSnapshotResponse, io.Reader) error {
	return errLost
}
func (w *wire) TimeoutNow(raft.ServerID, raft.ServerAddress, *raft.TimeoutNowRequest, *raft.TimeoutNowResponse) error {
	return errLost
}
func (w *wire) EncodePeer(_ raft.ServerID, to raft.ServerAddress) []byte { return []byte(to) }
func (w *wire) DecodePeer(text []byte) raft.ServerAddress                { return raft.ServerAddress(text) }
func (w *wire) SetHeartbeatHandler(func(raft.RPC))                       {}
