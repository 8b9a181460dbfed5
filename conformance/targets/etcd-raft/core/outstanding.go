package core

import (
	"slices"
	"strconv"
)

// outstanding is the work that storage threads have not done yet: what a Ready hands over stays here until an input says
// that it is done. Both are in order, oldest first.
type outstanding struct{ appends, applies []Message }

// append takes a write. A snapshot takes the place of all that was to be applied.
func (o *outstanding) append(m Message) {
	if m.Snapshot != nil {
		o.applies = nil
	}
	o.appends = append(o.appends, m)
}

// apply takes entries that are to be applied.
func (o *outstanding) apply(m Message) { o.applies = append(o.applies, m) }

// snapshot is the last one that is not durable yet, or nil.
func (o *outstanding) snapshot() *Snapshot {
	for _, m := range slices.Backward(o.appends) {
		if m.Snapshot != nil {
			return m.Snapshot
		}
	}
	return nil
}

// persistOldest makes the oldest write durable: what waited for it leaves, and the library hears what it told itself.
func (s *server) persistOldest() {
	o := &s.application.outstanding
	if len(o.appends) == 0 {
		return
	}
	oldest := o.appends[0]
	o.appends = o.appends[1:]
	s.write(oldest)
	s.respond(oldest.Responses, false)
}

// applyOldest lets the application apply the oldest part that it was handed.
func (s *server) applyOldest() {
	o := &s.application.outstanding
	if len(o.applies) == 0 {
		return
	}
	oldest := o.applies[0]
	o.applies = o.applies[1:]
	s.hand(oldest.Entries)
	s.respond(oldest.Responses, false)
}

// write stores what a message for the append thread asks for. The commit index never falls: the application may have made
// a later one durable with a snapshot of its own.
func (s *server) write(m Message) {
	hard := HardState{Term: m.Term, Vote: m.Vote, Commit: m.Commit}
	if (hard != HardState{}) && s.config.asyncStorage {
		hard.Commit = max(hard.Commit, s.storage.HardState().Commit)
	}
	s.install(m.Snapshot)
	s.persist(m.Entries, hard)
}

// commitStored raises the stored commit index, with asynchronous storage: else that has just been done.
func (s *server) commitStored(index uint64) {
	if hard := s.storage.HardState(); s.config.asyncStorage && hard.Commit < index {
		hard.Commit = index
		s.storage.SetHardState(hard)
	}
}

// crash loses what is volatile and starts the library on what is durable. So many of the oldest outstanding writes had
// become durable. The application comes back with what it had applied, or with its last snapshot. Of what it has applied
// it tells the library that it is committed.
func (s *server) crash(kept uint64) {
	writes := s.application.outstanding.appends
	for _, m := range writes[:min(kept, uint64(len(writes)))] {
		s.write(m)
	}
	applied := s.application.applied
	if s.config.asyncStorage && s.config.applicationInMemory {
		applied = s.storage.FirstIndex() - 1
		conf := s.config.confState()
		if applied > 0 {
			conf = s.storage.Snapshot().ConfState
		}
		s.storage.SetConfState(conf)
	}
	s.commitStored(applied)
	if err := s.start(applied); err != nil {
		panic(err)
	}
}

// conf is the configuration that the library uses: that of a snapshot as soon as it takes its place.
func (s *server) conf() ConfState {
	if snapshot := s.application.outstanding.snapshot(); snapshot != nil {
		return snapshot.ConfState
	}
	return s.storage.ConfState()
}

// appendLogInMemory writes the log with everything that is outstanding.
func (s *server) appendLogInMemory(line []byte) []byte {
	snapshot := s.storage.Snapshot()
	first, entries := s.storage.FirstIndex(), slices.Clone(s.storage.Entries())
	for _, m := range s.application.outstanding.appends {
		if m.Snapshot != nil {
			snapshot, first, entries = *m.Snapshot, m.Snapshot.Index+1, nil
		}
		for _, e := range m.Entries {
			// What the application has made a snapshot of since is not in the log any more.
			if e.Index >= first {
				entries = append(entries[:e.Index-first], e)
			}
		}
	}
	line, err := appendEntries(line, s.library, entries, first)
	if err != nil {
		panic(err)
	}
	if first > 1 {
		agree("the end of the snapshot", snapshot.Index, first-1)
		line = append(line, `,"snapshot":`...)
		if line, err = appendSnapshot(line, snapshot); err != nil {
			panic(err)
		}
	}
	return line
}

// appendOutstanding writes the part of a view that only asynchronous storage has.
func (s *server) appendOutstanding(line []byte, status *Status) []byte {
	o := &s.application.outstanding
	if snapshot := o.snapshot(); snapshot != nil {
		line = appendNumber(line, "unstable_snapshot", snapshot.Index)
	}
	if status.Role == Leader {
		own := uint64(0)
		for i := range status.Progress {
			if pr := &status.Progress[i]; pr.ID == s.id {
				own = pr.Match
			}
		}
		line = appendNumber(line, "own_match", own)
	}
	line = append(line, `,"appends":[`...)
	for i := range o.appends {
		line = append(line, named(i == 0, `{`, `,{`)...)
		line = s.appendWrite(line, &o.appends[i])
		line = append(line, '}')
	}
	line = append(line, `],"applies":[`...)
	for i := range o.applies {
		line = append(line, named(i == 0, ``, `,`)...)
		entries := o.applies[i].Entries
		line = strconv.AppendUint(line, entries[len(entries)-1].Index, 10)
	}
	return append(line, ']')
}

// appendWrite writes the fields of one outstanding write.
func (s *server) appendWrite(line []byte, m *Message) []byte {
	line = append(line, `"first":`...)
	first := uint64(0)
	if len(m.Entries) > 0 {
		first = m.Entries[0].Index
	}
	line = strconv.AppendUint(line, first, 10)
	if (m.Term | m.Vote | m.Commit) != 0 {
		line = append(line, `,"hard_state":{"term":`...)
		line = strconv.AppendUint(line, m.Term, 10)
		line = appendServer(line, "vote", m.Vote)
		line = appendNumber(line, "commit", m.Commit)
		line = append(line, '}')
	}
	var err error
	if m.Snapshot != nil {
		line = append(line, `,"snapshot":`...)
		if line, err = appendSnapshot(line, *m.Snapshot); err != nil {
			panic(err)
		}
	}
	line = append(line, `,"entries":`...)
	if line, err = appendEntries(line, s.library, m.Entries, first); err != nil {
		panic(err)
	}
	line = append(line, `,"responses":[`...)
	waiting := m.Responses
	if last := len(waiting) - 1; last >= 0 && waiting[last].Type == MsgStorageAppendResp {
		waiting = waiting[:last]
	}
	for i := range waiting {
		line = append(line, named(i == 0, ``, `,`)...)
		if line, err = appendMessage(line, s.library, &waiting[i], s.id); err != nil {
			panic(err)
		}
	}
	line = append(line, ']')
	if len(waiting) < len(m.Responses) {
		line = s.appendAcknowledgement(line, m, m.Responses[len(waiting)])
	}
	return line
}

// appendAcknowledgement writes what storage acknowledges once a write is done.
func (s *server) appendAcknowledgement(line []byte, write *Message, m Message) []byte {
	agree("who acknowledges a write", m.From, AppendThread)
	agree("to whom a write is acknowledged", m.To, s.id)
	agree("a snapshot that is acknowledged", m.Snapshot != nil, write.Snapshot != nil)
	line = append(line, `,"acknowledges":{"term":`...)
	line = strconv.AppendUint(line, m.Term, 10)
	line = appendNumber(line, "last_index", m.Index)
	line = appendNumber(line, "last_term", m.LogTerm)
	if m.Snapshot != nil {
		agree("the snapshot that is acknowledged", m.Snapshot.Index, write.Snapshot.Index)
		line = appendNumber(line, "snapshot", m.Snapshot.Index)
	}
	m.Index, m.LogTerm, m.Snapshot = 0, 0, nil
	agree("an acknowledgement says no more", isEmpty(&m), true)
	return append(line, '}')
}
