package core

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// opaqueVersion is the version of the exec protocol in which a message is any value, and each question is complete in itself.
const opaqueVersion = 2

// question is a request of that version.
type question struct {
	op                   string
	protocol, id, server uint64
	config               *config
	inputs               []input
}

// serveOpaque answers questions until the input ends.
func serveOpaque(in io.Reader, out io.Writer, library Library, chosen options) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, 1<<20), maxLine)
	writer := bufio.NewWriterSize(out, 1<<20)
	for lines.Scan() {
		q, err := readQuestion(lines.Bytes(), library)
		if err != nil {
			return err
		}
		var line []byte
		switch {
		case q.op == "describe" && q.protocol == opaqueVersion:
			line = appendOpaqueDescription(nil, libraryVersion(), chosen)
		case q.op == "describe":
			return fmt.Errorf("with -opaque this program speaks protocol %d, not %d", opaqueVersion, q.protocol)
		case q.op == "ask":
			if line, err = q.answer(library, chosen); err != nil {
				return err
			}
		default:
			return fmt.Errorf("unknown request %q", q.op)
		}
		if _, err := writer.Write(append(line, '\n')); err != nil {
			return err
		}
		if err := writer.Flush(); err != nil {
			return err
		}
	}
	return lines.Err()
}

func readQuestion(line []byte, library Library) (question, error) {
	r := reader{text: line, library: library}
	var out question
	r.fields(func(key string) {
		switch key {
		case "op":
			out.op = r.name()
		case "protocol":
			out.protocol = r.number()
		case "id":
			out.id = r.number()
		case "server":
			out.server = r.server()
		case "config":
			out.config = r.config()
		case "inputs":
			r.items(func(int) { out.inputs = append(out.inputs, r.opaqueInput()) })
		default:
			r.unknown(key)
		}
	})
	r.end()
	return out, r.err
}

// opaqueInput reads an input. A message that is delivered is one that this program has written.
func (r *reader) opaqueInput() (out input) {
	r.variant(func(name string, content bool) {
		if kind(name) != deliver {
			out = r.inputNamed(name, content)
			return
		}
		out.kind = deliver
		if r.only(content) {
			r.fields(func(key string) {
				switch key {
				case "from":
					r.server()
				case "message":
					r.message(&out.message)
				default:
					r.unknown(key)
				}
			})
		}
	})
	return out
}

// answer sets the server up anew, gives it the inputs and appends what is to be known of it. It fails where an input cannot
// be driven: the harness would take silence for the behaviour of the library.
func (q *question) answer(library Library, chosen options) (line []byte, err error) {
	if q.config == nil || q.server == None {
		return nil, errors.New("ask needs a config and a server")
	}
	defer func() {
		if cause := recover(); cause != nil {
			text, _ := json.Marshal(describePanic(cause))
			line = append(q.head(), `,"crashed":`...)
			line, err = append(append(line, text...), '}'), nil
		}
	}()
	s, err := newServer(q.server, *q.config, nil, library, chosen.async)
	if err != nil {
		return nil, err
	}
	for _, in := range q.inputs {
		s.sent, s.handed, s.readStates = s.sent[:0], s.handed[:0], s.readStates[:0]
		if _, notDriven := s.drive(in); notDriven != "" {
			return nil, fmt.Errorf("%s cannot be driven: %s", in.kind, notDriven)
		}
		s.settle()
		s.watchLeadership()
	}
	line = append(q.head(), `,"view":`...)
	line = s.appendOpaqueView(line)
	text, err := json.Marshal(stateName(s))
	if err != nil {
		return nil, err
	}
	line = append(line, `,"state":`...)
	line = append(append(line, text...), `,"sent":[`...)
	for i := range s.sent {
		line = append(line, named(i == 0, `{"to":`, `,{"to":`)...)
		line = strconv.AppendUint(line, s.sent[i].message.To, 10)
		line = append(line, `,"message":`...)
		if line, err = appendMessage(line, library, &s.sent[i].message, s.id); err != nil {
			return nil, err
		}
		line = append(line, '}')
	}
	return append(line, "]}"...), nil
}

func (q *question) head() []byte {
	return strconv.AppendUint([]byte(`{"op":"answer","id":`), q.id, 10)
}

// appendOpaqueView writes what properties of any Raft look at.
func (s *server) appendOpaqueView(line []byte) []byte {
	full := s.node.Status()
	status := full.BasicStatus
	s.checkStatus(full)
	roles := map[Role]string{Follower: "follower", PreCandidate: "pre_candidate", Candidate: "candidate", Leader: "leader"}
	line = append(line, `{"role":"`...)
	line = append(append(line, roles[status.Role]...), '"')
	line = appendNumber(line, "term", status.Term)
	line = appendServer(line, "vote", status.Vote)
	line = appendServer(line, "leader", status.Lead)
	line = appendNumber(line, "commit", status.Commit)
	line = appendNumber(line, "applied", status.Applied)
	line = append(line, `,"log":`...)
	line = s.appendPlainLog(line)
	if status.Role == Leader {
		line = append(line, `,"match":{`...)
		first := true
		for i := range full.Progress {
			if pr := &full.Progress[i]; pr.ID != s.id {
				line = append(line, named(first, `"`, `,"`)...)
				line = strconv.AppendUint(line, pr.ID, 10)
				line = strconv.AppendUint(append(line, `":`...), pr.Match, 10)
				first = false
			}
		}
		line = append(line, '}')
	}
	hard := s.storage.HardState()
	line = append(line, `,"durable":{"term":`...)
	line = strconv.AppendUint(line, hard.Term, 10)
	line = appendServer(line, "vote", hard.Vote)
	line = append(line, `,"log":`...)
	return append(s.appendPlainLog(line), "}}"...)
}

// appendPlainLog writes the stored log as terms and what was proposed.
func (s *server) appendPlainLog(line []byte) []byte {
	line = append(line, '[')
	for i, e := range s.storage.Entries() {
		line = append(line, named(i == 0, "[", ",[")...)
		line = append(strconv.AppendUint(line, e.Term, 10), ',')
		if len(e.Data) == 0 {
			line = append(line, "null]"...)
			continue
		}
		value, err := valueOf(e.Data)
		if err != nil {
			panic(err)
		}
		line = append(strconv.AppendUint(line, value, 10), ']')
	}
	return append(line, ']')
}

// appendOpaqueDescription says what the program is. It takes no input that shortens the log or changes the membership.
func appendOpaqueDescription(line []byte, version string, chosen options) []byte {
	name := "etcd-raft"
	if chosen.async {
		name = "etcd-raft-async"
	}
	bounds := struct{}{} // Options of the harness say them.
	inputs := make(map[kind]any)
	for _, taken := range []kind{timeout, leaseExpire, heartbeat, checkQuorum, propose, restart, forgetLeader} {
		inputs[taken] = bounds
	}
	text, err := json.Marshal(map[string]any{
		"op": "describe", "protocol": opaqueVersion, "messages": "opaque", "name": name, "version": version,
		"features": []string{"pre_vote", "check_quorum", "one_entry_per_append", string(forgetLeader)},
		"inputs":   inputs,
		"fields":   []string{"role", "term", "vote", "leader", "log", "commit", "applied", "match", "durable"},
	})
	if err != nil {
		panic(err) // strings always have a JSON form
	}
	return append(line, text...)
}
