// Record writes the values of raftpb.tsv once more, with the raftpb of v3.7. That version generates fields with presence:
// a field that was never set is not written, and a zero that was set is. See ../README.md.
package main

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"os"
	"strings"

	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

var types = map[string]func() proto.Message{
	"Message":      func() proto.Message { return &pb.Message{} },
	"Entry":        func() proto.Message { return &pb.Entry{} },
	"HardState":    func() proto.Message { return &pb.HardState{} },
	"ConfState":    func() proto.Message { return &pb.ConfState{} },
	"Snapshot":     func() proto.Message { return &pb.Snapshot{} },
	"ConfChange":   func() proto.Message { return &pb.ConfChange{} },
	"ConfChangeV2": func() proto.Message { return &pb.ConfChangeV2{} },
}

// unset takes back every number, and every truth value, that is zero, as if it had never been set.
func unset(m protoreflect.Message) {
	m.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		switch {
		case field.Kind() == protoreflect.MessageKind && field.IsList():
			for i := range value.List().Len() {
				unset(value.List().Get(i).Message())
			}
		case field.Kind() == protoreflect.MessageKind:
			unset(value.Message())
		case field.IsList() || field.Kind() == protoreflect.BytesKind:
		case value.Equal(field.Default()):
			m.Clear(field)
		}
		return true
	})
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	write := proto.MarshalOptions{Deterministic: true}
	for lines.Scan() {
		fields := strings.Split(lines.Text(), "\t")
		m := types[fields[1]]()
		if err := proto.Unmarshal(must(hex.DecodeString(fields[2])), m); err != nil {
			panic(fmt.Sprint(fields[0], ": ", err))
		}
		// Everything is set: then it writes what v3.6 wrote.
		if again := hex.EncodeToString(must(write.Marshal(m))); again != fields[2] {
			panic(fmt.Sprintf("%s: %s was written as %s", fields[0], fields[2], again))
		}
		unset(m.ProtoReflect())
		fmt.Printf("%s\t%s\n", fields[0], hex.EncodeToString(must(write.Marshal(m))))
	}
	if err := lines.Err(); err != nil {
		panic(err)
	}
}
