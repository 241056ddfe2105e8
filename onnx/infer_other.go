package onnx

import (
	"math"
	"slices"
)

// otherFamily holds operators of ai.onnx of which no more is known than since when
// they are: sequences, optional values, strings and what is random.
func otherFamily() family {
	return family{schemas: `
		SequenceAt|SequenceConstruct|SequenceErase|SequenceInsert|SequenceLength|SplitToSequence|ConcatFromSequence 11 _~>_~
		SequenceEmpty 11 _~>_~ dtype:i
		SequenceMap 17 _~>_~ body:g!
		Optional|OptionalGetElement|OptionalHasElement 15 _~>_~
		StringNormalizer 10 _~>_~
		StringConcat|StringSplit|RegexFullMatch|ImageDecoder 20 _~>_~
		TfIdfVectorizer 9 _>f32 max_gram_length:i! max_skip_count:i! min_gram_length:i! mode:s! ngram_counts:I! ngram_indexes:I! pool_int64s:I pool_strings:S weights:F
		Multinomial 7 _~>_~
	`, infer: map[string]func(*call){"TfIdfVectorizer": tfIdfRule}}
}

// tfIdfRule gives each row of words [C] or [N, C] a column for each place that n-grams have.
func tfIdfRule(c *call) {
	x, ok := c.dims(0)
	columns := c.list("ngram_indexes")
	c.choice("mode", "", "TF", "IDF", "TFIDF")
	if !ok || len(columns) == 0 || c.bad || len(x) > 1 && !c.rank(0, 2) {
		return
	}
	last := slices.Max(columns)
	if slices.Min(columns) < 0 || last == math.MaxInt64 {
		c.complain("attribute ngram_indexes has a place that no output has", "give each n-gram a column, 0 or more")
		return
	}
	out := []Size{SizeOf(last + 1)}
	if len(x) == 2 {
		out = []Size{x[0], out[0]}
	}
	c.shape(0, out)
}

// liteFamily holds the fused operators of ARCHITECTURE.md.
func liteFamily() family {
	return family{
		domain: liteDomain,
		schemas: `
			Linear 1 _,_,_?>_
			LayerNorm 1 T,_,_,_?>T
			Attention 1 T,_,_,_?>T
			Gelu 1 T>T
			GatherRows 1 T,_>T
			QLinear 1 T,_,_,_,_?>T
		`,
		infer: map[string]func(*call){
			"Linear": linearRule, "QLinear": linearRule, "LayerNorm": sameAsFirst, "Gelu": sameAsFirst,
			"Attention": fusedAttentionRule, "GatherRows": gatherRowsRule,
		},
	}
}

// linearRule is X[…, in] times W[in, out], or [out, in] with trans_b.
func linearRule(c *call) {
	c.typed(0, c.arg(0).typ)
	x, ok := c.dims(0)
	w, ok2 := c.dims(1)
	if !ok || !ok2 || len(w) != 2 || len(x) < 2 {
		return
	}
	in, out := pair(w, c.int("trans_b", 0) != 0)
	if c.equal(x[len(x)-1], in, "the inner sizes", "give weights of as many rows", 0, 1) {
		c.shape(0, append(x[:len(x)-1:len(x)-1], out))
	}
}

func fusedAttentionRule(c *call) {
	x, ok := c.dims(0)
	v, ok2 := c.dims(2)
	if ok && ok2 && len(x) == 3 && len(v) == 3 {
		c.shape(0, []Size{x[0], x[1], v[2]})
	}
}

func gatherRowsRule(c *call) {
	x, ok := c.dims(0)
	r, ok2 := c.dims(1)
	if ok && ok2 && len(x) > 0 {
		c.shape(0, append(r[:len(r):len(r)], x[len(x)-1]))
	}
}
