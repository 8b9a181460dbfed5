package core

import (
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// unread are the fields of the library that no later decision depends on, or that are replaced by what one does depend on,
// each with the reason. Every other field of a server is part of its name, also one that a later version may add.
var unread = map[string]string{
	"logger":                    "written only",
	"traceLogger":               "written only",
	"callStats":                 "counted only",
	"Mutex":                     "one goroutine",
	"step":                      "a function that follows from the role",
	"tick":                      "a function that follows from the role",
	"randomizedElectionTimeout": "ticks never fire an election timer here",
	"heartbeatElapsed":          "this program makes up for it, by as many ticks as are missing",
	"electionElapsed":           "as above at a leader; at others see lease",
	"pendingConfIndex":          "nobody changes the membership in questions",
	"ready":                     "the last work that was handed over, which is done",
	"sizeCache":                 "of an encoding, computed when it is needed",
	"unknownFields":             "this version's own messages have none",
	"MessageState":              "of the encoding library",
}

// UnreadFields are the names of the fields, or of their types, that are no part of the name of a state.
func UnreadFields() []string { return slices.Sorted(maps.Keys(unread)) }

// stateName names the state of a server: all of its private fields as text, but what is never read again. Equal states have
// equal names; that different ones have different names is for Lockstep to test.
func stateName(s *server) string {
	var out strings.Builder
	w := stateWriter{out: &out, role: s.node.BasicStatus().Role}
	w.write(reflect.ValueOf(s.node))
	fmt.Fprintf(&out, " applied=%d", s.application.applied)
	return out.String()
}

// stateWriter writes values whose fields may be private, which reflection lets one read but not take.
type stateWriter struct {
	out   *strings.Builder
	role  Role
	depth int
}

func (w *stateWriter) write(v reflect.Value) {
	w.depth++
	defer func() { w.depth-- }()
	if w.depth > 40 {
		panic("the state has no end")
	}
	switch v.Kind() {
	case reflect.Bool:
		w.out.WriteString(strconv.FormatBool(v.Bool()))
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		w.out.WriteString(strconv.FormatInt(v.Int(), 10))
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		w.out.WriteString(strconv.FormatUint(v.Uint(), 10))
	case reflect.String:
		w.out.WriteString(strconv.Quote(v.String()))
	case reflect.Interface, reflect.Pointer:
		w.writeElem(v)
	case reflect.Slice, reflect.Array:
		w.writeList(v)
	case reflect.Map:
		w.writeMap(v)
	case reflect.Struct:
		w.writeStruct(v)
	default:
		panic(fmt.Sprintf("the state holds a %s", v.Type()))
	}
}

// writeElem writes what a pointer points to. An optional number that is missing means zero to the library.
func (w *stateWriter) writeElem(v reflect.Value) {
	switch {
	case !v.IsNil():
		w.write(v.Elem())
	case v.Kind() == reflect.Pointer && v.Type().Elem().Kind() != reflect.Struct:
		w.write(reflect.Zero(v.Type().Elem()))
	default:
		w.out.WriteString("nil")
	}
}

// writeList writes a list; one of bytes as a text. None and an empty one mean the same to the library.
func (w *stateWriter) writeList(v reflect.Value) {
	if v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Uint8 {
		w.out.WriteString(strconv.Quote(string(v.Bytes())))
		return
	}
	w.out.WriteByte('[')
	for i := range v.Len() {
		w.write(v.Index(i))
		w.out.WriteByte(' ')
	}
	w.out.WriteByte(']')
}

// writeMap writes a map in the order of its keys, as they are written.
func (w *stateWriter) writeMap(v reflect.Value) {
	var entries []string
	for each := v.MapRange(); each.Next(); {
		var one strings.Builder
		inner := stateWriter{out: &one, role: w.role, depth: w.depth}
		inner.write(each.Key())
		one.WriteByte(':')
		inner.write(each.Value())
		entries = append(entries, one.String())
	}
	slices.Sort(entries)
	fmt.Fprint(w.out, entries)
}

func (w *stateWriter) writeStruct(v reflect.Value) {
	kind := v.Type().Name()
	if kind == "Inflights" {
		w.writeInflights(v)
		return
	}
	w.out.WriteString(kind)
	w.out.WriteByte('{')
	for i := range v.NumField() {
		field := v.Type().Field(i)
		if unread[field.Name] != "" || unread[field.Type.Name()] != "" || w.pruned(v, kind, field.Name) {
			continue
		}
		w.out.WriteString(field.Name)
		w.out.WriteByte('=')
		w.write(v.Field(i))
		w.out.WriteByte(' ')
	}
	if kind == "raft" {
		fmt.Fprintf(w.out, "lease=%t", w.lease(v))
	}
	w.out.WriteByte('}')
}

// pruned tells whether the role, or the configuration, leaves a field unread until it is written anew.
func (w *stateWriter) pruned(v reflect.Value, kind, field string) bool {
	switch kind + "." + field {
	case "ProgressTracker.Votes":
		return w.role != Candidate && w.role != PreCandidate
	case "ProgressTracker.Progress":
		return w.role != Leader
	case "raft.uncommittedSize":
		return w.role != Leader || v.FieldByName("maxUncommittedSize").Uint() == math.MaxUint64
	}
	return false
}

// lease tells whether a server that follows a leader refuses to vote for another one.
func (w *stateWriter) lease(v reflect.Value) bool {
	recent := v.FieldByName("electionElapsed").Int() < v.FieldByName("electionTimeout").Int()
	return w.role != Leader && v.FieldByName("checkQuorum").Bool() && v.FieldByName("lead").Uint() != None && recent
}

// writeInflights writes what is in a window, the oldest first: where in its buffer the library keeps it is unread, and so is
// how many bytes each message has unless their sum is limited.
func (w *stateWriter) writeInflights(v reflect.Value) {
	number := func(name string) int { return int(v.FieldByName(name).Int()) }
	buffer, size := v.FieldByName("buffer"), number("size")
	limit := v.FieldByName("maxBytes").Uint()
	limited := limit != 0 && limit != math.MaxUint64
	fmt.Fprintf(w.out, "Inflights{%d:", number("count"))
	for i := range number("count") {
		one := buffer.Index((number("start") + i) % size)
		fmt.Fprintf(w.out, " %d", one.FieldByName("index").Uint())
		if limited {
			fmt.Fprintf(w.out, " of %d bytes", one.FieldByName("bytes").Uint())
		}
	}
	w.out.WriteByte('}')
}
