package onnx

import "slices"

// signalFamily holds windows and transforms of signals.
func signalFamily() family {
	f := family{
		schemas: `
			HannWindow|HammingWindow|BlackmanWindow 17 idx>_ output_datatype:i periodic:i
			DFT 17 T:f,idx?>T axis:i inverse:i onesided:i
			DFT 20 T:f,idx?,i64?>T inverse:i onesided:i
			STFT 17 T:f,idx,T?,idx?>T onesided:i
			MelWeightMatrix 17 idx,idx,idx,f,f>_ output_datatype:i
		`,
		infer: map[string]func(*call){"DFT": dftRule, "STFT": stftRule, "MelWeightMatrix": melRule},
	}
	for _, op := range []string{"HannWindow", "HammingWindow", "BlackmanWindow"} {
		f.infer[op] = signalWindowRule
	}
	return f
}

// count is a length given by an input of one number.
func (c *call) count(i int) Size {
	if e, ok := c.element(i); ok {
		return c.asLength(e)
	}
	return c.z.length()
}

func signalWindowRule(c *call) {
	c.typed(0, c.targetType("output_datatype", Float))
	c.shape(0, []Size{c.count(0)})
}

// half is the number of frequencies of a real signal of length n.
func (z *algebra) half(n Size) Size { return z.sum(z.divide(n, SizeOf(2)), SizeOf(1), 1) }

func dftRule(c *call) {
	x, ok := c.dims(0)
	if !ok {
		return
	}
	if len(x) < 2 {
		c.misfit("the last axis holds real and imaginary parts", "give two or more axes", 0)
		return
	}
	out := slices.Clone(x)
	out[len(x)-1] = SizeOf(2)
	if c.int("inverse", 0) != 0 && c.int("onesided", 0) != 0 {
		out = c.fresh(len(x))
		c.shape(0, out)
		return
	}
	axis, known := c.int("axis", 1), true
	if c.ver >= 20 {
		axis = -2
		if c.given(2) {
			axis, known = c.number(2)
		}
	}
	if !known {
		for i := range out[:len(x)-1] {
			out[i] = c.z.length()
		}
		c.shape(0, out)
		return
	}
	k, ok := c.axisIn("axis", axis, len(x), 0)
	if !ok {
		return
	}
	if c.given(1) {
		out[k] = c.count(1)
	}
	if c.int("onesided", 0) != 0 {
		out[k] = c.z.half(out[k])
	}
	c.shape(0, out)
}

func stftRule(c *call) {
	x, ok := c.dims(0)
	if !ok || !c.rank(0, 2, 3) {
		return
	}
	n := c.z.length()
	if w, ok := c.dims(2); ok && c.given(2) && len(w) == 1 {
		n = w[0]
	} else if c.given(3) {
		n = c.count(3)
	}
	frames := c.z.length()
	if step, ok := c.number(1); ok && step > 0 {
		if room := c.z.sum(x[1], n, -1); room.sym != 0 || room.n >= 0 {
			frames = c.z.sum(c.z.divide(room, SizeOf(step)), SizeOf(1), 1)
		}
	}
	bins := n
	if c.int("onesided", 1) != 0 {
		bins = c.z.half(n)
	}
	c.shape(0, []Size{x[0], frames, bins, SizeOf(2)})
}

func melRule(c *call) {
	c.typed(0, c.targetType("output_datatype", Float))
	c.shape(0, []Size{c.z.half(c.count(1)), c.count(0)})
}
