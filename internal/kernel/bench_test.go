package kernel

import (
	"fmt"
	"testing"
)

func BenchmarkGemm(b *testing.B) {
	for _, s := range [][3]int{{4096, 312, 312}, {4096, 1200, 312}, {4096, 312, 1200}, {312, 1200, 4096}, {614, 21128, 312}, {128, 768, 768}, {1, 768, 768}} {
		m, n, k := s[0], s[1], s[2]
		for _, mode := range []string{"NN", "NT", "TN"} {
			b.Run(fmt.Sprintf("%dx%dx%d/%s", m, n, k, mode), func(b *testing.B) {
				ta, tb := mode[0] == 'T', mode[1] == 'T'
				lda, ldb := k, n
				if ta {
					lda = m
				}
				if tb {
					ldb = k
				}
				x, y, c := random(1, m*k), random(2, k*n), make([]float32, m*n)
				for b.Loop() {
					Gemm(ta, tb, m, n, k, 1, x, lda, y, ldb, 0, c, n)
				}
				gflops(b, 2*m*n*k)
			})
		}
		b.Run(fmt.Sprintf("%dx%dx%d/packed", m, n, k), func(b *testing.B) {
			x, y, c := random(1, m*k), Pack(false, k, n, random(2, k*n), n), make([]float32, m*n)
			for b.Loop() {
				GemmPacked(m, x, k, y, nil, ActNone, c, n)
			}
			gflops(b, 2*m*n*k)
		})
	}
}

func gflops(b *testing.B, operations int) {
	b.ReportMetric(float64(operations)*float64(b.N)/float64(b.Elapsed().Nanoseconds()), "GFLOP/s")
}

func perElement(b *testing.B, n int) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/element")
}

func BenchmarkActivate(b *testing.B) {
	const n = 1 << 16
	x, dy, y := random(1, n), random(2, n), make([]float32, n)
	for _, act := range acts[1:] {
		b.Run(act.String(), func(b *testing.B) {
			for b.Loop() {
				Activate(act, y, x)
			}
			perElement(b, n)
		})
		b.Run(act.String()+"_grad", func(b *testing.B) {
			for b.Loop() {
				ActivateGrad(act, y, x, dy)
			}
			perElement(b, n)
		})
	}
}

func BenchmarkRows(b *testing.B) {
	const rows, n = 256, 312
	x, y, gamma, mean, rstd := random(1, rows*n), make([]float32, rows*n), random(2, n), make([]float32, rows), make([]float32, rows)
	b.Run("softmax", func(b *testing.B) {
		for b.Loop() {
			SoftmaxRows(y, x, rows, n)
		}
		perElement(b, rows*n)
	})
	b.Run("LayerNorm", func(b *testing.B) {
		for b.Loop() {
			LayerNorm(y, x, nil, gamma, gamma, rows, n, 1e-5, nil, mean, rstd)
		}
		perElement(b, rows*n)
	})
	b.Run("LayerNormGrad", func(b *testing.B) {
		dg, db := make([]float32, n), make([]float32, n)
		for b.Loop() {
			LayerNormGrad(y, dg, db, x, x, gamma, mean, rstd, rows, n)
		}
		perElement(b, rows*n)
	})
	b.Run("ColSum", func(b *testing.B) {
		for b.Loop() {
			ColSum(mean, x, rows, 256, 0)
		}
		perElement(b, rows*256)
	})
}

func BenchmarkLoss(b *testing.B) {
	const rows, n = 8, 30522
	s, u, g := random(1, rows*n), random(2, rows*n), make([]float32, rows*n)
	labels := make([]int32, rows)
	ce, kl := &LogitLoss{Labels: labels, Scale: 0.1}, &LogitLoss{Teacher: u, T: 2, Scale: 0.1}
	mse, js := &LogitLoss{Teacher: u, Form: FormMSE, Scale: 0.1}, &LogitLoss{Teacher: u, Form: FormJS, T: 2, Scale: 0.1}
	dkd := &LogitLoss{Labels: labels, Teacher: u, Form: FormDKD, T: 2, Alpha: 1, Beta: 8, Scale: 0.1}
	near := &LogitLoss{Labels: labels, Table: random(3, n*64), Width: 64, Top: 10, Scale: 0.1}
	w, classes := make([]float32, rows), make([]int32, rows)
	for _, c := range []struct {
		name string
		run  func()
	}{
		{"CrossEntropy", func() { ce.Value(s, rows, n) }},
		{"KL", func() { kl.Value(s, rows, n) }},
		{"CrossEntropyGrad", func() { LossGrad(g, s, rows, n, false, ce) }},
		{"BothGrad", func() { LossGrad(g, s, rows, n, false, ce, kl) }},
		{"MSE", func() { mse.Value(s, rows, n) }},
		{"MSEGrad", func() { LossGrad(g, s, rows, n, false, mse) }},
		{"JS", func() { js.Value(s, rows, n) }},
		{"JSGrad", func() { LossGrad(g, s, rows, n, false, js) }},
		{"DKD", func() { dkd.Value(s, rows, n) }},
		{"DKDGrad", func() { LossGrad(g, s, rows, n, false, dkd) }},
		{"Penalty", func() { near.Value(s, rows, n) }},
		{"PenaltyGrad", func() { LossGrad(g, s, rows, n, false, near) }},
		{"Confidence", func() { Confidence(w, u, rows, n, true) }},
		{"Sample", func() { Sample(classes, s, w, rows, n) }},
	} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				c.run()
			}
			perElement(b, rows*n)
		})
	}
}

func BenchmarkAdamW(b *testing.B) {
	const n = 1 << 16
	w, g, m, v := random(1, n), random(2, n), make([]float32, n), make([]float32, n)
	for b.Loop() {
		AdamW(w, g, m, v, 1e-4, 0.9, 0.999, 1e-8, 0.01, 1, 10)
	}
	perElement(b, n)
}

func BenchmarkAttention(b *testing.B) {
	for _, c := range []struct{ b, a, s, d, keys int }{
		{8, 12, 128, 26, 128}, {8, 12, 128, 26, 64}, {32, 12, 16, 26, 16}, {8, 12, 128, 64, 128}, {1, 12, 512, 64, 512}, {1, 12, 4096, 32, 4096}, {1, 12, 32, 32, 32}, {64, 4, 64, 16, 64},
	} {
		w := c.a * c.d
		sh := AttentionShape{B: c.b, A: c.a, Sq: c.s, Sk: c.s, D: c.d, Scale: 0.2, LDQ: w, LDK: w, LDV: w, LDO: w}
		n := c.b * c.s * w
		q, k, v, out, lse := random(1, n), random(2, n), random(3, n), make([]float32, n), make([]float32, c.b*c.a*c.s)
		bias := Bias{Data: make([]float32, c.s), SK: 1}
		for j := c.keys; j < c.s; j++ {
			bias.Data[j] = -1e4
		}
		name := fmt.Sprintf("%dx%dx%dx%d", c.b, c.a, c.s, c.d)
		if c.keys < c.s {
			name += fmt.Sprintf("/%dkeys", c.keys)
		}
		b.Run(name+"/forward", func(b *testing.B) {
			for b.Loop() {
				Attention(out, q, k, v, bias, sh, lse)
			}
			gflops(b, 4*n*c.s)
		})
		b.Run(name+"/gradient", func(b *testing.B) {
			dq, dk, dv := make([]float32, n), make([]float32, n), make([]float32, n)
			for b.Loop() {
				AttentionGrad(dq, dk, dv, out, out, q, k, v, bias, lse, sh)
			}
			gflops(b, 8*n*c.s) // without computing the probabilities again
		})
	}
}

func BenchmarkInt8(b *testing.B) {
	for _, s := range [][3]int{{128, 768, 768}, {1024, 1200, 312}, {1, 768, 768}} {
		m, n, k := s[0], s[1], s[2]
		b.Run(fmt.Sprintf("%dx%dx%d", m, n, k), func(b *testing.B) {
			a, w, c := make([]uint8, m*k), PackInt8(k, n, make([]int8, k*n)), make([]int32, m*n)
			for b.Loop() {
				GemmInt8(m, a, 128, w, nil, c)
			}
			gflops(b, 2*m*n*k)
		})
	}
	b.Run("QuantizeU8", func(b *testing.B) {
		x, q := random(1, 1<<16), make([]uint8, 1<<16)
		for b.Loop() {
			QuantizeU8(q, x)
		}
		perElement(b, 1<<16)
	})
}

// BenchmarkOverhead is what a call costs apart from its work.
func BenchmarkOverhead(b *testing.B) {
	x := random(1, 4096)
	b.Run("Parallel", func(b *testing.B) {
		for b.Loop() {
			Parallel(2, 1, func(lo, hi int) {})
		}
	})
	b.Run("Add8", func(b *testing.B) {
		for b.Loop() {
			Add(x[:8], x[8:16], x[16:24])
		}
	})
	b.Run("Gemm8", func(b *testing.B) {
		for b.Loop() {
			Gemm(false, false, 8, 8, 8, 1, x, 8, x[64:], 8, 0, x[128:], 8)
		}
	})
	b.Run("LayerNorm312", func(b *testing.B) {
		for b.Loop() {
			LayerNorm(x[:312], x[312:], nil, x[1000:], x[2000:], 1, 312, 1e-5, nil, nil, nil)
		}
	})
}
