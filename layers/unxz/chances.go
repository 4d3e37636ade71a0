// SPDX-License-Identifier: Apache-2.0

package unxz

// What the range decoder works with: probabilities have 11 bits, and the more
// one was right the more it is believed.
const (
	top      = 1 << 24
	oneBits  = 11
	one      = 1 << oneBits
	slowness = 5
	// towards0 makes the step of a probability that of a bit that is 0.
	towards0 = 1<<32 - one + 1<<slowness - 1
)

// Sizes of the arrays of probabilities. Some are larger than what is used of
// them, so that indexes can be masked in the place of a check.
const (
	states    = 16 // 12 used
	positions = 16
	coders    = 16
	coderSize = 0x400 // 0x300 used
	notLit    = 7     // the first state after something else than a literal
)

// A lengths decodes the lengths of matches.
type lengths struct {
	choice [2]uint16
	low    [positions][8]uint16
	mid    [positions][8]uint16
	high   [256]uint16
}

// chances are all probabilities: how likely the next bit is 0.
type chances struct {
	match    [states][positions]uint16
	rep      [states]uint16
	rep0     [states]uint16
	rep1     [states]uint16
	rep2     [states]uint16
	repLong  [states][positions]uint16
	slot     [4][64]uint16
	special  [128]uint16
	align    [16]uint16
	matchLen lengths
	repLen   lengths
	literal  [coders][coderSize]uint16
}

// A coder is what LZMA keeps from symbol to symbol.
type coder struct {
	chances
	state              uint32
	rep                [4]uint32 // distances of the last matches, less one
	lc, lpMask, pbMask uint32
	rng, code          uint32 // the range decoder
	ip                 uint   // its place in the chunk
}

// reset forgets what was learned.
func (c *coder) reset() {
	c.even()
	c.state, c.rep = 0, [4]uint32{}
}

// even makes 0 and 1 equally likely everywhere.
func (c *chances) even() {
	fill := func(all ...[]uint16) {
		for _, p := range all {
			for i := range p {
				p[i] = one / 2
			}
		}
	}
	for i := range c.match {
		fill(c.match[i][:], c.repLong[i][:], c.literal[i][:])
	}
	for i := range c.slot {
		fill(c.slot[i][:])
	}
	fill(c.rep[:], c.rep0[:], c.rep1[:], c.rep2[:], c.special[:], c.align[:])
	for _, l := range []*lengths{&c.matchLen, &c.repLen} {
		fill(l.choice[:], l.high[:])
		for i := range l.low {
			fill(l.low[i][:], l.mid[i][:])
		}
	}
}
