package main

import (
	"encoding/json"
	"os"
	"runtime"
	"strings"
	"testing"
)

func TestMain(m *testing.M) {
	runtime.GOMAXPROCS(1) // As in main.
	os.Exit(m.Run())
}

// asking answers a question about a server of two.
func asking(t *testing.T, inputs ...string) answer {
	t.Helper()
	q := question{Server: 1}
	q.Config.Servers = 2
	for _, input := range inputs {
		q.Inputs = append(q.Inputs, json.RawMessage(input))
	}
	var out answer
	must(json.Unmarshal([]byte(agreed(t, q)), &out))
	return out
}

// Each of these leads to the next, and each message that is delivered is an answer to one that was sent before.
var campaign = []string{
	`"timeout"`,
	`{"deliver":{"from":2,"message":{"vote":{"Term":2,"LastIndex":1,"LastTerm":1},"reply":{"Term":2,"OK":true}}}}`,
	`{"propose":7}`,
	`{"deliver":{"from":2,"message":{"append":{"Term":2,"PrevIndex":1,"PrevTerm":1,"Commit":0,"Entries":[]},"reply":{"Term":2,"OK":true,"LastLog":1}}}}`,
	`"heartbeat"`,
	`"restart"`,
}

func TestTheLibraryIsDriven(t *testing.T) {
	for count, expected := range []string{
		`{"role":"follower","term":1,"log":[[1,"configuration"]]`,
		`{"role":"candidate","term":2,"log":[[1,"configuration"]]`,
		`{"role":"leader","term":2,"log":[[1,"configuration"],[2,"noop"]]`,
		`{"role":"leader","term":2,"log":[[1,"configuration"],[2,"noop"],[2,7]]`,
		`{"role":"leader","term":2,"log":[[1,"configuration"],[2,"noop"],[2,7]]`,
		`{"role":"leader","term":2,"log":[[1,"configuration"],[2,"noop"],[2,7]]`,
		`{"role":"follower","term":2,"log":[[1,"configuration"],[2,"noop"],[2,7]]`,
	} {
		found := asking(t, campaign[:count]...)
		if view := encode(found.View); !strings.HasPrefix(view, expected) {
			t.Errorf("after %d inputs: %s", count, view)
		}
	}
	sent := asking(t, campaign[:4]...).Sent
	if len(sent) != 1 || sent[0].Message.Append == nil || len(sent[0].Message.Append.Entries) != 2 {
		t.Errorf("an acknowledged leader sends %s", encode(sent))
	}
}

func TestAVoteThatNobodyWaitsForChangesNothing(t *testing.T) {
	late := strings.Replace(campaign[1], `"LastIndex":1`, `"LastIndex":3`, 1)
	if found, before := asking(t, campaign[0], late), asking(t, campaign[0]); encode(found.State) != encode(before.State) {
		t.Errorf("%s became %s", encode(before.State), encode(found.State))
	}
}

func TestAnswersAreTheSameEachTime(t *testing.T) {
	first := encode(asking(t, campaign[:5]...))
	for range 50 {
		if again := encode(asking(t, campaign[:5]...)); again != first {
			t.Fatalf("%s and %s", first, again)
		}
	}
}
