package kernel

import "math/bits"

// Without an instruction that multiplies bytes and adds 32-bit sums, the fastest
// exact product of bytes on AVX2 is VPMADDUBSW: unsigned by signed bytes, added in
// pairs to signed words, which saturate. Two such words are added before they are
// widened, so four products share one. They fit if the weights are raised to
// unsigned bytes, A is centred about the mean of its row and no four of its bytes
// that share a word sum up to more than quadRoom on one side of zero. Most do: a
// few per cent of a row of activations, up to a fifth where they are normally
// distributed over the whole range, have more, and what is more is multiplied
// apart (excess). Where there is too much of it, A is widened to words instead.

// quadRoom is the most that positive or negative bytes of a word may sum up to:
// 255·quadRoom fits 16 bits. vCentre reports sums from quadRoom on already, since a
// byte of 127 may be one that saturated.
const quadRoom = 127

// excess is what four bytes of a row of A, a group of the kernel, are more than the
// kernel was given: the distance of the group in a panel, in bytes, and signed
// bytes.
type excess struct {
	at int32
	a  [int8Rank]uint8
}

// centredRows is how many rows of A are centred together, and then multiplied:
// whole steps of every kernel.
const centredRows = int8Align

// centreBlock is how many bytes of a row vCentre reports on at a time.
const centreBlock = 32

// centredA is A[m,k] less the mean of each row, as signed bytes, in which the kernel
// has room. It is made once for all products that A takes part in.
type centredA struct {
	a       []uint8
	k       int
	bytes   []uint8 // rows of whole blocks
	ld      int
	sums    []int32 // of each row of a
	centres []int32
	counts  []int32 // of excess of each row
	blocks  []centredBlock
}

// centredBlock is what centredRows rows have beside: excess, or all of them as words.
type centredBlock struct {
	over   []uint64
	excess []excess
	dense  bool
	words  []int16 // rows of k padded to whole groups
}

// denseExcess is the share of groups with excess from which on the product of words
// is the faster one.
const denseExcess = 0.35

var centredFree freeList[centredA]

// centre prepares A[m,k] for weights that are raised; nil for others.
func centre(m int, a []uint8, b *PackedInt8, threads int) *centredA {
	if !b.raised || m <= 0 {
		return nil
	}
	need("A", len(a), m*b.k)
	t := centredFree.get()
	t.a, t.k, t.ld = a, b.k, roundUp(b.k, centreBlock)
	t.bytes, t.blocks = sized(t.bytes, m*t.ld), grown(t.blocks, tiles(m, centredRows))
	t.sums, t.centres, t.counts = sized(t.sums, m), sized(t.centres, m), sized(t.counts, m)
	if threads == 1 {
		t.run(0, m)
	} else {
		parallel(m, centredRows, t)
	}
	return t
}

// grown returns n elements of x, which keeps those it has.
func grown[T any](x []T, n int) []T {
	if n > cap(x) {
		x = append(x[:cap(x)], make([]T, n-cap(x))...)
	}
	return x[:n]
}

func (t *centredA) release() {
	if t != nil {
		t.a = nil
		centredFree.put(t)
	}
}

func (t *centredA) run(lo, hi int) {
	for ; lo < hi; lo += centredRows {
		t.block(lo, min(lo+centredRows, hi), &t.blocks[lo/centredRows])
	}
}

func (t *centredA) block(lo, hi int, b *centredBlock) {
	b.excess, b.dense = b.excess[:0], false
	room := int(denseExcess * float32((hi-lo)*t.k/int8Rank))
	for i := lo; i < hi; i++ {
		a, before := t.a[i*t.k:(i+1)*t.k], len(b.excess)
		t.sums[i] = vSumBytes(a)
		t.centres[i] = (t.sums[i] + int32(t.k)/2) / int32(max(t.k, 1))
		if !b.dense {
			b.row(t.bytes[i*t.ld:(i+1)*t.ld], a, t.centres[i])
			t.counts[i] = int32(len(b.excess) - before)
			b.dense = len(b.excess) > room
		}
	}
	if !b.dense {
		return
	}
	kp := roundUp(t.k, int8Rank)
	b.words = sized(b.words, (hi-lo)*kp)
	for i := lo; i < hi; i++ {
		row, c := b.words[(i-lo)*kp:(i-lo+1)*kp], int16(t.centres[i])
		for x, v := range t.a[i*t.k : (i+1)*t.k] {
			row[x] = int16(v) - c
		}
		clear(row[t.k:])
	}
}

// row centres a row of A and splits what has no room. The low half of a word of over
// tells of which eight bytes, a byte of it each, the high half whether two of them by
// themselves have none.
func (b *centredBlock) row(dst, a []uint8, c int32) {
	b.over = sized(b.over, len(dst)/centreBlock)
	vCentre(dst, a, uint8(c), b.over)
	for x, over := range b.over {
		for quads := uint32(over); quads != 0; {
			eight := bits.TrailingZeros32(quads) / 8 * 8
			quads &^= 0xff << eight
			at := x*centreBlock + eight
			if over>>32>>eight&0xff != 0 {
				b.split(dst, a, c, at)
				continue
			}
			four := (*[int8Rank]uint8)(dst[at+int8Rank:])
			b.excess = append(b.excess, excess{at: int32((at + int8Rank) * int8Cols), a: *four})
			*four = [int8Rank]uint8{}
		}
	}
}

// split gives the kernel as much of the eight bytes from at on as has room, and
// adds the rest to the excess. It serves where two bytes have no room.
func (b *centredBlock) split(dst, a []uint8, c int32, at int) {
	var up, down [2]int32 // taken of each quad
	var rest [2 * int8Rank]int32
	for x := range min(len(rest), len(a)-at) {
		quad := x % int8Rank / 2
		rest[x] = int32(a[at+x]) - c
		part := within(rest[x], &up[quad], &down[quad])
		dst[at+x] = uint8(part)
		rest[x] -= part
	}
	for g := range 2 {
		four := rest[g*int8Rank : (g+1)*int8Rank]
		for four[0] != 0 || four[1] != 0 || four[2] != 0 || four[3] != 0 {
			e := excess{at: int32((at + g*int8Rank) * int8Cols)}
			up, down = [2]int32{}, [2]int32{}
			for x := range four {
				part := within(four[x], &up[x/2], &down[x/2])
				e.a[x] = uint8(part)
				four[x] -= part
			}
			b.excess = append(b.excess, e)
		}
	}
}

// within returns as much of v as has room beside what is taken.
func within(v int32, up, down *int32) int32 {
	if v >= 0 {
		v = min(v, quadRoom-*up)
		*up += v
	} else {
		v = max(v, *down-quadRoom)
		*down -= v
	}
	return v
}
