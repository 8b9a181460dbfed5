// hashicorp/raft (Go, the Raft of Consul, Nomad and Vault) behind Lockstep's protocol 2.
//
//	go build -o hashicorp-raft . && lockstep check … --target exec:./hashicorp-raft
//
// The library is a dozen goroutines and as many timers, and has no seam for either. A bubble of testing/synctest is one: in it
// time stands still while a goroutine can run, and Wait returns when all of them are blocked. Transport, log and stable store
// are the library's interfaces. One question is one bubble.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
)

type question struct {
	Op     string
	ID     uint64
	Server int
	Config struct {
		Servers int
		PreVote bool `json:"pre_vote"`
	}
	Inputs []json.RawMessage
}

type answer struct {
	Op    string `json:"op"`
	ID    uint64 `json:"id"`
	State any    `json:"state"`
	View  view   `json:"view"`
	Sent  []sent `json:"sent"`
}

const description = `{"op":"describe","protocol":2,"messages":"opaque","name":"hashicorp-raft","version":"1.8.0",` +
	`"features":["pre_vote"],"inputs":{"timeout":{},"heartbeat":{},"propose":{},"restart":{}},` +
	`"fields":["role","term","log","commit","applied","vote","match","durable"]}`

var late = flag.Bool("late", false, "a leader that is deposed sends once more what it had to send")

func main() {
	// A goroutine runs until it waits, and hands over to those that it has woken: with one processor, without preemption by
	// signal and without the collector's own goroutines, their order is nearly always the same.
	const quiet = "GODEBUG=asyncpreemptoff=1"
	if !slices.Contains(os.Environ(), quiet) {
		self, err := os.Executable()
		must(err)
		must(syscall.Exec(self, os.Args, append(os.Environ(), quiet)))
	}
	runtime.GOMAXPROCS(1)
	debug.SetGCPercent(-1)
	// Only a test can have a bubble.
	all := func(string, string) (bool, error) { return true, nil }
	testing.Main(all, []testing.InternalTest{{Name: "questions", F: serve}}, nil, nil)
}

// serve answers questions until the input ends.
func serve(t *testing.T) {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<24)
	for number := 1; lines.Scan(); number++ {
		var q question
		if err := json.Unmarshal(lines.Bytes(), &q); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		if q.Op == "describe" {
			fmt.Println(description)
			continue
		}
		fmt.Println(agreed(t, q))
		if number%200 == 0 {
			runtime.GC()
		}
	}
}

// agreed asks until two answers agree. On a busy machine the scheduler interrupts a goroutine at another place once in tens of
// thousands of questions; what the library itself leaves to chance (select) comes out differently often enough to be found out.
func agreed(t *testing.T, q question) string {
	var seen []string
	for {
		var one string
		synctest.Test(t, func(*testing.T) { one = encode(ask(q)) })
		if slices.Contains(seen, one) {
			return one
		}
		seen = append(seen, one)
	}
}

func ask(q question) answer {
	s := newServer(q.Server, q.Config.Servers, q.Config.PreVote)
	defer s.stop()
	s.sent = []sent{}
	for _, text := range q.Inputs {
		s.take(text)
	}
	return answer{"answer", q.ID, s.state(), s.view(), s.sent}
}
