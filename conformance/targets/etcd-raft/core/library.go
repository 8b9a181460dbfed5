// Package core is the part of the program that every version of etcd's raft library has in common: the exec
// protocol, the application around a server, and how inputs become calls. It does not import the library. Versions
// of it cannot be linked into one program, and the types of its API differ, so a small module for each version
// translates between the library and the types of this file.
package core

// The numbers of message types in raftpb, which are those of the wire and the same in every version.
const (
	MsgProp           MessageType = 2
	MsgApp            MessageType = 3
	MsgAppResp        MessageType = 4
	MsgVote           MessageType = 5
	MsgVoteResp       MessageType = 6
	MsgSnap           MessageType = 7
	MsgHeartbeat      MessageType = 8
	MsgHeartbeatResp  MessageType = 9
	MsgTransferLeader MessageType = 13
	MsgTimeoutNow     MessageType = 14
	MsgReadIndex      MessageType = 15
	MsgReadIndexResp  MessageType = 16
	MsgPreVote        MessageType = 17
	MsgPreVoteResp    MessageType = 18

	MsgStorageAppendResp MessageType = 20
)

// The numbers of entry types in raftpb.
const (
	EntryNormal       EntryType = 0
	EntryConfChange   EntryType = 1
	EntryConfChangeV2 EntryType = 2
)

// The numbers of transitions in raftpb.
const (
	TransitionAuto     Transition = 0
	TransitionImplicit Transition = 1
	TransitionExplicit Transition = 2
)

// The numbers of changes in raftpb.
const (
	AddVoter   ChangeType = 0
	Remove     ChangeType = 1
	AddLearner ChangeType = 3
)

// The roles of a server.
const (
	Follower Role = iota
	Candidate
	Leader
	PreCandidate
)

// The states of a peer.
const (
	Probe ProgressState = iota
	Replicate
	Snapshotting
)

// The recipients of work for local storage threads, with asynchronous storage writes.
const (
	AppendThread uint64 = 1<<64 - 1
	ApplyThread  uint64 = 1<<64 - 2
)

// CampaignTransfer is the context of a request for votes that the leader asked for.
const CampaignTransfer = "CampaignTransfer"

// None is the id of no server.
const None uint64 = 0

type (
	MessageType   int32
	EntryType     int32
	Transition    int32
	ChangeType    int32
	Role          int
	ProgressState int
)

// Message has every field of a message in raftpb.
type Message struct {
	Type                                                     MessageType
	To, From, Term, LogTerm, Index, Commit, Vote, RejectHint uint64
	Entries                                                  []Entry
	Snapshot                                                 *Snapshot
	Reject                                                   bool
	Context                                                  []byte
	Responses                                                []Message
}

// Entry has every field of an entry in raftpb.
type Entry struct {
	Type        EntryType
	Term, Index uint64
	Data        []byte
}

// Snapshot has every field of a snapshot in raftpb and of its metadata.
type Snapshot struct {
	Index, Term uint64
	ConfState   ConfState
	Data        []byte
}

// ConfState has every field of a configuration in raftpb. Servers are in order.
type ConfState struct {
	Voters, Learners, VotersOutgoing, LearnersNext []uint64
	AutoLeave                                      bool
}

// ConfChange has every field of a change of the configuration in raftpb, in its second version.
type ConfChange struct {
	Transition Transition
	Changes    []Change
	Context    []byte
}

// Change is one server that comes or goes.
type Change struct {
	Type   ChangeType
	Server uint64
}

// HardState is the state that is stored beside the log.
type HardState struct{ Term, Vote, Commit uint64 }

// SoftState is role and leader.
type SoftState struct {
	Lead uint64
	Role Role
}

// Ready has every field of a Ready of the library.
type Ready struct {
	SoftState        *SoftState
	HardState        HardState
	ReadStates       []ReadState
	Entries          []Entry
	Snapshot         *Snapshot
	CommittedEntries []Entry
	Messages         []Message
	MustSync         bool
}

// ReadState is the answer to a read.
type ReadState struct {
	Index   uint64
	Context []byte
}

// BasicStatus is the part of a status that every role has.
type BasicStatus struct {
	ID uint64
	HardState
	SoftState
	Applied, LeadTransferee uint64
}

// Status has every field of a status of the library, but for AutoLeave of the configuration, which is never set there
// (finding_test.go).
type Status struct {
	BasicStatus
	Config   ConfState
	Progress []Progress
}

// Progress is what a leader shows of a member, in order of ids.
type Progress struct {
	ID, Match, Next, PendingSnapshot uint64
	State                            ProgressState
	Paused, RecentActive, IsLearner  bool
	Inflight                         int
}

// NodeConfig is how a server is set up.
type NodeConfig struct {
	ID                          uint64
	ElectionTick, HeartbeatTick int
	Applied                     uint64
	// MaxSizePerMsg and MaxCommittedSizePerReady are in bytes.
	MaxSizePerMsg, MaxCommittedSizePerReady uint64
	// MaxUncommittedEntriesSize is in bytes; zero is no limit.
	MaxUncommittedEntriesSize   uint64
	MaxInflightMsgs             int
	CheckQuorum, PreVote        bool
	AsyncStorageWrites          bool
	LeaseBasedReads             bool
	DisableProposalForwarding   bool
	StepDownOnRemoval           bool
	DisableConfChangeValidation bool
}

// Refusal is an error that the library returns to its caller, by its name in the vocabulary.
type Refusal string

func (r Refusal) Error() string { return string(r) }

const (
	ProposalDropped Refusal = "proposal_dropped"
	UnknownPeer     Refusal = "unknown_peer"
	LocalMessage    Refusal = "local_message"
	// NoLeader is not said by the library, whose ReadIndex returns nothing.
	NoLeader Refusal = "no_leader"
)

// Library is one version of etcd's raft.
type Library interface {
	// NewStorage makes the library's own storage in memory, empty, for a group in that configuration.
	NewStorage(ConfState) Storage
	// NewNode builds a server from what its storage holds. It may panic at a configuration that makes no sense.
	NewNode(NodeConfig, Storage) (Node, error)
	// EncodeChange is the data of an entry that carries the change.
	EncodeChange(ConfChange) []byte
	// DecodeChange is the change that an entry of either type carries.
	DecodeChange(EntryType, []byte) (ConfChange, error)
	// Fits tells whether the change can be applied in that configuration.
	Fits(ConfState, ConfChange) bool
	// DescribeMessage is for people.
	DescribeMessage(Message) string
	// DescribeEntry is for people.
	DescribeEntry(Entry) string
}

// Node is the library's RawNode. Errors are nil or a Refusal; it panics at any other one.
type Node interface {
	Campaign() error
	Propose([]byte) error
	// ProposeConfChange proposes the change, or nil to leave a joint configuration.
	ProposeConfChange(*ConfChange) error
	Step(Message) error
	Tick()
	TickQuiesced()
	TransferLeader(uint64)
	ForgetLeader() error
	ReadIndex(context []byte)
	ReportUnreachable(uint64)
	ReportSnapshot(server uint64, ok bool)
	HasReady() bool
	Ready() Ready
	// Advance ends the work on the last Ready.
	Advance()
	ApplyConfChange(ConfChange) ConfState
	BasicStatus() BasicStatus
	Status() Status
}

// Storage is the library's storage in memory, and the configuration that its application uses. It panics where the
// library returns an error, but for Term.
type Storage interface {
	HardState() HardState
	SetHardState(HardState)
	ConfState() ConfState
	SetConfState(ConfState)
	// Term is the term of the entry at an index; false if it is not there.
	Term(uint64) (uint64, bool)
	FirstIndex() uint64
	LastIndex() uint64
	// Entries is the whole log.
	Entries() []Entry
	Append([]Entry)
	// Snapshot is the last one; its index is zero if there is none.
	Snapshot() Snapshot
	// ApplySnapshot replaces the log and the configuration.
	ApplySnapshot(Snapshot)
	// Compact makes a snapshot up to an index and drops the log up to there.
	Compact(index uint64, data []byte)
}
