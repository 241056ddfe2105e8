// Command gemm times products of package kernel on request, for bench/gemm.py,
// which times OpenBLAS on the same products in turns with it.
//
// Each line of its input names one product, "OP M N K THREADS SECONDS", with OP
// one of NN, NT, TN (float32, which operand is transposed), PACKED (float32 and
// a weight packed beforehand), INT8 (normally distributed values quantized to uint8,
// by packed int8, dequantized), INT8U (the same with evenly distributed bytes, the
// worst for kernels without VNNI) and INT4 (float32 by packed 4-bit blocks); it answers with the seconds that one call
// took in the mean of SECONDS of calls, after half as long to warm up.
package main

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"time"

	"github.com/litekit/lite/internal/kernel"
)

func main() {
	fmt.Println(kernel.Class(), kernel.Path())
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		var op string
		var m, n, k, threads int
		var seconds float64
		if _, err := fmt.Sscan(in.Text(), &op, &m, &n, &k, &threads, &seconds); err != nil {
			fmt.Fprintf(os.Stderr, "%q: %v\n", in.Text(), err)
			os.Exit(1)
		}
		kernel.SetThreads(threads)
		call := product(op, m, n, k)
		if call == nil {
			fmt.Fprintf(os.Stderr, "operation %q is unknown\n", op)
			os.Exit(1)
		}
		for start := time.Now(); ; {
			if call(); time.Since(start).Seconds() > seconds/2 {
				break
			}
		}
		start, calls := time.Now(), 0
		for time.Since(start).Seconds() < seconds {
			call()
			calls++
		}
		fmt.Println(time.Since(start).Seconds() / float64(calls))
	}
}

// product prepares one product and returns what computes it.
func product(op string, m, n, k int) func() {
	r := rand.New(rand.NewPCG(1, 2))
	c := make([]float32, m*n)
	switch op {
	case "NN", "NT", "TN":
		a, b, lda, ldb := floats(r, m*k), floats(r, k*n), k, n
		if op[0] == 'T' {
			lda = m
		}
		if op[1] == 'T' {
			ldb = k
		}
		return func() { kernel.Gemm(op[0] == 'T', op[1] == 'T', m, n, k, 1, a, lda, b, ldb, 0, c, n) }
	case "PACKED":
		a, b := floats(r, m*k), kernel.Pack(false, k, n, floats(r, k*n), n)
		return func() { kernel.GemmPacked(m, a, k, b, nil, kernel.ActNone, c, n) }
	case "INT4":
		const block = 32
		a, b := floats(r, m*k), make([]uint8, n*((k+block-1)/block)*block/2)
		for i := range b {
			b[i] = uint8(r.Uint32())
		}
		w := kernel.Pack4(k, n, block, b, floats(r, len(b)/(block/2)), nil)
		return func() { kernel.GemmPacked4(m, a, k, w, nil, kernel.ActNone, c, n) }
	case "INT8", "INT8U":
		a, b, scale := make([]uint8, m*k), make([]int8, k*n), floats(r, n)
		if op == "INT8" {
			kernel.QuantizeU8(a, floats(r, m*k))
		} else {
			for i := range a {
				a[i] = uint8(r.Uint32())
			}
		}
		for i := range b {
			b[i] = int8(r.Uint32())
		}
		w := kernel.PackInt8(k, n, b)
		return func() { kernel.GemmInt8Float(m, a, 128, w, nil, scale, nil, kernel.ActNone, c) }
	}
	return nil
}

func floats(r *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	return x
}
