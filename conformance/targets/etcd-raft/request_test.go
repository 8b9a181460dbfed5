package main

import (
	"reflect"
	"strings"
	"testing"

	pb "go.etcd.io/raft/v3/raftpb"
)

// The requests of PROTOCOL.md, in other orders and with blanks where JSON allows them.
func TestRequestsAreRead(t *testing.T) {
	for line, expected := range map[string]request{
		`{"op":"describe","protocol":1}`:                       {op: "describe", protocol: 1},
		` { "protocol" : 1 , "op" : "de\u0073cribe" } ` + "\r": {op: "describe", protocol: 1},
		`{"session":7,"op":"close"}`:                           {op: "close", session: 7},
		`{"op":"open","session":18446744073709551615,"servers":[3,1],"config":{"servers":3,"pre_vote":true,` +
			`"check_quorum":false,"one_entry_per_append":true,"max_inflight":2}}`: {
			op: "open", session: 18446744073709551615, servers: []uint64{3, 1},
			config: &config{servers: 3, preVote: true, oneEntryPerAppend: true, maxInflight: 2},
		},
		`{"op":"apply","session":1,"inputs":[]}`: {op: "apply", session: 1},
		`{"op":"apply","session":1,"inputs":[[1,"timeout"],[2,{"propose":70}]]}`: {
			op: "apply", session: 1,
			inputs: []step{{1, input{kind: timeout}}, {2, input{kind: propose, value: 70}}},
		},
	} {
		found, err := readRequest([]byte(line))
		if err != nil || !reflect.DeepEqual(found, expected) {
			t.Errorf("%s: %+v, %v", line, found, err)
		}
	}
}

func TestMessagesAreRead(t *testing.T) {
	for body, expected := range map[string]pb.Message{
		`{"request_vote":{"last_index":4,"last_term":2}}`:         {Type: pb.MsgVote, Index: 4, LogTerm: 2},
		`{"request_vote_response":{"granted":true}}`:              {Type: pb.MsgVoteResp},
		`{"request_pre_vote":{"last_term":2,"last_index":4}}`:     {Type: pb.MsgPreVote, Index: 4, LogTerm: 2},
		`{"request_pre_vote_response":{"granted":false}}`:         {Type: pb.MsgPreVoteResp, Reject: true},
		`{"append_entries_response":{"index":2,"rejected":null}}`: {Type: pb.MsgAppResp, Index: 2},
		`{"append_entries_response":{"index":2,"rejected":{"index":1,"term":3}}}`: {
			Type: pb.MsgAppResp, Index: 2, Reject: true, RejectHint: 1, LogTerm: 3,
		},
		`{"heartbeat":{"commit":1}}`: {Type: pb.MsgHeartbeat, Commit: 1},
		`"heartbeat_response"`:       {Type: pb.MsgHeartbeatResp},
		`{"append_entries":{"entries":[{"term":1,"payload":"empty"},{"term":2,"payload":{"value":70}}],` +
			`"prev_index":1,"prev_term":1,"commit":1}}`: {
			Type: pb.MsgApp, Index: 1, LogTerm: 1, Commit: 1,
			Entries: []pb.Entry{{Term: 1, Index: 2}, {Term: 2, Index: 3, Data: []byte("70")}},
		},
	} {
		line := `{"op":"apply","session":1,"inputs":[[1,{"deliver":{"from":2,"to":1,"term":3,"body":` + body + `}}]]}`
		expected.From, expected.To, expected.Term = 2, 1, 3
		found, err := readRequest([]byte(line))
		if err != nil || !reflect.DeepEqual(found.inputs[0].input.message, expected) {
			t.Errorf("%s: %+v, %v", body, found, err)
		}
	}
}

// Whatever is not understood is an error: it would be an input that nobody gives.
func TestMalformedRequestsAreRefused(t *testing.T) {
	whole := `{"op":"apply","session":1,"inputs":[[1,{"deliver":{"from":2,"to":1,"term":3,"body":` +
		`{"append_entries":{"prev_index":1,"prev_term":1,"entries":[{"term":1,"payload":{"value":7}}],"commit":1}}}}]]}`
	if _, err := readRequest([]byte(whole)); err != nil {
		t.Fatal(err)
	}
	for end := range whole {
		if _, err := readRequest([]byte(whole[:end])); err == nil {
			t.Errorf("%s: is no error", whole[:end])
		}
	}
	for _, change := range [][2]string{
		{`"session":1`, `"session":-1`}, {`"session":1`, `"session":1.5`}, {`"session":1`, `"session":01`},
		{`"session":1`, `"session":18446744073709551616`}, {`"session":1`, `"session":"1"`},
		{`"session":1`, `"mood":1`}, {`[1,{"deliver"`, `[0,{"deliver"`}, {`[1,{"deliver"`, `[1,2,{"deliver"`},
		{`"deliver"`, `"dance"`}, {`"append_entries":`, `"append":`}, {`"commit":1`, `"vote":1`},
		{`"commit":1`, `"commit":null`}, {`"value"`, `"digits"`}, {`{"value":7}`, `"value"`}, {`{"value":7}`, `7`},
		{`]]}`, `]]}}`}, {`]]}`, `]],}`}, {`]]}`, `],]}`}, {`"from":2,`, `"from":2`}, {`"term":1`, `"Term":1`},
	} {
		line := strings.Replace(whole, change[0], change[1], 1)
		if _, err := readRequest([]byte(line)); line == whole || err == nil {
			t.Errorf("%s is no error", line)
		}
	}
}
