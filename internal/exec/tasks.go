package exec

import (
	"sync"
)

// A loop that is spread over threads is a struct with a method Run, not a
// closure: structs are used again, closures are made anew each time.
var spare struct {
	mu   sync.Mutex
	list []any // of pointers to tasks of any type
}

// maxSpare bounds how many idle tasks are kept.
const maxSpare = 256

// borrow returns an idle task of the type, or a new one; fields hold anything.
func borrow[T any]() *T {
	spare.mu.Lock()
	for i := len(spare.list) - 1; i >= 0; i-- {
		if t, ok := spare.list[i].(*T); ok {
			last := len(spare.list) - 1
			spare.list[i], spare.list[last] = spare.list[last], nil
			spare.list = spare.list[:last]
			spare.mu.Unlock()
			return t
		}
	}
	spare.mu.Unlock()
	return new(T)
}

// giveBack makes a task idle; what it refers to is not kept alive.
func giveBack[T any](t *T) {
	var zero T
	*t = zero
	spare.mu.Lock()
	if len(spare.list) < maxSpare {
		spare.list = append(spare.list, t)
	}
	spare.mu.Unlock()
}
