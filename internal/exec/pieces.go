package exec

import "github.com/litekit/lite/internal/kernel"

// A kernel runs to its end once it is called, so what takes longer than a run
// may take to stop is computed in pieces. Where they are cut follows from sizes
// alone, so results do not depend on time.

// pieceWork is how many multiplications are done between two looks at whether
// the run is to end: some 10 to 50 ms on two threads.
var pieceWork = func() int {
	if kernel.Class() == "go" {
		return 1 << 27
	}
	return 1 << (30 + wide)
}()

const (
	// pieceRows is what the rows of a piece are a multiple of; it is more than
	// the kernels' special case for a few rows.
	pieceRows = 24
	// lookAfter is how many elements a loop over single ones reads between two
	// looks: some milliseconds.
	lookAfter = 1 << 20
	// packedPart is how many elements of a matrix that is not packed yet the
	// product packs at a time: its columns are cut there, which costs nothing.
	packedPart = 1 << 20
)

// parts calls f for consecutive ranges of step elements that cover n, until
// done is closed. What is left over is part of the last one, which is up to
// twice as long.
func parts(done <-chan struct{}, n, step int, f func(lo, hi int)) {
	for lo := 0; lo < n && !closed(done); {
		hi := partEnd(lo, n, step)
		f(lo, hi)
		lo = hi
	}
}

// partEnd is where the range of parts that begins at lo ends.
func partEnd(lo, n, step int) int {
	if hi := lo + step; n-hi >= step {
		return hi
	}
	return n
}

// rowsAt is how many rows are a piece where one takes so much work.
func rowsAt(work int) int { return max(1, pieceWork/max(work, 1)/pieceRows) * pieceRows }

// gemmFloats is [kernel.Gemm] in pieces.
func gemmFloats(done <-chan struct{}, transA, transB bool, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int) {
	if m*n*k <= pieceWork {
		kernel.Gemm(transA, transB, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
		return
	}
	parts(done, n, max(64, packedPart/k/64*64), func(j, end int) {
		from := j
		if transB {
			from = j * ldb
		}
		parts(done, m, rowsAt((end-j)*k), func(lo, hi int) {
			first := lo * lda
			if transA {
				first = lo
			}
			kernel.Gemm(transA, transB, hi-lo, end-j, k, alpha, a[first:], lda, b[from:], ldb, beta, c[lo*ldc+j:], ldc)
		})
	})
}

// gemmPacked is [kernel.GemmPacked] in pieces.
func gemmPacked(done <-chan struct{}, m int, a []float32, lda int, b *kernel.Packed, bias []float32, act kernel.Act, c []float32, ldc int) {
	parts(done, m, rowsAt(b.N()*b.K()), func(lo, hi int) {
		kernel.GemmPacked(hi-lo, a[lo*lda:], lda, b, bias, act, c[lo*ldc:], ldc)
	})
}

// gemmInt8 is [kernel.GemmInt8] in pieces.
func gemmInt8(done <-chan struct{}, m int, a []uint8, azero uint8, b *kernel.PackedInt8, wzero []int8, c []int32) {
	k, n := b.K(), b.N()
	parts(done, m, rowsAt(n*k), func(lo, hi int) {
		kernel.GemmInt8(hi-lo, a[lo*k:hi*k], azero, b, wzero, c[lo*n:hi*n])
	})
}

// attendFloats is [kernel.Attention] in pieces: batch row by batch row, and of a
// row with many positions some queries at a time.
func attendFloats(done <-chan struct{}, out, q, k, v []float32, bias kernel.Bias, sh kernel.AttentionShape) {
	work := sh.A * sh.Sk * (2*sh.D + 16) // of one query
	if sh.B*sh.Sq*work <= pieceWork {
		kernel.Attention(out, q, k, v, bias, sh, nil)
		return
	}
	if sh.Sq*work <= pieceWork {
		parts(done, sh.B, max(1, pieceWork/(sh.Sq*work)), func(lo, hi int) {
			attendPart(out, q, k, v, bias, sh, lo, hi, 0, sh.Sq)
		})
		return
	}
	for b := 0; b < sh.B; b++ {
		parts(done, sh.Sq, max(16, pieceWork/work/16*16), func(lo, hi int) {
			attendPart(out, q, k, v, bias, sh, b, b+1, lo, hi)
		})
	}
}

// attendPart is the attention of queries lo to hi of batch rows first to last;
// several rows only with all their queries.
func attendPart(out, q, k, v []float32, bias kernel.Bias, sh kernel.AttentionShape, first, last, lo, hi int) {
	if bias.Data != nil {
		bias.Data = bias.Data[first*bias.SB+lo*bias.SQ:]
	}
	at := first*sh.Sq + lo
	out, q = out[at*sh.LDO:], q[at*sh.LDQ:]
	k, v = k[first*sh.Sk*sh.LDK:], v[first*sh.Sk*sh.LDV:]
	sh.B, sh.Sq = last-first, hi-lo
	kernel.Attention(out, q, k, v, bias, sh, nil)
}

// attendPacked is attention of packed sequences, some of them at a time.
func (c *call) attendPacked(out, q, k, v []float32, sh kernel.AttentionShape) {
	all := sh.Offsets
	work := sh.A * sh.Sq * sh.Sk * (2*sh.D + 16) // of the longest sequence
	parts(c.mem.done, sh.B, max(1, pieceWork/max(1, work)), func(lo, hi int) {
		own := c.newShape(hi - lo + 1)
		for i := range own {
			own[i] = all[lo+i] - all[lo]
		}
		sh.B, sh.Offsets = hi-lo, own
		at := all[lo]
		kernel.Attention(out[at*sh.LDO:], q[at*sh.LDQ:], k[at*sh.LDK:], v[at*sh.LDV:], kernel.Bias{}, sh, nil)
	})
}
