//go:build race

package kernel

// The race detector makes sync.Pool drop items at random.
const raceEnabled = true
