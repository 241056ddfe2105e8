package exec

import "fmt"

func rearrangeOps() map[string]operator {
	return map[string]operator{
		"DepthToSpace": {run: depthToSpace, inputs: 1}, "SpaceToDepth": {run: spaceToDepth, inputs: 1},
	}
}

// blockSize reads the attribute blocksize of an image operator.
func (c *call) blockSize() (int, error) {
	if len(c.in[0].Shape) != 4 {
		return 0, fmt.Errorf("input 0 has shape %v; four dimensions are needed", c.in[0].Shape)
	}
	b := c.node.Int("blocksize", 0)
	if b < 1 || b > 1<<15 {
		return 0, fmt.Errorf("attribute blocksize is %d", b)
	}
	return int(b), nil
}

// depthToSpace is DepthToSpace (opset 1, 11, 13): channels become blocks of
// pixels, the block index being the slower part of the channel (mode DCR) or
// the faster one (CRD, opset 11).
func depthToSpace(c *call) error {
	b, err := c.blockSize()
	if err != nil {
		return err
	}
	s := c.in[0].Shape
	if s[1]%(b*b) != 0 {
		return fmt.Errorf("%d channels do not make blocks of %d by %d", s[1], b, b)
	}
	ch := s[1] / (b * b)
	out := []int{s[0], ch, s[2] * b, s[3] * b}
	switch mode := c.node.Str("mode", "DCR"); mode {
	case "DCR":
		return c.permute(out, []int{s[0], b, b, ch, s[2], s[3]}, []int{0, 3, 4, 1, 5, 2})
	case "CRD":
		return c.permute(out, []int{s[0], ch, b, b, s[2], s[3]}, []int{0, 1, 4, 2, 5, 3})
	default:
		return fmt.Errorf("attribute mode is %q; DCR or CRD is needed", mode)
	}
}

// spaceToDepth is SpaceToDepth (opset 1, 13): blocks of pixels become channels.
func spaceToDepth(c *call) error {
	b, err := c.blockSize()
	if err != nil {
		return err
	}
	s := c.in[0].Shape
	if s[2]%b != 0 || s[3]%b != 0 {
		return fmt.Errorf("an image of %d by %d is not made of blocks of %d", s[2], s[3], b)
	}
	h, w := s[2]/b, s[3]/b
	return c.permute([]int{s[0], s[1] * b * b, h, w}, []int{s[0], s[1], h, b, w, b}, []int{0, 3, 5, 1, 2, 4})
}

// permute makes output 0 of the given shape: input 0, seen as dims, transposed.
func (c *call) permute(shape, dims, perm []int) error {
	x := c.in[0]
	out, err := c.output(0, x.Type, shape...)
	if err != nil {
		return err
	}
	own := strides(dims)
	to, at := make([]int, len(dims)), make([]int, len(dims))
	for i, p := range perm {
		to[i], at[i] = dims[p], own[p]
	}
	copyStrided(out, 0, x, 0, to, at)
	return nil
}

// padFrom tells for n positions after before added ones (and followed by
// after) which of the n each repeats: the nearest (edge), the mirror image
// without the border (reflect) or the periodic one (wrap).
func padFrom(mode string, n, before, after int) []int {
	out := make([]int, max(0, before)+n+max(0, after))
	for i := range out {
		p := i - max(0, before)
		switch {
		case mode == "edge" || n == 1:
			p = min(max(p, 0), n-1)
		case mode == "wrap":
			p = (p%n + n) % n
		default:
			period := 2 * (n - 1)
			p = (p%period + period) % period
			p = min(p, period-p)
		}
		out[i] = p
	}
	return out
}

// padMapped fills out with elements of the box core of x, which begins at
// from, and its continuation over the border.
func (c *call) padMapped(mode string, out, x *Tensor, from int, core, before, after []int) error {
	if out.Len() == 0 {
		return nil
	}
	rank := len(core)
	maps := make([][]int, rank)
	for d, s := range strides(x.Shape) {
		if core[d] == 0 {
			return fmt.Errorf("mode %s needs an element to repeat; dimension %d of shape %v has none", mode, d, x.Shape)
		}
		maps[d] = padFrom(mode, core[d], before[d], after[d])
		for i := range maps[d] {
			maps[d][i] *= s
		}
	}
	dst, src := out, x
	if rank == 0 {
		dst.blit(0, src, from, 1, 1)
		return nil
	}
	last := len(maps[rank-1])
	c.parallel(out.Len()/last, max(1, grain/8/last), func(lo, hi int) {
		for row := lo; row < hi; row++ {
			base, rest := from, row
			for d := rank - 2; d >= 0; d-- {
				base += maps[d][rest%len(maps[d])]
				rest /= len(maps[d])
			}
			for i, p := range maps[rank-1] {
				dst.blit(row*last+i, src, base+p, 1, 1)
			}
		}
	})
	return nil
}
