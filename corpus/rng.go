package corpus

import "math/rand/v2"

// Purposes keep the random streams of one seed apart.
const (
	purposeOrder = iota + 1
	purposeBatches
	purposeMask
	purposeSplit
	purposeShuffle
	purposeHash
	purposeNext
)

// mix is the finalizer of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// stream returns the generator of (seed, purpose, epoch, index).
func stream(seed uint64, purpose int, epoch, index int) *rand.Rand {
	a := mix(seed ^ mix(uint64(purpose)))
	b := mix(uint64(epoch)<<32 ^ uint64(index) ^ a)
	return rand.New(rand.NewPCG(a, b))
}
