package exec

import (
	"fmt"
	"math"
)

func normOps() map[string]operator {
	return map[string]operator{
		"RMSNormalization":          {run: byReal(rmsNorm[float32], rmsNorm[float64]), inputs: 2},
		"BatchNormalization":        {run: byReal(batchNorm[float32], batchNorm[float64]), inputs: 5},
		"InstanceNormalization":     {run: byReal(instanceNorm[float32], instanceNorm[float64]), inputs: 3},
		"GroupNormalization":        {run: byReal(groupNorm[float32], groupNorm[float64]), inputs: 3},
		"LRN":                       {run: byReal(localNorm[float32], localNorm[float64]), inputs: 1},
		"MeanVarianceNormalization": {run: byReal(meanVariance[float32], meanVariance[float64]), inputs: 1},
		"LpNormalization":           {run: byReal(lpNorm[float32], lpNorm[float64]), inputs: 1},
	}
}

// rmsNorm is RMSNormalization (opset 23): x / sqrt(mean(x²) + ε) · scale over
// the dimensions from axis on. The sums are in float64, whatever stash_type says.
func rmsNorm[T real](c *call) error {
	x, scale := c.in[0], c.in[1]
	d, err := axis(c.node.Int("axis", -1), len(x.Shape))
	if err != nil {
		return err
	}
	row := x.Shape[d:]
	full, err := broadcastShape(scale.Shape, row)
	if err != nil || !sameShape(full, row) {
		return fmt.Errorf("the scale has shape %v, which does not broadcast to %v", scale.Shape, row)
	}
	w, err := typed[T](c, 1)
	if err != nil {
		return err
	}
	rows, n := product(x.Shape[:d]), product(row)
	g := make([]T, n)
	walkStrided(row, broadcastStrides(scale.Shape, row), 0, n, func(i, at int) { g[i] = w[at] })
	out, err := c.output(0, x.Type, x.Shape...)
	if err != nil || out.Len() == 0 {
		return err
	}
	src, dst, eps := data[T](x), data[T](out), float64(c.node.Float("epsilon", 1e-5))
	c.parallel(rows, max(1, grain/n), func(lo, hi int) {
		for r := lo; r < hi; r++ {
			a, y := src[r*n:(r+1)*n], dst[r*n:(r+1)*n]
			sum := 0.0
			for _, v := range a {
				sum += float64(v) * float64(v)
			}
			k := 1 / math.Sqrt(sum/float64(n)+eps)
			for i, v := range a {
				y[i] = T(float64(v)*k) * g[i]
			}
		}
	})
	return nil
}

// batchNorm is BatchNormalization (opset 7, 9, 14 and 15): (x − mean) /
// sqrt(var + ε) · scale + bias for each channel. With training_mode (opset 14)
// the statistics are those of the batch, and outputs 1 and 2 the running ones.
// The training outputs of older opsets are not supported.
func batchNorm[T real](c *call) error {
	x := c.in[0]
	if err := c.needRank(0, 1); err != nil {
		return err
	}
	if c.node.Int("spatial", 1) == 0 {
		return fmt.Errorf("spatial=0: %w", ErrType)
	}
	n, ch, inner := x.Shape[0], 1, 1
	if len(x.Shape) > 1 {
		ch, inner = x.Shape[1], product(x.Shape[2:])
	}
	var p [4][]T
	for i := range p {
		var err error
		if p[i], err = channels[T](c, i+1, ch, 0); err != nil {
			return err
		}
	}
	src := data[T](x)
	mean, variance := p[2], p[3]
	switch {
	case c.node.Int("training_mode", 0) != 0:
		var err error
		if mean, variance, err = batchStats(c, src, mean, variance, n, ch, inner); err != nil {
			return err
		}
	case c.wants(1):
		return fmt.Errorf("the outputs of training: %w", ErrType)
	}
	out, err := c.output(0, x.Type, x.Shape...)
	if err != nil {
		return err
	}
	dst, eps := data[T](out), float64(c.node.Float("epsilon", 1e-5))
	c.parallel(n*ch, max(1, grain/max(inner, 1)), func(lo, hi int) {
		for i := lo; i < hi; i++ {
			k := i % ch
			a := float64(p[0][k]) / math.Sqrt(float64(variance[k])+eps)
			b := float64(p[1][k]) - a*float64(mean[k])
			for j := i * inner; j < (i+1)*inner; j++ {
				dst[j] = T(a*float64(src[j]) + b)
			}
		}
	})
	return nil
}

// batchStats computes the statistics of a batch and moves the running ones.
func batchStats[T real](c *call, src, oldMean, oldVar []T, n, ch, inner int) (mean, variance []T, err error) {
	mean, variance = make([]T, ch), make([]T, ch)
	for k := range ch {
		sum, square := 0.0, 0.0
		count := float64(n * inner)
		each := func(f func(float64)) {
			for i := range n {
				for _, v := range src[(i*ch+k)*inner : (i*ch+k+1)*inner] {
					f(float64(v))
				}
			}
		}
		each(func(v float64) { sum += v })
		m := sum / count
		each(func(v float64) { square += (v - m) * (v - m) })
		mean[k], variance[k] = T(m), T(square/count)
	}
	keep := float64(c.node.Float("momentum", 0.9))
	for i, pair := range [][2][]T{{oldMean, mean}, {oldVar, variance}} {
		if !c.wants(i + 1) {
			continue
		}
		out, err := c.output(i+1, c.in[3+i].Type, ch)
		if err != nil {
			return nil, nil, err
		}
		for k := range ch {
			v := keep*float64(pair[0][k]) + (1-keep)*float64(pair[1][k])
			if out.F64 != nil {
				out.F64[k] = v
			} else {
				out.F32[k] = float32(v)
			}
		}
	}
	return mean, variance, nil
}

// instanceNorm is InstanceNormalization (opset 6, 22): every channel of every
// instance is normalised over its spatial dimensions.
func instanceNorm[T real](c *call) error {
	if err := c.needRank(0, 2); err != nil {
		return err
	}
	ch := c.in[0].Shape[1]
	return grouped[T](c, ch, ch)
}

// groupNorm is GroupNormalization: channels are normalised in num_groups
// groups; scale and bias are for each group (opset 18) or channel (21).
func groupNorm[T real](c *call) error {
	if err := c.needRank(0, 2); err != nil {
		return err
	}
	ch, groups := c.in[0].Shape[1], c.node.Int("num_groups", 0)
	if groups < 1 || groups > int64(ch) || ch%int(groups) != 0 {
		return fmt.Errorf("attribute num_groups is %d; it must divide the %d channels", groups, ch)
	}
	weights := ch
	if c.opset < 21 {
		weights = int(groups)
	}
	return grouped[T](c, int(groups), weights)
}

// grouped normalises the channels of input 0 in groups, with so many scales and biases.
func grouped[T real](c *call, groups, weights int) error {
	x := c.in[0]
	scale, err := channels[T](c, 1, weights, 1)
	if err != nil {
		return err
	}
	bias, err := channels[T](c, 2, weights, 0)
	if err != nil {
		return err
	}
	out, err := c.output(0, x.Type, x.Shape...)
	if err != nil || out.Len() == 0 {
		return err
	}
	ch, inner := x.Shape[1], product(x.Shape[2:])
	n, each := ch/groups*inner, ch/weights
	src, dst, eps := data[T](x), data[T](out), float64(c.node.Float("epsilon", 1e-5))
	c.parallel(x.Shape[0]*groups, max(1, grain/n), func(lo, hi int) {
		for g := lo; g < hi; g++ {
			mean, variance := moments(src[g*n : (g+1)*n])
			k := 1 / math.Sqrt(variance+eps)
			for i := g * n; i < (g+1)*n; i++ {
				w := i / inner % ch / each
				dst[i] = T((float64(src[i])-mean)*k*float64(scale[w]) + float64(bias[w]))
			}
		}
	})
	return nil
}

// moments are the mean and the variance of a row.
func moments[T real](x []T) (mean, variance float64) {
	for _, v := range x {
		mean += float64(v)
	}
	mean /= float64(len(x))
	for _, v := range x {
		variance += (float64(v) - mean) * (float64(v) - mean)
	}
	return mean, variance / float64(len(x))
}

// localNorm is LRN (opset 1, 13): x / (bias + alpha/size · Σ x²)^beta, the sum
// over size channels around each.
func localNorm[T real](c *call) error {
	x := c.in[0]
	if err := c.needRank(0, 2); err != nil {
		return err
	}
	size := c.node.Int("size", 0)
	if size < 1 {
		return fmt.Errorf("attribute size is %d; a positive number of channels is needed", size)
	}
	alpha, beta, bias := float64(c.node.Float("alpha", 1e-4)), float64(c.node.Float("beta", 0.75)), float64(c.node.Float("bias", 1))
	out, err := c.output(0, x.Type, x.Shape...)
	if err != nil {
		return err
	}
	ch, inner := x.Shape[1], product(x.Shape[2:])
	before, after := int(min((size-1)/2, int64(ch))), int(min(size/2, int64(ch)))
	src, dst := data[T](x), data[T](out)
	c.parallel(x.Shape[0]*ch, 1, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			k, base := i%ch, i/ch*ch
			first, last := max(0, k-before), min(ch-1, k+after)
			for j := range inner {
				sum := 0.0
				for q := first; q <= last; q++ {
					v := float64(src[(base+q)*inner+j])
					sum += v * v
				}
				dst[i*inner+j] = T(float64(src[i*inner+j]) / math.Pow(bias+alpha/float64(size)*sum, beta))
			}
		}
	})
	return nil
}

// meanVariance is MeanVarianceNormalization (opset 9, 13): (x − mean) /
// (deviation + 1e-9) over axes, [0, 2, 3] by default.
func meanVariance[T real](c *call) error {
	x := c.in[0]
	list := []int64{0, 2, 3}
	if a := c.node.Attr("axes"); a != nil {
		list = a.Ints
	}
	ax, err := axes(list, len(x.Shape))
	if err != nil {
		return err
	}
	o := c.reduceOver(x.Shape, ax, true)
	out, err := c.output(0, x.Type, x.Shape...)
	if err != nil || out.Len() == 0 {
		return err
	}
	src, dst := data[T](x), data[T](out)
	walkStrided(o.kept, o.keptAt, 0, product(o.kept), func(_, base int) {
		mean, variance := 0.0, 0.0
		walkStrided(o.red, o.redAt, 0, o.count, func(_, at int) { mean += float64(src[base+at]) })
		mean /= float64(o.count)
		walkStrided(o.red, o.redAt, 0, o.count, func(_, at int) {
			v := float64(src[base+at]) - mean
			variance += v * v
		})
		k := 1 / (math.Sqrt(variance/float64(o.count)) + 1e-9)
		walkStrided(o.red, o.redAt, 0, o.count, func(_, at int) { dst[base+at] = T((float64(src[base+at]) - mean) * k) })
	})
	return nil
}

// lpNorm is LpNormalization (opset 1, 22): x divided by its 1- or 2-norm along
// axis; where that is zero, NaN.
func lpNorm[T real](c *call) error {
	x := c.in[0]
	d, err := axis(c.node.Int("axis", -1), len(x.Shape))
	if err != nil {
		return err
	}
	p := c.node.Int("p", 2)
	if p != 1 && p != 2 {
		return fmt.Errorf("attribute p is %d; 1 or 2 is needed", p)
	}
	out, err := c.output(0, x.Type, x.Shape...)
	if err != nil || out.Len() == 0 {
		return err
	}
	l, src, dst := lanesOf(x.Shape, d), data[T](x), data[T](out)
	c.parallel(l.count, max(1, grain/l.n), func(lo, hi int) {
		for i := lo; i < hi; i++ {
			at, norm := l.start(i), 0.0
			for j := range l.n {
				v := math.Abs(float64(src[at+j*l.step]))
				if p == 2 {
					v *= v
				}
				norm += v
			}
			if p == 2 {
				norm = math.Sqrt(norm)
			}
			for j := range l.n {
				dst[at+j*l.step] = T(float64(src[at+j*l.step]) / norm)
			}
		}
	})
	return nil
}
