package core

import (
	"reflect"
	"strings"
	"testing"
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
		`{"op":"open","session":1,"servers":[1],"config":{"servers":3,"pre_vote":false,"check_quorum":false,` +
			`"one_entry_per_append":false,"max_inflight":2,"forward_proposals":true,"max_uncommitted":5,` +
			`"voters":[1,2],"learners":[3],"step_down_on_removal":true,"disable_conf_change_validation":true}}`: {
			op: "open", session: 1, servers: []uint64{1},
			config: &config{
				servers: 3, maxInflight: 2, forwardProposals: true, maxUncommitted: 5, voters: []uint64{1, 2},
				learners: []uint64{3}, stepDownOnRemoval: true, disableConfChangeValidation: true,
			},
		},
		`{"op":"apply","session":1,"inputs":[[1,{"transfer_leadership":{"to":2}}],[1,"forget_leader"],[1,"compact"],` +
			`[1,{"propose_conf_change":{"changes":[{"add_voter":3},{"remove":2}]}}],` +
			`[1,{"report_unreachable":{"peer":2}}],[1,{"report_snapshot":{"peer":2,"ok":true}}]]}`: {
			op: "apply", session: 1,
			inputs: []step{
				{1, input{kind: transferLeadership, peer: 2}}, {1, input{kind: forgetLeader}}, {1, input{kind: compact}},
				{1, input{
					kind:   proposeConfChange,
					change: ConfChange{Changes: []Change{{AddVoter, 3}, {Remove, 2}}},
				}},
				{1, input{kind: reportUnreachable, peer: 2}}, {1, input{kind: reportSnapshot, peer: 2, ok: true}},
			},
		},
		`{"op":"open","session":1,"servers":[1],"config":{"servers":3,"pre_vote":false,"check_quorum":true,` +
			`"one_entry_per_append":false,"max_inflight":2,"storage":"async","application_in_memory":true,` +
			`"reads":"lease_based"}}`: {
			op: "open", session: 1, servers: []uint64{1},
			config: &config{
				servers: 3, checkQuorum: true, maxInflight: 2, asyncStorage: true, applicationInMemory: true,
				reads: readsLeaseBased,
			},
		},
		`{"op":"apply","session":1,"inputs":[[1,"persist"],[1,"apply"],[1,{"restart_keeping":{"writes":2}}],` +
			`[1,{"read_index":{"context":3}}]]}`: {
			op: "apply", session: 1,
			inputs: []step{
				{1, input{kind: persist}}, {1, input{kind: apply}}, {1, input{kind: restartKeeping, writes: 2}},
				{1, input{kind: readIndex, context: 3}},
			},
		},
		`{"op":"apply","session":1,"inputs":[]}`: {op: "apply", session: 1},
		`{"op":"apply","session":1,"inputs":[[1,"timeout"],[2,{"propose":70}]]}`: {
			op: "apply", session: 1,
			inputs: []step{{1, input{kind: timeout}}, {2, input{kind: propose, value: 70}}},
		},
	} {
		found, err := readRequest([]byte(line), fakeLibrary{})
		if err != nil || !reflect.DeepEqual(found, expected) {
			t.Errorf("%s: %+v, %v", line, found, err)
		}
	}
}

func TestMessagesAreRead(t *testing.T) {
	for body, expected := range map[string]Message{
		`{"request_vote":{"last_index":4,"last_term":2}}`:         {Type: MsgVote, Index: 4, LogTerm: 2},
		`{"request_vote_response":{"granted":true}}`:              {Type: MsgVoteResp},
		`{"request_pre_vote":{"last_term":2,"last_index":4}}`:     {Type: MsgPreVote, Index: 4, LogTerm: 2},
		`{"request_pre_vote_response":{"granted":false}}`:         {Type: MsgPreVoteResp, Reject: true},
		`{"append_entries_response":{"index":2,"rejected":null}}`: {Type: MsgAppResp, Index: 2},
		`{"append_entries_response":{"index":2,"rejected":{"index":1,"term":3}}}`: {
			Type: MsgAppResp, Index: 2, Reject: true, RejectHint: 1, LogTerm: 3,
		},
		`{"heartbeat":{"commit":1}}`: {Type: MsgHeartbeat, Commit: 1},
		`"heartbeat_response"`:       {Type: MsgHeartbeatResp},
		`{"append_entries":{"entries":[{"term":1,"payload":"empty"},{"term":2,"payload":{"value":70}}],` +
			`"prev_index":1,"prev_term":1,"commit":1}}`: {
			Type: MsgApp, Index: 1, LogTerm: 1, Commit: 1,
			Entries: []Entry{{Term: 1, Index: 2}, {Term: 2, Index: 3, Data: valueData(70)}},
		},
	} {
		line := `{"op":"apply","session":1,"inputs":[[1,{"deliver":{"from":2,"to":1,"term":3,"body":` + body + `}}]]}`
		expected.From, expected.To, expected.Term = 2, 1, 3
		found, err := readRequest([]byte(line), fakeLibrary{})
		if err != nil || !reflect.DeepEqual(found.inputs[0].input.message, expected) {
			t.Errorf("%s: %+v, %v", body, found, err)
		}
	}
}

// Whatever is not understood is an error: it would be an input that nobody gives.
func TestMalformedRequestsAreRefused(t *testing.T) {
	whole := `{"op":"apply","session":1,"inputs":[[1,{"deliver":{"from":2,"to":1,"term":3,"body":` +
		`{"append_entries":{"prev_index":1,"prev_term":1,"entries":[{"term":1,"payload":{"value":7}}],"commit":1}}}}]]}`
	if _, err := readRequest([]byte(whole), fakeLibrary{}); err != nil {
		t.Fatal(err)
	}
	for end := range whole {
		if _, err := readRequest([]byte(whole[:end]), fakeLibrary{}); err == nil {
			t.Errorf("%s: is no error", whole[:end])
		}
	}
	for _, change := range [][2]string{
		{`"session":1`, `"session":-1`}, {`"session":1`, `"session":1.5`}, {`"session":1`, `"session":01`},
		{`"session":1`, `"session":18446744073709551616`}, {`"session":1`, `"session":"1"`},
		{`"session":1`, `"mood":1`}, {`[1,{"deliver"`, `[0,{"deliver"`}, {`[1,{"deliver"`, `[1,2,{"deliver"`},
		{`"deliver"`, `"dance"`}, {`"append_entries":`, `"append":`}, {`"commit":1`, `"vote":1`},
		{`"commit":1`, `"commit":null`}, {`"value"`, `"digits"`}, {`{"value":7}`, `"value"`}, {`{"value":7}`, `7`},
		{`{"value":7}`, `{"conf_change":{"changes":[{"update":1}]}}`},
		{`{"value":7}`, `{"conf_change":{"changes":[],"transition":"later"}}`},
		{`[1,{"deliver"`, `[1,{"report_snapshot":{"to":2}}],[1,{"deliver"`},
		{`[1,{"deliver"`, `[1,{"transfer_leadership":{"peer":2}}],[1,{"deliver"`},
		{`[1,{"deliver"`, `[1,{"report_unreachable":{"peer":2,"ok":true}}],[1,{"deliver"`},
		{`[1,{"deliver"`, `[1,{"deliver":{"from":2,"to":1,"term":3,"body":{"transfer_leader":{}}}}],[1,{"deliver"`},
		{`]]}`, `]]}}`}, {`]]}`, `]],}`}, {`]]}`, `],]}`}, {`"from":2,`, `"from":2`}, {`"term":1`, `"Term":1`},
	} {
		line := strings.Replace(whole, change[0], change[1], 1)
		if _, err := readRequest([]byte(line), fakeLibrary{}); line == whole || err == nil {
			t.Errorf("%s is no error", line)
		}
	}
}
