package tokenizer

import (
	"cmp"
	"math"
	"runtime"
	"slices"
	"sync"
	"unicode/utf8"
)

// trainShards is into how many parts the words are cut, whatever the number of
// threads: sums of floats then have one order.
const trainShards = 16

// sharded runs f on parts of the words and gives each part's index.
func (u *unigramTrainer) sharded(f func(part, lo, hi int)) {
	gate := make(chan struct{}, runtime.GOMAXPROCS(0))
	var wg sync.WaitGroup
	for part := range trainShards {
		lo, hi := len(u.words)*part/trainShards, len(u.words)*(part+1)/trainShards
		gate <- struct{}{}
		wg.Go(func() {
			f(part, lo, hi)
			<-gate
		})
	}
	wg.Wait()
}

// estimate is one step of expectation maximization.
func (u *unigramTrainer) estimate() {
	m := u.model()
	parts := make([][]float64, trainShards)
	u.sharded(func(part, lo, hi int) {
		l := &lattice{m: m}
		expected := make([]float64, len(u.pieces)+1)
		for i := lo; i < hi; i++ {
			l.expect([]byte(u.words[i]), float64(u.counts[i]), expected)
		}
		parts[part] = expected
	})
	sum := 0.0
	kept := u.pieces[:0]
	for i, p := range u.pieces {
		n := 0.0
		for _, part := range parts {
			n += part[i]
		}
		if n < leastExpected && !p.keep {
			continue
		}
		p.score = max(n, leastExpected)
		sum += p.score
		kept = append(kept, p)
	}
	u.pieces = kept
	log := digamma(sum)
	for i := range u.pieces {
		u.pieces[i].score = digamma(u.pieces[i].score) - log
	}
}

// edge is a piece of a lattice.
type edge struct {
	from, to, id int32
	score        float64
}

// lattice holds all ways to cut one word.
type lattice struct {
	m           *unigram
	edges       []edge
	alpha, beta []float64
}

// logAdd is log(eᵃ + eᵇ).
func logAdd(a, b float64) float64 {
	if a < b {
		a, b = b, a
	}
	if math.IsInf(b, -1) {
		return a
	}
	return a + math.Log1p(math.Exp(b-a))
}

// expect adds to expected how often each piece occurs in w, over all ways to cut
// it, times count.
func (l *lattice) expect(w []byte, count float64, expected []float64) {
	l.edges, l.alpha, l.beta = l.edges[:0], l.alpha[:0], l.beta[:0]
	for range len(w) + 1 {
		l.alpha, l.beta = append(l.alpha, math.Inf(-1)), append(l.beta, math.Inf(-1))
	}
	l.alpha[0], l.beta[len(w)] = 0, 0
	for at := 0; at < len(w); {
		_, width := utf8.DecodeRune(w[at:])
		single := false
		for node, i := int32(0), at; i < len(w); i++ {
			if node = l.m.trie.step(node, w[i]); node < 0 {
				break
			}
			if id := l.m.trie.id[node]; id >= 0 {
				l.edges = append(l.edges, edge{int32(at), int32(i + 1), id, l.m.scores[id]})
				single = single || i+1 == at+width
			}
		}
		if !single {
			l.edges = append(l.edges, edge{int32(at), int32(at + width), l.m.unk, l.m.unkScore})
		}
		at += width
	}
	for _, e := range l.edges { // in the order of their starts
		l.alpha[e.to] = logAdd(l.alpha[e.to], l.alpha[e.from]+e.score)
	}
	for i := len(l.edges) - 1; i >= 0; i-- {
		e := l.edges[i]
		l.beta[e.from] = logAdd(l.beta[e.from], l.beta[e.to]+e.score)
	}
	whole := l.alpha[len(w)]
	for _, e := range l.edges {
		expected[e.id] += count * math.Exp(l.alpha[e.from]+e.score+l.beta[e.to]-whole)
	}
}

// usage counts, by piece, how often the best cuts of the words use it, and how
// often the words occur that it is used in.
func (u *unigramTrainer) usage(m *unigram) (freq, inside []float64) {
	n := len(u.pieces)
	used, within := make([][]float64, trainShards), make([][]float64, trainShards)
	u.sharded(func(part, lo, hi int) {
		use, in := make([]float64, n+1), make([]float64, n+1)
		var mem memo
		var toks []token
		for i := lo; i < hi; i++ {
			toks = m.tokenize([]byte(u.words[i]), toks[:0], &mem)
			for k, t := range toks {
				use[t.id] += float64(u.counts[i])
				if !slices.ContainsFunc(toks[:k], func(o token) bool { return o.id == t.id }) {
					in[t.id] += float64(u.counts[i])
				}
			}
		}
		used[part], within[part] = use, in
	})
	freq, inside = make([]float64, n), make([]float64, n)
	for part := range trainShards {
		for i := range n {
			freq[i] += used[part][i]
			inside[i] += within[part][i]
		}
	}
	return freq, inside
}

// prune takes away the pieces whose loss lowers the likelihood least.
func (u *unigramTrainer) prune(target int) {
	m, n := u.model(), len(u.pieces)
	freq, inside := u.usage(m)
	total, words := 0.0, 0.0
	for _, f := range freq {
		total += f
	}
	for _, c := range u.counts {
		words += float64(c)
	}
	type candidate struct {
		piece int
		loss  float64
	}
	var stay, maybe []candidate
	var mem memo
	for i, p := range u.pieces {
		if p.keep {
			stay = append(stay, candidate{i, 0})
			continue
		}
		if freq[i] == 0 {
			continue
		}
		alt, whole := m.without([]byte(p.s), int32(i), &mem)
		if !whole { // the best cut of the piece is not the piece itself
			continue
		}
		own := math.Log(freq[i]) - math.Log(total)
		sum := math.Log(total + freq[i]*float64(len(alt)-1))
		other := 0.0
		for _, t := range alt {
			if int(t.id) < n {
				other += math.Log(freq[t.id]+freq[i]) - sum
			} else {
				other += m.unkScore
			}
		}
		maybe = append(maybe, candidate{i, inside[i] / words * (own - other)})
	}
	slices.SortStableFunc(maybe, func(a, b candidate) int { return cmp.Compare(b.loss, a.loss) })
	want := max(target, int(float64(n)*shrink)) - len(stay)
	stay = append(stay, maybe[:min(max(want, 0), len(maybe))]...)
	slices.SortFunc(stay, func(a, b candidate) int { return cmp.Compare(a.piece, b.piece) })
	out := make([]scoredPiece, len(stay))
	for k, c := range stay {
		out[k] = u.pieces[c.piece]
	}
	u.pieces = out
}

// without is the best cut of a piece into others; whole reports that the piece
// itself is better.
func (m *unigram) without(s []byte, id int32, mem *memo) (cut []token, whole bool) {
	best := m.lattice(s, mem.best, id)
	mem.best = best
	for end := int32(len(s)); end > 0; end = best[end].from {
		cut = append(cut, token{best[end].id, best[end].from, end})
	}
	return cut, m.scores[id] > best[len(s)].score
}
