package onnx

import "fmt"

// normFamily holds normalizations and losses.
func normFamily() family {
	return family{
		schemas: `
			LayerNormalization 1 T:f,S:f,S?>S,_?,_? axis:i epsilon:f stash_type:i
			SimplifiedLayerNormalization 1 T:f,S:f>S,_? axis:i epsilon:f stash_type:i
			RMSNormalization 23 T:f,S:f>S axis:i epsilon:f stash_type:i
			BatchNormalization 7 T:f,S:f,S,U:f,U>T,U?,U?,U?,U? epsilon:f momentum:f spatial:i
			BatchNormalization 14 T:f,S:f,S,U:f,U>T,U?,U? epsilon:f momentum:f training_mode:i
			InstanceNormalization 6 T:f,T,T>T epsilon:f
			GroupNormalization 18 T:f,T,T>T epsilon:f num_groups:i! stash_type:i
			LRN 1 T:f>T alpha:f beta:f bias:f size:i!
			LpNormalization 1 T:f>T axis:i p:i
			MeanVarianceNormalization 9 T:f>T axes:I
			NegativeLogLikelihoodLoss 12 T:f,idx,T?>T ignore_index:i reduction:s
			SoftmaxCrossEntropyLoss 12 T:f,idx,T?>T,T? ignore_index:i reduction:s
		`,
		infer: map[string]func(*call){
			"LayerNormalization": layerNormRule, "SimplifiedLayerNormalization": layerNormRule, "RMSNormalization": layerNormRule,
			"BatchNormalization": batchNormRule, "InstanceNormalization": instanceNormRule, "GroupNormalization": groupNormRule,
			"LRN": sameAsFirst, "LpNormalization": lpNormRule, "MeanVarianceNormalization": sameAsFirst,
			"NegativeLogLikelihoodLoss": lossRule, "SoftmaxCrossEntropyLoss": lossRule,
		},
	}
}

// layerNormRule normalizes over the axes from axis on; scale and bias broadcast to
// them. The result has their type, which ONNX Runtime lets differ from the input's.
func layerNormRule(c *call) {
	for i := 1; i < len(c.out); i++ {
		c.typed(i, Float) // the default of stash_type
		if t := c.int("stash_type", 1); t != 1 && t > 0 && t < int64(len(dataTypes)) {
			c.typed(i, DataType(t))
		}
	}
	if c.out[0].typ == Undefined {
		c.typed(0, c.arg(0).typ)
	}
	x, ok := c.dims(0)
	if !ok {
		return
	}
	axis, ok := c.axis(-1, len(x), 0)
	if !ok {
		return
	}
	for i := 1; i < 3; i++ {
		s, ok := c.dims(i)
		if !ok || c.n.Op != "LayerNormalization" && i > 1 {
			continue
		}
		if !oneWay(s, x) {
			c.misfit("scale and bias do not fit the normalized axes", fmt.Sprintf("give them the shape of the input from axis %d on", axis), 0, i)
			return
		}
	}
	c.shape(0, x)
	stats := make([]Size, len(x))
	for i, d := range x {
		stats[i] = SizeOf(1)
		if i < axis {
			stats[i] = d
		}
	}
	for i := 1; i < len(c.out); i++ {
		c.shape(i, stats)
	}
}

// perChannel checks lists of one number for each channel.
func (c *call) perChannel(channels Size, inputs ...int) bool {
	for _, i := range inputs {
		s, ok := c.dims(i)
		if !ok {
			continue
		}
		if len(s) != 1 || !c.equal(s[0], channels, "a parameter and the channels,", "give one number for each channel (axis 1)", 0, i) {
			if !c.bad {
				c.misfit("a parameter is no list", "give one number for each channel (axis 1)", 0, i)
			}
			return false
		}
	}
	return true
}

func batchNormRule(c *call) {
	x, ok := c.dims(0)
	if !ok {
		return
	}
	channels := SizeOf(1)
	if len(x) > 1 {
		channels = x[1]
	}
	if c.int("spatial", 1) == 0 {
		c.shape(0, x)
		return
	}
	if len(x) < 1 || !c.perChannel(channels, 1, 2, 3, 4) {
		return
	}
	c.shape(0, x)
	for i := 1; i < len(c.out); i++ {
		c.shape(i, []Size{channels})
	}
}

func instanceNormRule(c *call) {
	x, ok := c.dims(0)
	if !ok {
		return
	}
	if len(x) < 2 {
		c.misfit("channels are needed", "give [N, C, lengths…]", 0)
		return
	}
	if c.perChannel(x[1], 1, 2) {
		c.shape(0, x)
	}
}

// groupNormRule has a parameter for each group before opset 21, for each channel since.
func groupNormRule(c *call) {
	x, ok := c.dims(0)
	g := c.int("num_groups", 1)
	if g < 1 {
		c.complain(fmt.Sprintf("attribute num_groups is %d", g), "set it to 1 or more")
		return
	}
	if !ok {
		return
	}
	if len(x) < 2 {
		c.misfit("channels are needed", "give [N, C, lengths…]", 0)
		return
	}
	if x[1].sym == 0 && x[1].n%g != 0 {
		c.misfit(fmt.Sprintf("%d channels cannot be cut into %d groups", x[1].n, g), "their number must be a multiple of num_groups", 0)
		return
	}
	want := x[1]
	if c.ver < 21 {
		want = SizeOf(g)
	}
	if c.perChannel(want, 1, 2) {
		c.shape(0, x)
	}
}

func lpNormRule(c *call) {
	x, ok := c.dims(0)
	if !ok {
		return
	}
	if _, ok := c.axis(-1, len(x), 0); ok {
		c.shape(0, x)
	}
}

func lossRule(c *call) {
	reduction := c.choice("reduction", "mean", "none", "mean", "sum")
	x, ok := c.dims(0)
	y, ok2 := c.dims(1)
	if ok && ok2 {
		if len(x) < 2 || len(y) != len(x)-1 || !c.equal(x[0], y[0], "the batches", "scores are [N, C, …] and labels [N, …]", 0, 1) {
			if !c.bad {
				c.misfit("scores and labels do not fit", "scores are [N, C, …] and labels [N, …]", 0, 1)
			}
			return
		}
	}
	switch {
	case reduction != "none":
		c.shape(0, []Size{})
	case ok2:
		c.shape(0, y)
	}
	if ok {
		c.shape(1, x)
	}
}
