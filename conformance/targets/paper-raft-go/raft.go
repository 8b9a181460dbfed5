// Raft as figure 2 of the paper has it. Nothing here knows of Lockstep: an input comes in, messages go out, and there
// is no socket, clock or file. main.go is all that Lockstep needs.
package main

// Entry is an entry of a log; indexes count from 1, as in the paper.
type Entry struct {
	Term  int
	Value any
}

// Message is any message of the protocol; each type uses the fields that it needs.
type Message struct {
	Type      string
	Term      int
	LastTerm  int     `json:",omitempty"` // Of the log of a candidate.
	LastIndex int     `json:",omitempty"`
	Prev      int     `json:",omitempty"` // Before the entries of an append.
	PrevTerm  int     `json:",omitempty"`
	Entries   []Entry `json:",omitempty"`
	Commit    int     `json:",omitempty"`
	Yes       bool    `json:",omitempty"` // The vote is granted, the append has succeeded.
	Index     int     `json:",omitempty"` // The last one that an append was about.
}

// Sent is a message on its way to a server.
type Sent struct {
	To      int     `json:"to"`
	Message Message `json:"message"`
}

// Server is one server. Term, Vote and Log are on disk.
type Server struct {
	ID, Servers int
	Term, Vote  int // No vote is 0.
	Log         []Entry
	Role        string
	Commit      int
	Votes       map[int]bool
	Next, Match map[int]int
	sent        []Sent
}

// NewServer returns a server that has never run.
func NewServer(id, servers int) *Server {
	s := &Server{ID: id, Servers: servers, Log: []Entry{}}
	s.Restart()
	return s
}

// Restart comes back from what is on disk.
func (s *Server) Restart() {
	s.Commit = 0
	s.become("follower")
}

// Timeout fires the election timer (section 5.2).
func (s *Server) Timeout() {
	s.Term, s.Vote = s.Term+1, s.ID
	s.become("candidate")
	s.Votes[s.ID] = true
	for _, peer := range s.peers() {
		s.send(peer, Message{Type: "RequestVote", LastTerm: s.termAt(len(s.Log)), LastIndex: len(s.Log)})
	}
	s.countVotes()
}

// Propose appends what a client sent.
func (s *Server) Propose(value any) {
	s.Log = append(s.Log, Entry{s.Term, value})
	s.Replicate()
	s.advanceCommit()
}

// Replicate sends every peer what it lacks, or a heartbeat.
func (s *Server) Replicate() {
	for _, peer := range s.peers() {
		s.appendTo(peer)
	}
}

// Receive takes a message of another server.
func (s *Server) Receive(from int, m Message) {
	if m.Term > s.Term {
		s.Term, s.Vote = m.Term, 0
		s.become("follower")
	}
	switch m.Type {
	case "RequestVote":
		last := s.termAt(len(s.Log))
		upToDate := m.LastTerm > last || m.LastTerm == last && m.LastIndex >= len(s.Log)
		granted := m.Term == s.Term && upToDate && (s.Vote == 0 || s.Vote == from)
		if granted {
			s.Vote = from
		}
		s.send(from, Message{Type: "Vote", Yes: granted})
	case "Vote":
		if s.Role == "candidate" && m.Term == s.Term && m.Yes {
			s.Votes[from] = true
			s.countVotes()
		}
	case "AppendEntries":
		s.send(from, s.store(m))
	case "Appended":
		s.onAppended(from, m)
	}
}

// store takes an append, and returns the answer.
func (s *Server) store(m Message) Message {
	if m.Term < s.Term {
		return Message{Type: "Appended", Index: m.Prev}
	}
	s.become("follower")
	if s.termAt(m.Prev) != m.PrevTerm {
		return Message{Type: "Appended", Index: m.Prev}
	}
	for i, entry := range m.Entries {
		if at := m.Prev + i; s.termAt(at+1) != entry.Term { // Not there, or in conflict.
			s.Log = append(s.Log[:at:at], entry)
		}
	}
	lastNew := m.Prev + len(m.Entries)
	s.Commit = max(s.Commit, min(m.Commit, lastNew))
	return Message{Type: "Appended", Yes: true, Index: lastNew}
}

func (s *Server) onAppended(from int, m Message) {
	if s.Role != "leader" || m.Term != s.Term {
		return
	}
	if m.Yes {
		s.Match[from] = max(s.Match[from], m.Index)
		s.Next[from] = max(s.Next[from], s.Match[from]+1)
		s.advanceCommit()
	} else if s.Match[from] < m.Index && m.Index < s.Next[from] {
		s.Next[from] = m.Index
		s.appendTo(from)
	}
}

// become takes a role, and forgets what belonged to the one before.
func (s *Server) become(role string) {
	s.Role, s.Votes, s.Next, s.Match = role, map[int]bool{}, map[int]int{}, map[int]int{}
}

func (s *Server) countVotes() {
	if 2*len(s.Votes) > s.Servers {
		s.become("leader")
		for _, peer := range s.peers() {
			s.Next[peer], s.Match[peer] = len(s.Log)+1, 0
		}
		s.Replicate()
	}
}

func (s *Server) appendTo(peer int) {
	prev := s.Next[peer] - 1
	entries := append([]Entry(nil), s.Log[prev:]...)
	s.send(peer, Message{
		Type: "AppendEntries", Prev: prev, PrevTerm: s.termAt(prev), Entries: entries, Commit: s.Commit,
	})
}

// advanceCommit commits what a majority has, if it is of this term (section 5.4.2).
func (s *Server) advanceCommit() {
	for index := s.Commit + 1; index <= len(s.Log); index++ {
		holders := 1
		for _, match := range s.Match {
			if match >= index {
				holders++
			}
		}
		if 2*holders > s.Servers && s.termAt(index) == s.Term {
			s.Commit = index
		}
	}
}

func (s *Server) peers() []int {
	var peers []int
	for peer := 1; peer <= s.Servers; peer++ {
		if peer != s.ID {
			peers = append(peers, peer)
		}
	}
	return peers
}

// termAt is the term of an entry; 0 before the first, -1 behind the last.
func (s *Server) termAt(index int) int {
	switch {
	case index == 0:
		return 0
	case index > len(s.Log):
		return -1
	}
	return s.Log[index-1].Term
}

func (s *Server) send(to int, m Message) {
	m.Term = s.Term
	s.sent = append(s.sent, Sent{to, m})
}
