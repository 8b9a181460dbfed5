package core

import (
	"testing"
)

// Every message that is read is written as it was, by the server that it says it is from.
func TestMessagesAreWrittenAsTheyAreRead(t *testing.T) {
	for _, body := range []string{
		`{"request_vote":{"last_index":4,"last_term":2}}`,
		`{"request_vote":{"last_index":4,"last_term":2,"transfer":true}}`,
		`{"request_pre_vote":{"last_index":4,"last_term":2}}`,
		`{"request_vote_response":{"granted":true}}`,
		`{"request_pre_vote_response":{"granted":false}}`,
		`{"append_entries":{"prev_index":1,"prev_term":1,"entries":[{"term":1,"payload":"empty"},` +
			`{"term":2,"payload":{"value":70}},` +
			`{"term":2,"payload":{"conf_change":{"changes":[{"add_voter":3},{"add_learner":2},{"remove":1}],"transition":"explicit"}}},` +
			`{"term":2,"payload":{"conf_change":{"changes":[{"remove":1}],"transition":"implicit"}}},` +
			`{"term":2,"payload":{"conf_change":{"changes":[]}}}],"commit":1}}`,
		`{"append_entries_response":{"index":2,"rejected":null}}`,
		`{"append_entries_response":{"index":2,"rejected":{"index":1,"term":3}}}`,
		`{"heartbeat":{"commit":1}}`,
		`{"heartbeat":{"commit":1,"round":2}}`,
		`"heartbeat_response"`,
		`{"round_response":{"round":2}}`,
		`{"read_index":{"origin":3,"context":1}}`,
		`{"read_index_response":{"index":4,"context":1}}`,
		`"timeout_now"`,
		`{"transfer_leader":{"transferee":3}}`,
		`{"propose":{"payloads":[{"value":7},"empty",{"conf_change":{"changes":[{"add_voter":3}]}}]}}`,
		`{"install_snapshot":{"snapshot":{"index":3,"term":1,"configuration":{"voters":[1,2,3],"outgoing":[2,4],` +
			`"learners":[5],"learners_next":[4],"auto_leave":true}}}}`,
	} {
		message := `{"from":2,"to":1,"term":3,"body":` + body + `}`
		line := `{"op":"apply","session":1,"inputs":[[1,{"deliver":` + message + `}]]}`
		found, err := readRequest([]byte(line), fakeLibrary{})
		if err != nil {
			t.Errorf("%s: %v", body, err)
			continue
		}
		written, err := appendMessage(nil, fakeLibrary{}, &found.inputs[0].input.message, 2)
		if err != nil || string(written) != message {
			t.Errorf("%s became %s, %v", message, written, err)
		}
	}
}

// Nothing that a message says is lost on the way.
func TestWhatTheVocabularyDoesNotHaveIsAnError(t *testing.T) {
	for what, m := range map[string]Message{
		"another sender":         {Type: MsgHeartbeat, From: 3},
		"a context":              {Type: MsgHeartbeat, From: 2, Context: []byte("7")},
		"a vote":                 {Type: MsgVote, From: 2, Vote: 2},
		"another context":        {Type: MsgVote, From: 2, Context: []byte("7")},
		"a type":                 {Type: 12, From: 2},
		"no read":                {Type: MsgReadIndex, From: 2},
		"two reads":              {Type: MsgReadIndexResp, From: 2, Entries: make([]Entry, 2)},
		"a read with an index":   {Type: MsgReadIndex, From: 2, Entries: []Entry{{Index: 1}}},
		"an index of a proposal": {Type: MsgProp, Entries: []Entry{{Index: 1}}},
		"no snapshot":            {Type: MsgSnap, From: 2},
		"a foreign snapshot":     {Type: MsgSnap, From: 2, Snapshot: &Snapshot{Index: 2, Data: []byte("1")}},
		"another index":          {Type: MsgApp, From: 2, Entries: []Entry{{Index: 2}}},
		"data":                   {Type: MsgApp, From: 2, Entries: []Entry{{Index: 1, Data: []byte("seven")}}},
		"a change": {Type: MsgApp, From: 2, Entries: []Entry{
			{Index: 1, Type: EntryConfChangeV2, Data: []byte(`{"Changes":[{"Type":2,"Server":1}]}`)},
		}},
		"a context of a change": {Type: MsgApp, From: 2, Entries: []Entry{
			{Index: 1, Type: EntryConfChangeV2, Data: []byte(`{"Context":"c2V2ZW4="}`)},
		}},
		"a response":  {Type: MsgAppResp, From: 2, Responses: make([]Message, 1)},
		"a hint":      {Type: MsgAppResp, From: 2, RejectHint: 1},
		"a rejection": {Type: MsgHeartbeatResp, From: 2, Reject: true},
	} {
		if line, err := appendMessage(nil, fakeLibrary{}, &m, 2); err == nil {
			t.Errorf("%s is no error: %s", what, line)
		}
	}
}
