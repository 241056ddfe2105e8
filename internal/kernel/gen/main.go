// Command gen writes the AVX2+FMA assembly of package kernel. Run it through
// go generate in the parent folder.
//
// Every function takes plain pointers and counts; the Go side checks sizes.
// Vector loops handle the last, partial vector with masked loads and stores,
// so that an element takes the same arithmetic wherever it lies.
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
	"regexp"
	"strconv"

	. "github.com/mmcloughlin/avo/build"
)

func main() {
	ConstraintExpr("!noasm")
	microKernels()
	packing()
	vecMat()
	plainLoops()
	dropout()
	reductions()
	functions()
	jensenShannon()
	normLoops()
	optimizer()
	attention()
	int8Kernels()
	fourBits()
	Generate()
	if err := rewrite(flag.Lookup("out").Value.String(), spreadConstants, encodeVEX); err != nil {
		log.Fatal(err)
	}
}

// rewrite changes the assembly in a file by what avo has no words for.
func rewrite(file string, steps ...func([]byte) []byte) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	for _, step := range steps {
		text = step(text)
	}
	return os.WriteFile(file, text, 0o644)
}

// Go's linker aligns data to 32 bytes at most, so that a constant read as 64 would
// often lie in two cache lines, and take as long as two: in vectors of 16, one copy
// is read and spread.
var (
	wideLoad     = regexp.MustCompile(`(?m)^\tVMOVUPS(\.Z)?(\s+const_[0-9a-f]{8}<>.*\bZ\d+)$`)
	wideConstant = regexp.MustCompile(`(?m)^\t(V[A-Z0-9]+)(\s.*\bconst_[0-9a-f]{8}<>.*\bZ\d+.*)$`)
)

func spreadConstants(text []byte) []byte {
	text = wideLoad.ReplaceAll(text, []byte("\tVBROADCASTSS$1$2"))
	return wideConstant.ReplaceAllFunc(text, func(line []byte) []byte {
		m := wideConstant.FindSubmatch(line)
		if string(m[1]) == "VBROADCASTSS" {
			return line
		}
		return fmt.Appendf(nil, "\t%s.BCST%s", m[1], m[2])
	})
}

// The short form of VPDPBUSD, of processors with AVX-VNNI but without AVX-512, has
// no name in Go's assembler: in the functions that are made for these, it is
// written as bytes.
var (
	vnniFunction = regexp.MustCompile(`(?ms)^TEXT ·avxvnni.*?^\tRET$`)
	vnniProduct  = regexp.MustCompile(`VPDPBUSD\s+Y(\d+), Y(\d+), Y(\d+)`)
)

func encodeVEX(text []byte) []byte {
	return vnniFunction.ReplaceAllFunc(text, func(f []byte) []byte {
		return vnniProduct.ReplaceAllFunc(f, func(line []byte) []byte {
			var r [3]int // the signed factor, the unsigned one, the sum
			for i, m := range vnniProduct.FindSubmatch(line)[1:] {
				r[i], _ = strconv.Atoi(string(m))
			}
			return fmt.Appendf(nil, "BYTE $0xc4; BYTE $0x%02x; BYTE $0x%02x; BYTE $0x50; BYTE $0x%02x",
				0x42|(^r[2]>>3&1)<<7|(^r[0]>>3&1)<<5, 0x05|(^r[1]&15)<<3, 0xc0|r[2]&7<<3|r[0]&7)
		})
	})
}
