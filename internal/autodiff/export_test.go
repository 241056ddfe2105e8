package autodiff

// Need is the number of floats that a pass needs of the arena.
func Need(q *Pass) int { return q.need }
