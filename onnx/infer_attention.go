package onnx

import "fmt"

// attentionFamily holds ai.onnx's attention.
func attentionFamily() family {
	return family{
		schemas: `
			Attention 23 T:f,T,V:f,M?,T?,V?>T,T?,V?,T? is_causal:i kv_num_heads:i q_num_heads:i qk_matmul_output_mode:i scale:f softcap:f softmax_precision:i
			Attention 24 T:f,T,V:f,M?,T?,V?,i64?>T,T?,V?,T? is_causal:i kv_num_heads:i q_num_heads:i qk_matmul_output_mode:i scale:f softcap:f softmax_precision:i
			RotaryEmbedding 23 T:f,T,T,i64?>T interleaved:i num_heads:i rotary_embedding_dim:i
		`,
		infer: map[string]func(*call){"Attention": attentionRule, "RotaryEmbedding": rotaryRule},
	}
}

// heads is a value seen as [batch, heads, length, size].
type heads struct{ batch, heads, length, size Size }

// heads reads input i as heads; a value of three axes has their number from an attribute.
func (c *call) heads(i int, attr string) (h heads, ok bool) {
	x, known := c.dims(i)
	if !known || !c.rank(i, 3, 4) {
		return h, false
	}
	if len(x) == 4 {
		return heads{x[0], x[1], x[2], x[3]}, true
	}
	n := c.int(attr, 0)
	if n < 1 || x[2].sym == 0 && x[2].n%n != 0 {
		c.misfit(fmt.Sprintf("attribute %s is %d", attr, n), "it must divide the last length", i)
		return h, false
	}
	return heads{x[0], SizeOf(n), x[1], c.z.divide(x[2], SizeOf(n))}, true
}

func attentionRule(c *call) {
	q, ok := c.heads(0, "q_num_heads")
	k, ok2 := c.heads(1, "kv_num_heads")
	v, ok3 := c.heads(2, "kv_num_heads")
	if !ok || !ok2 || !ok3 {
		return
	}
	if !c.equal(q.size, k.size, "the sizes of the heads of query and key,", "they must be equal", 0, 1) || !c.equal(k.heads, v.heads, "the heads of key and value,", "they must be equal", 1, 2) ||
		!c.equal(k.length, v.length, "the lengths of key and value,", "they must be equal", 1, 2) || !c.equal(q.batch, k.batch, "the batches", "they must be equal", 0, 1) {
		return
	}
	if q.heads.sym == 0 && k.heads.sym == 0 && (k.heads.n < 1 || q.heads.n%k.heads.n != 0) {
		c.misfit(fmt.Sprintf("%d heads of the query and %d of the key", q.heads.n, k.heads.n), "the first must be a multiple of the second", 0, 1)
		return
	}
	past := SizeOf(0)
	if c.given(4) {
		past = c.z.length()
		if p, ok := c.dims(4); ok && c.rank(4, 4) {
			past = p[2]
		}
	}
	total := c.z.sum(past, k.length, 1)
	if x, _ := c.dims(0); len(x) == 4 {
		c.shape(0, []Size{q.batch, q.heads, q.length, v.size})
	} else {
		c.shape(0, []Size{q.batch, q.length, c.z.product2(q.heads, v.size)})
	}
	c.shape(1, []Size{k.batch, k.heads, total, k.size})
	c.shape(2, []Size{v.batch, v.heads, total, v.size})
	c.shape(3, []Size{q.batch, q.heads, q.length, total})
}

func rotaryRule(c *call) {
	if c.rank(0, 3, 4) {
		sameAsFirst(c)
	}
}
