package kernel

import "strconv"

// panicShort is kept apart so that the checks stay small enough to inline.
func panicShort(what string, have, want int) {
	panic("kernel: " + what + " has " + strconv.Itoa(have) + " elements, needs " + strconv.Itoa(want))
}
