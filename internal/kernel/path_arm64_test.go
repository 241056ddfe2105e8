//go:build !noasm

package kernel

import "testing"

// eachPath runs f with every set of matrix kernels that this machine has.
func eachPath(t *testing.T, f func(t *testing.T)) {
	neon, dot := useNEON, useDot
	defer func() { useNEON, useDot = neon, dot }()
	t.Run(Path(), f)
	useDot = false
	t.Run(Path(), f)
	useNEON = false
	t.Run(Path(), f)
}
