package exec

import (
	"fmt"
	"slices"
)

func lossOps() map[string]operator {
	return map[string]operator{
		"NegativeLogLikelihoodLoss": {run: byReal(nllLoss[float32], nllLoss[float64]), inputs: 2},
		"SoftmaxCrossEntropyLoss":   {run: byReal(softmaxLoss[float32], softmaxLoss[float64]), inputs: 2},
	}
}

// nllLoss is NegativeLogLikelihoodLoss (opset 12; 13 and 22 only add types):
// minus the log-probability [N, C, d…] of the class in input 1 [N, d…], times
// the weight of that class. A target equal to ignore_index counts nothing.
func nllLoss[T real](c *call) error {
	return classLoss(c, data[T](c.in[0]))
}

// softmaxLoss is SoftmaxCrossEntropyLoss (opset 12; 13 adds bfloat16): nllLoss
// of the LogSoftmax of the scores along axis 1, which is the second output.
func softmaxLoss[T real](c *call) error {
	x := c.in[0]
	if err := c.needRank(0, 2); err != nil {
		return err
	}
	logp, err := c.new(x.Type, x.Shape...)
	if err != nil {
		return err
	}
	if logp.Len() > 0 {
		softmaxLanes(data[T](logp), data[T](x), lanesOf(x.Shape, 1), true)
	}
	if c.wants(1) {
		c.out[1] = logp
	} else {
		defer c.mem.release(logp)
	}
	return classLoss(c, data[T](logp))
}

// classLoss picks, weighs and reduces log-probabilities; output 0 is the loss.
func classLoss[T real](c *call, logp []T) error {
	if err := c.needRank(0, 2); err != nil {
		return err
	}
	shape := c.in[0].Shape
	want := slices.Concat(shape[:1], shape[2:])
	if !sameShape(c.in[1].Shape, want) {
		return fmt.Errorf("the targets have shape %v; %v is needed for scores of shape %v", c.in[1].Shape, want, shape)
	}
	target, err := c.ints(1)
	if err != nil {
		return err
	}
	weight, err := channels[T](c, 2, shape[1], 1)
	if err != nil {
		return err
	}
	mode := c.node.Str("reduction", "mean")
	if !slices.Contains([]string{"none", "sum", "mean"}, mode) {
		return fmt.Errorf("attribute reduction is %q; none, sum or mean is needed", mode)
	}
	ignore := c.node.Attr("ignore_index")
	outShape := want
	if mode != "none" {
		outShape = nil
	}
	out, err := c.output(0, c.in[0].Type, outShape...)
	if err != nil {
		return err
	}
	y := data[T](out)
	inner := product(shape[2:])
	sum, total := 0.0, 0.0
	for i, t := range target {
		loss := 0.0
		if ignore == nil || t != ignore.Int {
			if t < 0 || t >= int64(shape[1]) {
				return fmt.Errorf("target %d is class %d of %d", i, t, shape[1])
			}
			w := float64(weight[t])
			loss = -w * float64(logp[(i/inner*shape[1]+int(t))*inner+i%inner])
			total += w
		}
		if mode == "none" {
			y[i] = T(loss)
		}
		sum += loss
	}
	switch mode {
	case "sum":
		y[0] = T(sum)
	case "mean":
		y[0] = T(sum / total)
	}
	return nil
}
