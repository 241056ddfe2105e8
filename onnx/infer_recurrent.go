package onnx

import "fmt"

// recurrentFamily holds RNN, GRU and LSTM.
func recurrentFamily() family {
	return family{
		schemas: `
			RNN 7 T:f,T,T,T?,i32?,T?>T?,T? activation_alpha:F activation_beta:F activations:S clip:f direction:s hidden_size:i layout:i
			GRU 7 T:f,T,T,T?,i32?,T?>T?,T? activation_alpha:F activation_beta:F activations:S clip:f direction:s hidden_size:i layout:i linear_before_reset:i
			LSTM 7 T:f,T,T,T?,i32?,T?,T?,T?>T?,T?,T? activation_alpha:F activation_beta:F activations:S clip:f direction:s hidden_size:i input_forget:i layout:i
		`,
		infer: map[string]func(*call){
			"RNN": func(c *call) { c.recurrent(1) }, "GRU": func(c *call) { c.recurrent(3) }, "LSTM": func(c *call) { c.recurrent(4) },
		},
	}
}

// recurrent is a layer with so many gates: X [S, B, I], W [D, gates·H, I],
// R [D, gates·H, H]; with layout 1 the batch comes first.
func (c *call) recurrent(gates int64) {
	dirs := SizeOf(1)
	if c.choice("direction", "forward", "forward", "reverse", "bidirectional") == "bidirectional" {
		dirs = SizeOf(2)
	}
	x, ok := c.dims(0)
	w, ok2 := c.dims(1)
	r, ok3 := c.dims(2)
	for i, known := range []bool{ok, ok2, ok3} {
		if known && !c.rank(i, 3) {
			return
		}
	}
	seq, batch, hidden := c.z.length(), c.z.length(), c.z.length()
	if ok {
		seq, batch = x[0], x[1]
	}
	if h := c.int("hidden_size", 0); h > 0 {
		hidden = SizeOf(h)
	}
	if ok3 {
		if !c.equal(r[1], c.z.product2(r[2], SizeOf(gates)), fmt.Sprintf("the rows of R and %d gates of its columns,", gates), "R is [directions, gates·hidden, hidden]", 2) ||
			!c.equal(r[0], dirs, "the directions of R and of attribute direction,", "give weights for each direction", 2) ||
			c.int("hidden_size", 0) > 0 && !c.equal(r[2], hidden, "R and attribute hidden_size,", "leave hidden_size out", 2) {
			return
		}
		hidden = r[2]
	}
	if ok2 {
		if !c.equal(w[0], dirs, "the directions of W and of attribute direction,", "give weights for each direction", 1) ||
			ok3 && !c.equal(w[1], r[1], "the rows of W and R,", "both have gates·hidden rows", 1, 2) ||
			ok && !c.equal(w[2], x[2], "the columns of W and the input,", "W is [directions, gates·hidden, input]", 0, 1) {
			return
		}
	}
	if b, ok := c.dims(3); ok {
		if !c.rank(3, 2) || !c.equal(b[1], c.z.product2(hidden, SizeOf(2*gates)), "the bias and two lists for each gate,", "B is [directions, 2·gates·hidden]", 3) {
			return
		}
	}
	all, last := []Size{seq, dirs, batch, hidden}, []Size{dirs, batch, hidden}
	if c.int("layout", 0) != 0 {
		all, last = []Size{batch, seq, dirs, hidden}, []Size{batch, dirs, hidden}
		if ok {
			all[0], all[1], last[0] = x[0], x[1], x[0]
		}
	}
	c.shape(0, all)
	c.shape(1, last)
	c.shape(2, last)
}
