package corpus

import "math/rand/v2"

// placed is how a sequence stands in a batch of one epoch.
type placed struct {
	first, second tokens
	pair          bool
	order, next   int32
}

// layout resolves the segments of sequence n. Split segments are cut at a
// random sentence start; then, for sentence order (Lan et al., ALBERT, arXiv
// 1909.11942, section 3.1), swapped in half of the cases, or, for the next
// sentence (Devlin et al., BERT, arXiv 1810.04805, section 3.1), the second one
// replaced by text of another document in half of them.
func (w *writer) layout(n int, q sequence, all tokens) (placed, error) {
	l := placed{first: all.slice(0, int(q.mid)), second: all.slice(int(q.mid), int(q.n)), pair: q.pair, order: -1, next: -1}
	if !q.split {
		return l, nil
	}
	purpose := purposeSplit
	if w.v.opts.NextSentence {
		purpose = purposeNext
	}
	r := stream(w.v.opts.Seed, purpose, w.epoch, n)
	w.starts = w.starts[:0]
	for k := nextSentence(all.flags, 0); k < len(all.ids); k = nextSentence(all.flags, k) {
		w.starts = append(w.starts, k)
	}
	mid := w.starts[r.IntN(len(w.starts))]
	l.first, l.second, l.pair = all.slice(0, mid), all.slice(mid, len(all.ids)), true
	change := r.Uint64()&1 == 1
	switch {
	case w.v.opts.NextSentence && change:
		var err error
		l.next = 1
		l.second, err = w.another(r, q.example, len(all.ids)-mid)
		return l, err
	case w.v.opts.NextSentence:
		l.next = 0
	case change:
		l.first, l.second, l.order = l.second, l.first, 1
	default:
		l.order = 0
	}
	return l, nil
}

// Bounds of the search for text of another document: how many sequences are
// drawn before they are taken one after another, and how many are compared for
// the one that fills the room best.
const (
	drawn    = 64
	compared = 8
)

// another returns text of another document than example's for room tokens: whole
// sentences from a random one on, of a random sequence.
func (w *writer) another(r *rand.Rand, example int32, room int) (best tokens, err error) {
	n := len(w.v.store.lengths)
	j := 0
	for try, found := 0, 0; try < drawn+n; try++ {
		if try < drawn {
			j = r.IntN(n)
		} else if found > 0 {
			break
		} else {
			j = (j + 1) % n
		}
		q, all, err := w.v.store.load(j, &w.windows[1])
		if err != nil {
			return best, err
		}
		if q.example == example || q.mid == 0 || q.raw {
			continue
		}
		all = all.slice(0, int(q.mid))
		w.starts = append(w.starts[:0], 0)
		for k := nextSentence(all.flags, 0); k < len(all.ids); k = nextSentence(all.flags, k) {
			w.starts = append(w.starts, k)
		}
		rest := all.slice(w.starts[r.IntN(len(w.starts))], len(all.ids))
		full := len(rest.ids) >= room
		if rest = rest.slice(0, cut(rest.flags, room)); len(rest.ids) > len(best.ids) {
			// The window is used again, so what is kept moves to one of its own.
			best = w.best.copy(rest)
		}
		if found++; full || found == compared {
			break
		}
	}
	return best, nil
}

// copy makes w hold t.
func (w *reader) copy(t tokens) tokens {
	w.ids, w.flags = append(w.ids[:0], t.ids...), append(w.flags[:0], t.flags...)
	w.pos, w.ner = append(w.pos[:0], t.pos...), append(w.ner[:0], t.ner...)
	if t.pos == nil {
		w.pos, w.ner = nil, nil
	}
	return w.tokens
}
