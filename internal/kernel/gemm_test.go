package kernel

import (
	"fmt"
	"math"
	"testing"
)

func gemm64(ta, tb bool, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int) []float64 {
	out := wide(c)
	for i := range m {
		for j := range n {
			var s float64
			for p := range k {
				ai, bi := i*lda+p, p*ldb+j
				if ta {
					ai = p*lda + i
				}
				if tb {
					bi = j*ldb + p
				}
				s += float64(a[ai]) * float64(b[bi])
			}
			s *= float64(alpha)
			if beta != 0 {
				s += float64(beta) * out[i*ldc+j]
			}
			out[i*ldc+j] = s
		}
	}
	return out
}

var gemmSizes = [][3]int{
	{0, 3, 2}, {3, 0, 2}, {3, 2, 0}, {1, 1, 1}, {1, 17, 5}, {1, 130, 67}, {2, 64, 33}, {3, 65, 9}, {3, 31, 100},
	{4, 1, 3}, {5, 16, 8}, {6, 15, 31}, {7, 17, 1}, {11, 33, 13}, {13, 48, 64}, {12, 16, 320}, {8, 19, 321},
	{12, 64, 11}, {13, 47, 340}, {23, 80, 33}, {25, 96, 70}, {5, 70, 650}, {97, 37, 41}, {100, 530, 19}, {31, 29, 997}, {128, 128, 26}, {60, 40, 700},
}

func TestGemm(t *testing.T) {
	eachPath(t, testGemms)
}

func testGemms(t *testing.T) {
	for _, s := range gemmSizes {
		for mode := range 4 {
			ta, tb := mode&1 != 0, mode&2 != 0
			for _, extra := range []int{0, 3} {
				for _, ab := range [][2]float32{{1, 0}, {-0.5, 1}, {2, 0.25}, {0, 0.5}} {
					testGemm(t, ta, tb, s[0], s[1], s[2], extra, ab[0], ab[1])
				}
			}
		}
	}
}

func testGemm(t *testing.T, ta, tb bool, m, n, k, extra int, alpha, beta float32) {
	t.Helper()
	what := fmt.Sprintf("m %d n %d k %d ta %v tb %v extra %d alpha %v beta %v", m, n, k, ta, tb, extra, alpha, beta)
	lda, rowsA := k+extra, m
	if ta {
		lda, rowsA = m+extra, k
	}
	ldb, rowsB := n+extra, k
	if tb {
		ldb, rowsB = k+extra, n
	}
	ldc := n + extra
	a, b := random(1, rowsA*lda), random(2, rowsB*ldb)
	c := random(3, m*ldc)
	if beta == 0 {
		for i := range m {
			for j := range n {
				c[i*ldc+j] = nan32 // must not be read
			}
		}
	}
	want := gemm64(ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
	Gemm(ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
	compare(t, what, c, want, 5e-6*math.Sqrt(float64(k+1)), 3e-6)
}

func TestGemmPacked(t *testing.T) {
	eachPath(t, testGemmPacked)
}

func testGemmPacked(t *testing.T) {
	for _, s := range gemmSizes {
		m, n, k := s[0], s[1], s[2]
		for _, tb := range []bool{false, true} {
			for act := ActNone; act <= ActTanh; act++ {
				lda, ldb, ldc := k+2, n+1, n+3
				rowsB := k
				if tb {
					ldb, rowsB = k+1, n
				}
				a, b, bias := random(1, m*lda), random(2, rowsB*ldb), random(4, n)
				if act == ActRelu {
					bias = nil
				}
				c := filled(m*ldc, nan32)
				want := gemm64(false, tb, m, n, k, 1, a, lda, b, ldb, 0, c, ldc)
				for i := range m {
					for j := range n {
						v := want[i*ldc+j]
						if bias != nil {
							v += float64(bias[j])
						}
						want[i*ldc+j] = act64(act, v)
					}
				}
				GemmPacked(m, a, lda, Pack(tb, k, n, b, ldb), bias, act, c, ldc)
				compare(t, fmt.Sprint(s, tb, act), c, want, 3e-6*math.Sqrt(float64(k+1)), 3e-6)
			}
		}
	}
}

// A row's result must not depend on the rows beside it.
func TestGemmPackedRows(t *testing.T) {
	eachPath(t, testGemmPackedRows)
}

func testGemmPackedRows(t *testing.T) {
	const m, n, k = 23, 45, 401
	a, b := random(1, m*k), Pack(true, k, n, random(2, n*k), k)
	all := make([]float32, m*n)
	GemmPacked(m, a, k, b, nil, ActGelu, all, n)
	for i := range m {
		row := make([]float32, n)
		GemmPacked(1, a[i*k:], k, b, nil, ActGelu, row, n)
		sameBits(t, fmt.Sprint("row ", i), row, all[i*n:(i+1)*n])
	}
}

func TestGemmThreads(t *testing.T) {
	for mode := range 4 {
		ta, tb := mode&1 != 0, mode&2 != 0
		for _, s := range [][3]int{{151, 163, 402}, {90, 700, 130}, {200, 1300, 90}, {20, 600, 333}, {1, 700, 300}, {3, 200, 999}} {
			m, n, k := s[0], s[1], s[2]
			a, b := random(1, m*k), random(2, n*k)
			lda, ldb := k, n
			if ta {
				lda = m
			}
			if tb {
				ldb = k
			}
			offset := 0
			eachThreads(t, fmt.Sprint(s, ta, tb), func() []float32 {
				offset++ // another alignment each time
				c := make([]float32, m*n+offset)[offset:]
				a2 := append(make([]float32, offset), a...)[offset:]
				Gemm(ta, tb, m, n, k, 1, a2, lda, b, ldb, 0, c, n)
				return c
			})
		}
	}
}

func TestMicroKernelTwin(t *testing.T) {
	for h := 1; h <= mr; h++ {
		for _, k := range []int{1, 2, 3, 8, 319} {
			for _, strides := range [][2]int{{k + 1, 1}, {1, mr}} {
				for _, beta := range []float32{0, 1, 0.5} {
					a, b := random(1, mr*(k+1)), random(2, k*nr)
					c := random(3, mr*20)
					if beta == 0 {
						c = filled(mr*20, nan32)
					}
					want := append([]float32(nil), c...)
					microKernelGo(h, k, a, strides[0], strides[1], b, nr, want, 20, 1.5, beta)
					microKernel(h, k, a, strides[0], strides[1], b, nr, c, 20, 1.5, beta, nil)
					compare(t, fmt.Sprint(h, k, strides, beta), c, wide(want), 1e-4, 1e-5)
				}
			}
		}
	}
}

func TestPackTwin(t *testing.T) {
	for _, k := range []int{1, 2, 7, 8, 9, 16, 31} {
		for w := 1; w <= nr; w++ {
			b := random(1, 40*40)
			got, want := filled(k*nr, nan32), filled(k*nr, nan32)
			packColumnsT(got, b, 37, k, w)
			packColumnsTGo(want, b, 37, k, w)
			sameBits(t, "columns of the transpose", got, want)
		}
		for panels := 1; panels <= 3; panels++ {
			b := random(1, 60*60)
			ps := k*nr + 5
			got, want := make([]float32, panels*ps), make([]float32, panels*ps)
			packWhole(got, b, 51, k, panels, ps)
			packWholeGo(want, b, 51, k, panels, ps)
			sameBits(t, "panels", got, want)
		}
		rows := tileRows()
		for w := 1; w <= 3*rows; w++ {
			a := random(1, 40*40)
			got := make([]float32, k*roundUp(w, rows))
			packA(got, a, 37, w, k)
			for i := range w {
				for p := range k {
					if v := got[i/rows*rows*k+p*rows+i%rows]; v != a[p*37+i] {
						t.Fatalf("row %d term %d of %d rows is %v, want %v", i, p, w, v, a[p*37+i])
					}
				}
			}
		}
	}
}

// TestGemmBlocks is large enough for both operands to be packed in several
// pieces; a sample of the elements is checked.
func TestGemmBlocks(t *testing.T) {
	const m, n, k = 270, 150, 8000
	if packLimit/k >= n || stripLimit/k >= n {
		t.Fatal("the sizes no longer exceed the limits")
	}
	defer SetThreads(0)
	for _, threads := range []int{1, 16} { // strips and shared
		SetThreads(threads)
		testGemmBlocks(t, m, n, k)
	}
}

func testGemmBlocks(t *testing.T, m, n, k int) {
	a, b, c := random(1, m*k), random(2, n*k), filled(m*n, 0.5)
	Gemm(true, true, m, n, k, 2, a, m, b, k, 3, c, n)
	for e := 0; e < m*n; e += 61 {
		i, j := e/n, e%n
		want := 1.5
		for p := range k {
			want += 2 * float64(a[p*m+i]) * float64(b[j*k+p])
		}
		if !close32(c[e], want, 2e-3, 1e-5) {
			t.Fatalf("C[%d,%d] = %v, want %v", i, j, c[e], want)
		}
	}
}
