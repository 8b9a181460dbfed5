package core

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	mathrand "math/rand/v2"
	"strconv"
)

// timing is how fast the clocks of a session go. Without one, no timer of the library ever fires by ticks.
type timing struct {
	electionTicks  int
	heartbeatTicks int
	// seed is where the random election timeouts of the session follow from.
	seed uint64
}

// mostTicks is the longest election timeout that a session can ask for.
const mostTicks = 1 << 20

// errNotDrawn is a library whose random timeouts come from somewhere else than the shared reader.
var errNotDrawn = errors.New("the library has not drawn its election timeout from crypto/rand.Reader")

// jitter decides on the random election timeouts. The library shows them to nobody, and draws each from
// crypto/rand.Reader, which any program may replace: what it reads there is what it draws. Read counts the draws, so
// that one of the value that is in force is seen, too.
type jitter struct {
	// numbers is where the values come from; it is that of the server that moves.
	numbers *mathrand.PCG
	// below is the number of values that can be drawn; zero while no clock goes.
	below uint64
	// draws is how often something was drawn, last the value of the last time.
	draws int
	last  uint64
}

// source is the jitter of all servers: one server moves at a time, and brings its own.
var source = &jitter{numbers: mathrand.NewPCG(0, 0)}

// replaceRandomness makes the library draw from the source.
func replaceRandomness() { rand.Reader = source }

// Read writes a number that rand.Int takes as it is, with the most significant byte first.
func (j *jitter) Read(out []byte) (int, error) {
	j.draws++
	j.last = j.numbers.Uint64()
	if j.below > 0 {
		j.last %= j.below
	}
	var all [8]byte
	binary.BigEndian.PutUint64(all[:], j.last)
	for i := range out {
		out[i] = 0
		if at := len(all) - len(out) + i; at >= 0 {
			out[i] = all[at]
		}
	}
	return len(out), nil
}

// clock is the timers of one server, as far as they can be known from outside the library.
type clock struct {
	timing timing
	// numbers is where the random timeouts of this server come from.
	numbers *mathrand.PCG
	// randomized is the random timeout in force, in ticks.
	randomized uint64
	// drawn tells whether that was drawn by the last input.
	drawn bool
}

func newClock(id uint64, t timing) *clock {
	return &clock{timing: t, numbers: mathrand.NewPCG(t.seed, id)}
}

// while does something at the server whose clock it is, and notes what the library drew meanwhile.
func (c *clock) while(do func()) {
	source.numbers, source.below, source.draws = c.numbers, uint64(c.timing.electionTicks), 0
	do()
	c.drawn = source.draws > 0
	if c.drawn {
		c.randomized = uint64(c.timing.electionTicks) + source.last
	}
	source.below = 0
}

// appendTimers writes what is known of the timers.
func (c *clock) appendTimers(line []byte) []byte {
	line = append(line, `{"randomized_ticks":`...)
	line = strconv.AppendUint(line, c.randomized, 10)
	line = append(line, `,"drawn":`...)
	line = strconv.AppendBool(line, c.drawn)
	return append(line, '}')
}
