package core

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
)

// payloadBytes is the size of a payload of any kind, so that a limit in bytes is a number of proposals.
const payloadBytes = 32

// valueData is the data of an entry that carries a value: its digits.
func valueData(value uint64) []byte {
	return fmt.Appendf(nil, "%0*d", payloadBytes, value)
}

// valueOf is the value that the data of an entry carries.
func valueOf(data []byte) (uint64, error) {
	return strconv.ParseUint(string(data), 10, 64)
}

// contextData is the context of a read that a client knows by this number, or nothing for zero. In v3.6 the heartbeats of
// its round carry it too; v3.7 numbers its rounds in the same eight bytes.
func contextData(number uint64) []byte {
	if number == 0 {
		return nil
	}
	return binary.LittleEndian.AppendUint64(nil, number)
}

// contextOf is the number in the context of a read or of a heartbeat, zero for none.
func contextOf(context []byte) (uint64, error) {
	switch len(context) {
	case 0:
		return 0, nil
	case 8:
		return binary.LittleEndian.Uint64(context), nil
	default:
		return 0, fmt.Errorf("a context of %d bytes", len(context))
	}
}

// snapshotData is the state of the application at an index: its digits.
func snapshotData(index uint64) []byte {
	return strconv.AppendUint(nil, index, 10)
}

// filler is what fills the context of a change, which nobody reads.
const filler = '.'

// sized is the change with a context that makes its data as long as any payload. One that leaves a joint
// configuration stays empty: it counts for nothing.
func sized(library Library, change ConfChange) ConfChange {
	const header = 2 // The tag of the context and its length.
	missing := payloadBytes - header - len(library.EncodeChange(change))
	if missing >= 0 && !leavesJoint(change) {
		change.Context = bytes.Repeat([]byte{filler}, missing)
	}
	return change
}

// changeData is the data of an entry that carries the change.
func changeData(library Library, change ConfChange) []byte {
	if leavesJoint(change) {
		return nil
	}
	return library.EncodeChange(sized(library, change))
}

// leavesJoint tells whether a change leaves a joint configuration.
func leavesJoint(change ConfChange) bool {
	return len(change.Changes) == 0 && change.Transition == TransitionAuto
}

// transitions are the names of transitions in the vocabulary.
var transitions = [...]string{TransitionAuto: "auto", TransitionImplicit: "implicit", TransitionExplicit: "explicit"}

// changeTypes are the names of changes in the vocabulary.
var changeTypes = map[string]ChangeType{"add_voter": AddVoter, "add_learner": AddLearner, "remove": Remove}

// appendChange writes a change. It fails if the vocabulary has no word for it.
func appendChange(line []byte, change ConfChange) ([]byte, error) {
	line = append(line, `{"changes":[`...)
	for i, one := range change.Changes {
		if i > 0 {
			line = append(line, ',')
		}
		switch one.Type {
		case AddVoter:
			line = append(line, `{"add_voter":`...)
		case AddLearner:
			line = append(line, `{"add_learner":`...)
		case Remove:
			line = append(line, `{"remove":`...)
		default:
			return line, fmt.Errorf("a change of type %d", one.Type)
		}
		line = strconv.AppendUint(line, one.Server, 10)
		line = append(line, '}')
	}
	line = append(line, ']')
	switch change.Transition {
	case TransitionAuto:
	case TransitionImplicit:
		line = append(line, `,"transition":"implicit"`...)
	case TransitionExplicit:
		line = append(line, `,"transition":"explicit"`...)
	default:
		return line, fmt.Errorf("a transition %d", change.Transition)
	}
	if foreign := bytes.Trim(change.Context, string(filler)); len(foreign) > 0 {
		return line, fmt.Errorf("a change with the context %q", foreign)
	}
	return append(line, '}'), nil
}

// equal tells whether two configurations are the same.
func (c ConfState) equal(other ConfState) bool {
	return slices.Equal(c.Voters, other.Voters) && slices.Equal(c.VotersOutgoing, other.VotersOutgoing) &&
		slices.Equal(c.Learners, other.Learners) && slices.Equal(c.LearnersNext, other.LearnersNext) &&
		c.AutoLeave == other.AutoLeave
}

// votes tells whether a server is a voter of either half.
func (c ConfState) votes(server uint64) bool {
	return slices.Contains(c.Voters, server) || slices.Contains(c.VotersOutgoing, server)
}

// members are the voters and learners, in order.
func (c ConfState) members() []uint64 {
	all := slices.Concat(c.Voters, c.VotersOutgoing, c.Learners)
	slices.Sort(all)
	return slices.Compact(all)
}
