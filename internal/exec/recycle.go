package exec

// A run makes many small things: headers, shapes, arguments of calls. They are
// taken from chunks one after the other and all given back at once.

const (
	poolChunk   = 128
	vectorChunk = 1024
	// maxChunks is how many chunks are kept for the next run.
	maxChunks = 64
)

// pool hands out zeroed structs.
type pool[T any] struct {
	chunks [][]T
	used   int // in all
}

func (p *pool[T]) next() *T {
	i := p.used / poolChunk
	if i == len(p.chunks) {
		p.chunks = append(p.chunks, make([]T, poolChunk))
	}
	t := &p.chunks[i][p.used%poolChunk]
	p.used++
	return t
}

// reset takes all back; nothing that they refer to is kept alive.
func (p *pool[T]) reset() {
	for i := 0; i*poolChunk < p.used; i++ {
		clear(p.chunks[i][:min(poolChunk, p.used-i*poolChunk)])
	}
	p.used = 0
	if len(p.chunks) > maxChunks {
		clear(p.chunks[maxChunks:])
		p.chunks = p.chunks[:maxChunks]
	}
}

// vectors hands out zeroed slices.
type vectors[T any] struct {
	chunks  [][]T
	at, use int // chunk, and elements of it that are taken
}

func (v *vectors[T]) next(n int) []T {
	if n > vectorChunk {
		return make([]T, n)
	}
	if v.use+n > vectorChunk {
		v.at, v.use = v.at+1, 0
	}
	if v.at == len(v.chunks) {
		v.chunks = append(v.chunks, make([]T, vectorChunk))
	}
	s := v.chunks[v.at][v.use : v.use+n : v.use+n]
	v.use += n
	return s
}

func (v *vectors[T]) reset() {
	for i := range v.chunks[:min(v.at, len(v.chunks))] {
		clear(v.chunks[i])
	}
	if v.at < len(v.chunks) {
		clear(v.chunks[v.at][:v.use])
	}
	v.at, v.use = 0, 0
	if len(v.chunks) > maxChunks {
		clear(v.chunks[maxChunks:])
		v.chunks = v.chunks[:maxChunks]
	}
}
