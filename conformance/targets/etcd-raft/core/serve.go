package core

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime/debug"
)

// protocolVersion is the version of the exec protocol that this program speaks.
const protocolVersion = 1

// maxLine is how long a request may be, in bytes.
const maxLine = 1 << 28

// Main is the program: it puts that library behind the exec protocol, JSON lines on standard input and output, described
// in conformance/targets/PROTOCOL.md. It uses the library as any application would, through its public API only. What
// that API cannot drive is reported as not driven, and what it does not show is not declared.
func Main(library Library) {
	async := flag.Bool("async", false,
		"run the library with AsyncStorageWrites, which shows what must wait for persistence")
	without := flag.String("without", "",
		"a departure that is kept quiet about, so that a comparison shows it")
	opaque := flag.Bool("opaque", false,
		"speak version 2 of the protocol, in which a message is any value: for `lockstep check --target`")
	flag.Parse()
	replaceRandomness()
	// The heap is small and what a step allocates is soon garbage: collecting a quarter as often saves a
	// sixth of the time, for some megabytes.
	debug.SetGCPercent(400)
	talk := serve
	if *opaque {
		talk = serveOpaque
	}
	if err := talk(os.Stdin, os.Stdout, library, options{async: *async, without: *without}); err != nil {
		fmt.Fprintln(os.Stderr, "etcd-raft:", err)
		os.Exit(1)
	}
}

// options are those of the command line.
type options struct {
	async   bool
	without string
}

// serve answers requests until the input ends. Requests are decoded ahead of the one being worked on,
// and replies leave together when no request is waiting, so that neither side pays for round trips.
func serve(in io.Reader, out io.Writer, library Library, chosen options) error {
	requests := make(chan request, 256)
	var readErr error
	go func() {
		defer close(requests)
		lines := bufio.NewScanner(in)
		lines.Buffer(make([]byte, 1<<20), maxLine)
		for lines.Scan() {
			r, err := readRequest(lines.Bytes(), library)
			if err != nil {
				readErr = err
				return
			}
			requests <- r
		}
		readErr = lines.Err()
	}()

	writer := bufio.NewWriterSize(out, 1<<20)
	sessions := make(map[uint64]*session)
	var line []byte
	for r := range requests {
		var err error
		line, err = answer(line[:0], sessions, r, library, chosen)
		if err != nil {
			return err
		}
		if len(line) > 0 {
			if _, err := writer.Write(append(line, '\n')); err != nil {
				return err
			}
		}
		if len(requests) == 0 {
			if err := writer.Flush(); err != nil {
				return err
			}
		}
	}
	if err := writer.Flush(); err != nil {
		return err
	}
	return readErr
}

// answer appends the reply to a request, if it has one.
func answer(
	line []byte, sessions map[uint64]*session, r request, library Library, chosen options,
) ([]byte, error) {
	switch r.op {
	case "describe":
		if r.protocol != protocolVersion {
			return nil, fmt.Errorf("this program speaks protocol %d, not %d", protocolVersion, r.protocol)
		}
		return appendDescription(line, libraryVersion(), chosen), nil
	case "open":
		if r.config == nil {
			return nil, errors.New("open needs a config")
		}
		opened := &session{}
		for _, id := range r.servers {
			one, err := newServer(id, *r.config, r.timing, library, chosen.async)
			if err != nil {
				return nil, err
			}
			opened.servers = append(opened.servers, one)
		}
		sessions[r.session] = opened
		return opened.appendViews(opened.appendTimers(appendReplyHead(line, r))), nil
	case "apply":
		s := sessions[r.session]
		if s == nil {
			return nil, fmt.Errorf("session %d is not open", r.session)
		}
		line = appendReplyHead(line, r)
		line = append(line, `,"results":[`...)
		for i, step := range r.inputs {
			if i > 0 {
				line = append(line, ',')
			}
			line = s.apply(line, step)
		}
		return append(line, "]}"...), nil
	case "close":
		s := sessions[r.session]
		if s == nil {
			return nil, fmt.Errorf("session %d is not open", r.session)
		}
		delete(sessions, r.session)
		return s.appendViews(appendReplyHead(line, r)), nil
	default:
		return nil, fmt.Errorf("unknown request %q", r.op)
	}
}

// libraryVersion is the version of etcd's raft that this program was built with.
func libraryVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, module := range info.Deps {
			if module.Path == "go.etcd.io/raft/v3" {
				return module.Version
			}
		}
	}
	return "unknown"
}
