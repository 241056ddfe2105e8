package exec

import (
	"fmt"
	"slices"

	"github.com/litekit/lite/onnx"
)

// textOps are operators on sequences of words. Words are numbers here: values
// of strings are not supported.
func textOps() map[string]operator {
	return map[string]operator{
		"TfIdfVectorizer": {run: tfIdf, prepare: prepareTfIdf, refuse: refuseStringPool, inputs: 1},
	}
}

func refuseStringPool(n *onnx.Node) string {
	if n.Attr("pool_strings") != nil {
		return "attribute pool_strings: values of strings are not supported; map words to numbers and give pool_int64s"
	}
	return ""
}

// gramEdge goes from one node of the tree of n-grams to the next by a word.
type gramEdge struct {
	from int
	word int64
}

// gramEnd is what an n-gram that ends in a node of the tree adds to.
type gramEnd struct {
	column int // of the output, −1 where no n-gram ends
	weight float32
}

// grams is a node of TfIdfVectorizer made ready: its n-grams as a tree.
type grams struct {
	next     map[gramEdge]int
	ends     []gramEnd // by node of the tree
	shortest int
	longest  int
	skips    int
	width    int  // of the output
	once     bool // that an n-gram occurs counts, not how often
	depth    int  // of the tree
}

func prepareTfIdf(_ *compiler, st *step) (any, error) { return gramsOf(st.node) }

// gramsOf reads the attributes.
func gramsOf(n *onnx.Node) (*grams, error) {
	g := &grams{shortest: int(n.Int("min_gram_length", 0)), longest: int(n.Int("max_gram_length", 0)), skips: int(n.Int("max_skip_count", 0))}
	if g.shortest < 1 || g.longest < g.shortest || g.skips < 0 {
		return nil, fmt.Errorf("n-grams of %d to %d words with up to %d skipped; 1 ≤ min_gram_length ≤ max_gram_length and max_skip_count ≥ 0 are needed", g.shortest, g.longest, g.skips)
	}
	columns := n.Ints("ngram_indexes")
	if len(columns) == 0 || slices.Min(columns) < 0 || slices.Max(columns) > 1<<40 {
		return nil, fmt.Errorf("attribute ngram_indexes must give each n-gram a place in the output, 0 or more")
	}
	g.width = int(slices.Max(columns)) + 1
	weights, err := g.weights(n, len(columns))
	if err != nil {
		return nil, err
	}
	ends := make([]gramEnd, len(columns))
	for i, c := range columns {
		ends[i] = gramEnd{int(c), 1}
		if weights != nil {
			ends[i].weight = weights[i]
		}
	}
	return g, g.plant(n.Ints("pool_int64s"), n.Ints("ngram_counts"), ends)
}

// weights reads the mode and the weight of each n-gram; nil stands for ones.
func (g *grams) weights(n *onnx.Node, count int) ([]float32, error) {
	mode := n.Str("mode", "")
	if mode != "TF" && mode != "IDF" && mode != "TFIDF" {
		return nil, fmt.Errorf("attribute mode is %q; TF, IDF or TFIDF is needed", mode)
	}
	g.once = mode == "IDF"
	a := n.Attr("weights")
	if a == nil || len(a.Floats) == 0 {
		return nil, nil
	}
	if len(a.Floats) != count {
		return nil, fmt.Errorf("%d weights for %d n-grams; attributes weights and ngram_indexes go together", len(a.Floats), count)
	}
	if mode == "TF" {
		return nil, nil
	}
	return a.Floats, nil
}

// plant makes the tree of the n-grams in the pool: those of n words start at
// starts[n−1] and end where the next ones start.
func (g *grams) plant(pool, starts []int64, ends []gramEnd) error {
	g.next, g.ends = map[gramEdge]int{}, []gramEnd{{column: -1}}
	if g.longest > len(starts) {
		return fmt.Errorf("attribute ngram_counts has %d numbers; max_gram_length is %d", len(starts), g.longest)
	}
	id := 0
	for i, from := range starts {
		words, to := int64(i)+1, int64(len(pool))
		if i+1 < len(starts) {
			to = starts[i+1]
		}
		if from < 0 || to < from || to > int64(len(pool)) || (to-from)%words != 0 {
			return fmt.Errorf("attribute ngram_counts %v does not cut a pool of %d words into n-grams of 1, 2, … words", starts, len(pool))
		}
		for ; from < to; from += words {
			if id == len(ends) {
				return fmt.Errorf("the pool has more n-grams than the %d of attribute ngram_indexes", len(ends))
			}
			if err := g.add(pool[from:from+words], ends[id]); err != nil {
				return err
			}
			id++
		}
	}
	if id != len(ends) {
		return fmt.Errorf("the pool has %d n-grams; attribute ngram_indexes has %d", id, len(ends))
	}
	return nil
}

// add puts one n-gram in the tree.
func (g *grams) add(words []int64, end gramEnd) error {
	if len(words) < g.shortest || len(words) > g.longest {
		return nil
	}
	at := 0
	for _, w := range words {
		e := gramEdge{at, w}
		to, ok := g.next[e]
		if !ok {
			to = len(g.ends)
			g.next[e] = to
			g.ends = append(g.ends, gramEnd{column: -1})
		}
		at = to
	}
	if g.ends[at].column >= 0 {
		return fmt.Errorf("the n-gram %v is in the pool twice", words)
	}
	g.ends[at] = end
	g.depth = max(g.depth, len(words))
	return nil
}

// tfIdf finds in each row of [C] or [N, C] the n-grams of the pool, their
// words next to each other or with up to max_skip_count words between each two:
// [D] or [N, D]. Single words are counted once, and not again for every number
// of words skipped.
func tfIdf(c *call) error {
	g, ready := c.prep.(*grams)
	if !ready { // among constants, before anything is made ready
		var err error
		if g, err = gramsOf(c.node); err != nil {
			return err
		}
	}
	x := c.in[0]
	if len(x.Shape) > 2 {
		return fmt.Errorf("an input of shape %v; rows of words have one or two dimensions", x.Shape)
	}
	if x.Type != onnx.Int64 && x.Type != onnx.Int32 {
		return fmt.Errorf("words of type %s; int64 or int32 is needed: %w", typeName(x.Type), ErrType)
	}
	words, err := c.ints(0)
	if err != nil {
		return err
	}
	rows, length, shape := 1, len(words), []int{g.width}
	if len(x.Shape) == 2 {
		rows, length = x.Shape[0], x.Shape[1]
		shape = []int{rows, g.width}
	}
	out, err := c.invent(0, onnx.Float, shape...)
	if err != nil {
		return err
	}
	clear(out.F32)
	c.parallel(rows, max(1, grain/max(1, g.width+length*g.depth)), func(lo, hi int) {
		for r := lo; r < hi && !c.stopped(); r++ {
			g.scan(c, out.F32[r*g.width:(r+1)*g.width], words[r*length:(r+1)*length])
		}
	})
	return nil
}

// scan adds up the n-grams of one row.
func (g *grams) scan(c *call, row []float32, words []int64) {
	shortest := g.shortest
	for step := 1; step-1 <= g.skips && shortest <= g.depth; step++ {
		// An n-gram of so many words at this distance needs so long a row.
		if shortest > len(words) || (shortest-1)*step >= len(words) || c.stopped() {
			return
		}
		for start := 0; start+(shortest-1)*step < len(words); start++ {
			at, ok := 0, false
			for n, i := 1, start; i < len(words); n, i = n+1, i+step {
				if at, ok = g.next[gramEdge{at, words[i]}]; !ok {
					break
				}
				switch end := g.ends[at]; {
				case n < shortest || end.column < 0:
				case g.once:
					row[end.column] = end.weight
				default:
					row[end.column] += end.weight
				}
			}
		}
		if shortest == 1 {
			shortest = 2
		}
	}
}
