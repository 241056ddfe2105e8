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
	if err := encodeVEX(flag.Lookup("out").Value.String()); err != nil {
		log.Fatal(err)
	}
}

// The short form of VPDPBUSD, of processors with AVX-VNNI but without AVX-512, has
// no name in Go's assembler: in the functions that are made for these, it is
// written as bytes.
var (
	vnniFunction = regexp.MustCompile(`(?ms)^TEXT ·avxvnni.*?^\tRET$`)
	vnniProduct  = regexp.MustCompile(`VPDPBUSD\s+Y(\d+), Y(\d+), Y(\d+)`)
)

func encodeVEX(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	text = vnniFunction.ReplaceAllFunc(text, func(f []byte) []byte {
		return vnniProduct.ReplaceAllFunc(f, func(line []byte) []byte {
			var r [3]int // the signed factor, the unsigned one, the sum
			for i, m := range vnniProduct.FindSubmatch(line)[1:] {
				r[i], _ = strconv.Atoi(string(m))
			}
			return fmt.Appendf(nil, "BYTE $0xc4; BYTE $0x%02x; BYTE $0x%02x; BYTE $0x50; BYTE $0x%02x",
				0x42|(^r[2]>>3&1)<<7|(^r[0]>>3&1)<<5, 0x05|(^r[1]&15)<<3, 0xc0|r[2]&7<<3|r[0]&7)
		})
	})
	return os.WriteFile(file, text, 0o644)
}
