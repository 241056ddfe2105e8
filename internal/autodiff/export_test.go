package autodiff

// Need is the memory of a compiled pass, in floats of the arena.
func Need(q *Pass) int { return q.need }

// Arena is the size of a program's arena in bytes.
func Arena(p *Program) int64 { return 4 * int64(len(p.arena.slab)) }

// Touched tells the rows of a sparse gradient that may not be 0; nil where it is dense.
func Touched(x *Param) []bool { return x.touched }
