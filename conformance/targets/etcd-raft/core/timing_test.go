package core

import (
	"crypto/rand"
	"errors"
	"math/big"
	mathrand "math/rand/v2"
	"strings"
	"testing"
)

// What the source decides on is what is drawn, in one attempt, and every value is.
func TestTheSourceDecidesWhatIsDrawn(t *testing.T) {
	for _, below := range []int64{2, 7, 10, 256, 257, 1000} {
		j := &jitter{numbers: mathrand.NewPCG(1, 1), below: uint64(below)}
		seen := make(map[uint64]bool)
		for draws := 1; draws <= 20*int(below); draws++ {
			drawn, err := rand.Int(j, big.NewInt(below))
			if err != nil || drawn.Uint64() != j.last || j.draws != draws {
				t.Fatalf("%v of %d drawn, error %v, %+v", drawn, below, err, j)
			}
			seen[j.last] = true
		}
		if len(seen) != int(below) {
			t.Errorf("%d of %d values were drawn", len(seen), below)
		}
	}
}

// drawingLibrary draws an election timeout for a new server, as the library does, or forgets to.
type drawingLibrary struct {
	fakeLibrary
	forgets bool
}

func (drawingLibrary) NewStorage(conf ConfState) Storage {
	return &drawingStorage{fakeStorage{conf: conf}}
}

type drawingStorage struct{ fakeStorage }

func (*drawingStorage) HardState() HardState { return HardState{} }

func (l drawingLibrary) NewNode(c NodeConfig, _ Storage) (Node, error) {
	if !l.forgets {
		_, err := rand.Int(source, big.NewInt(int64(c.ElectionTick)))
		return &fakeNode{}, err
	}
	return &fakeNode{}, nil
}

func TestTimeoutsFollowFromTheSeed(t *testing.T) {
	config := config{servers: 1}
	timeouts := func(seed uint64) (out []uint64) {
		s, err := newServer(1, config, &timing{electionTicks: 10, heartbeatTicks: 2, seed: seed}, drawingLibrary{}, false)
		if err != nil {
			t.Fatal(err)
		}
		for range 8 {
			out = append(out, s.clock.randomized)
			s.clock.while(func() { err = s.start(0) })
			if err != nil || !s.clock.drawn || s.clock.randomized < 10 || s.clock.randomized > 19 {
				t.Fatalf("error %v, %+v", err, s.clock)
			}
		}
		return out
	}
	first, again, other := timeouts(1), timeouts(1), timeouts(2)
	same := func(a, b []uint64) bool {
		for i := range a {
			if a[i] != b[i] {
				return false
			}
		}
		return true
	}
	if !same(first, again) || same(first, other) {
		t.Errorf("%v, again %v, with another seed %v", first, again, other)
	}
}

// A library that draws from somewhere else would be taken for one that never draws.
func TestALibraryThatDrawsElsewhereIsRefused(t *testing.T) {
	timing := &timing{electionTicks: 10, heartbeatTicks: 2}
	if _, err := newServer(1, config{servers: 1}, timing, drawingLibrary{forgets: true}, false); !errors.Is(err, errNotDrawn) {
		t.Errorf("found %v", err)
	}
}

func TestTimingsAreRead(t *testing.T) {
	open := func(timing string) (request, error) {
		return readRequest([]byte(`{"op":"open","session":1,"servers":[1],"timing":`+timing+`}`), fakeLibrary{})
	}
	found, err := open(`{"election_ticks":10,"heartbeat_ticks":2,"seed":7}`)
	if expected := (timing{electionTicks: 10, heartbeatTicks: 2, seed: 7}); err != nil || *found.timing != expected {
		t.Errorf("%+v, error %v", found.timing, err)
	}
	for _, wrong := range []string{
		`{"election_ticks":10,"heartbeat_ticks":10,"seed":7}`,
		`{"election_ticks":10,"heartbeat_ticks":0,"seed":7}`,
		`{"election_ticks":99999999,"heartbeat_ticks":1,"seed":7}`,
		`{"ticks":10}`,
	} {
		if _, err := open(wrong); err == nil || !strings.Contains(err.Error(), "malformed request") {
			t.Errorf("%s: error %v", wrong, err)
		}
	}
}
