// All that Lockstep needs of a Raft in Go: `lockstep check --target exec:…` asks, this answers (../PROTOCOL.md).
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
)

const description = `{"op":"describe","protocol":2,"messages":"opaque","name":"paper-raft-go","version":"1",
	"inputs":{"timeout":{},"heartbeat":{},"propose":{},"restart":{}},
	"fields":["role","term","log","commit","vote","match"],"restores":true}`

type question struct {
	Op     string
	ID     int
	Config struct{ Servers int }
	Server int
	Saved  json.RawMessage
	Inputs []json.RawMessage
}

type answer struct {
	Op    string  `json:"op"`
	ID    int     `json:"id"`
	State *Server `json:"state"`
	View  any     `json:"view"`
	Sent  []Sent  `json:"sent"`
}

// take gives a server one input.
func take(s *Server, input json.RawMessage) error {
	s.sent = []Sent{}
	var name string
	var more struct {
		Propose any
		Deliver struct {
			From    int
			Message Message
		}
	}
	if json.Unmarshal(input, &name) != nil {
		if err := json.Unmarshal(input, &more); err != nil {
			return err
		}
	}
	switch {
	case name == "restart":
		s.Restart()
	case name == "timeout" && s.Role != "leader":
		s.Timeout()
	case name == "heartbeat" && s.Role == "leader":
		s.Replicate()
	case more.Propose != nil && s.Role == "leader":
		s.Propose(more.Propose)
	case more.Deliver.From != 0:
		s.Receive(more.Deliver.From, more.Deliver.Message)
	}
	return nil
}

// view shows a server; nobody is null.
func view(s *Server) any {
	log := [][2]any{}
	for _, entry := range s.Log {
		log = append(log, [2]any{entry.Term, entry.Value})
	}
	var vote any
	if s.Vote != 0 {
		vote = s.Vote
	}
	shown := map[string]any{"role": s.Role, "term": s.Term, "vote": vote, "log": log, "commit": s.Commit}
	if s.Role == "leader" {
		shown["match"] = s.Match
	}
	return shown
}

func ask(q question) (answer, error) {
	s := NewServer(q.Server, q.Config.Servers)
	if q.Saved != nil {
		if err := json.Unmarshal(q.Saved, s); err != nil {
			return answer{}, err
		}
	}
	s.sent = []Sent{}
	for _, input := range q.Inputs {
		if err := take(s, input); err != nil {
			return answer{}, err
		}
	}
	return answer{"answer", q.ID, s, view(s), s.sent}, nil
}

func main() {
	in, out := bufio.NewReader(os.Stdin), json.NewEncoder(os.Stdout)
	requests := json.NewDecoder(in)
	for {
		var q question
		if requests.Decode(&q) != nil {
			return
		}
		var reply any = json.RawMessage(description)
		if q.Op == "ask" {
			answered, err := ask(q)
			if err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			reply = answered
		}
		if out.Encode(reply) != nil {
			return
		}
	}
}
