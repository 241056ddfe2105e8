package exec

import (
	"fmt"
	"math"
	"slices"
)

func visionOps() map[string]operator {
	return map[string]operator{
		"GridSample": {run: byReal(gridSample[float32], gridSample[float64]), inputs: 2},
		"AffineGrid": {run: byReal(affineGrid[float32], affineGrid[float64]), inputs: 2},
		"RoiAlign":   {run: byReal(roiAlign[float32], roiAlign[float64]), inputs: 3},
		"DeformConv": {run: byReal(deformConv[float32], deformConv[float64]), inputs: 3},
	}
}

// tap is one input position along a dimension and its weight; at is -1 outside the input.
type tap struct {
	at     int
	weight float64
}

// sampler is how gridSample reads one dimension.
type sampler struct {
	mode, padding string
	aligned       bool
}

// taps are the input positions, of n, that the normalised coordinate v in
// [-1, 1] is made of.
func (s sampler) taps(buf []tap, v float64, n int) []tap {
	x := ((v+1)*float64(n) - 1) / 2
	lo, hi := -0.5, float64(n)-0.5
	if s.aligned {
		x = (v + 1) / 2 * float64(n-1)
		lo, hi = 0, float64(n-1)
	}
	const far = 1 << 40 // what lies further is as far outside
	if !(math.Abs(x) < far) {
		x = math.Copysign(far, x)
	}
	if s.mode == "nearest" {
		x = math.RoundToEven(x)
	}
	if x < lo || x > hi {
		switch s.padding {
		case "border":
			x = min(max(x, 0), float64(n-1))
		case "reflection":
			x = reflect(x, lo, hi)
		}
	}
	base := math.Floor(x)
	t := x - base
	add := func(off int, w float64) { buf = append(buf, tap{s.inside(int(base)+off, n, lo, hi), w}) }
	switch s.mode {
	case "nearest":
		add(0, 1)
	case "linear":
		add(0, 1-t)
		add(1, t)
	default:
		const a = -0.75
		far := func(x float64) float64 { return ((a*x-5*a)*x+8*a)*x - 4*a }
		near := func(x float64) float64 { return ((a+2)*x-(a+3))*x*x + 1 }
		add(-1, far(t+1))
		add(0, near(t))
		add(1, near(1-t))
		add(2, far(2-t))
	}
	return buf
}

// inside brings a position into the input, or returns -1.
func (s sampler) inside(i, n int, lo, hi float64) int {
	if i >= 0 && i < n {
		return i
	}
	switch s.padding {
	case "border":
		return min(max(i, 0), n-1)
	case "reflection":
		return min(max(int(reflect(float64(i), lo, hi)), 0), n-1)
	}
	return -1
}

// reflect mirrors x at lo and hi until it lies between.
func reflect(x, lo, hi float64) float64 {
	width := hi - lo
	if width <= 0 {
		return lo
	}
	d, up := lo-x, true
	if x > hi {
		d, up = x-hi, false
	} else if x >= lo {
		return x
	}
	turns := math.Floor(d / width)
	rest := d - turns*width
	if (math.Mod(turns, 2) == 0) == up {
		return lo + rest
	}
	return hi - rest
}

// gridSample is GridSample (opset 16, 20, 22): the input [N, C, d…] read at
// the positions of the grid [N, o…, rank], normalised to [-1, 1] and with the
// last dimension first, by nearest, linear or cubic interpolation.
func gridSample[T real](c *call) error {
	x, grid := c.in[0], c.in[1]
	rank := len(x.Shape) - 2
	if rank < 1 || len(grid.Shape) != len(x.Shape) || grid.Shape[rank+1] != rank || grid.Shape[0] != x.Shape[0] {
		return fmt.Errorf("an input of shape %v and a grid of shape %v do not fit", x.Shape, grid.Shape)
	}
	at, err := c.numbers(1)
	if err != nil {
		return err
	}
	names := map[string]string{"bilinear": "linear", "linear": "linear", "nearest": "nearest", "bicubic": "cubic", "cubic": "cubic"}
	s := sampler{mode: names[c.node.Str("mode", "linear")], padding: c.node.Str("padding_mode", "zeros"), aligned: c.node.Int("align_corners", 0) != 0}
	if s.mode == "" || !slices.Contains([]string{"zeros", "border", "reflection"}, s.padding) {
		return fmt.Errorf("attributes mode %q and padding_mode %q; linear, nearest or cubic and zeros, border or reflection are needed", c.node.Str("mode", ""), s.padding)
	}
	dims := x.Shape[2:]
	out, err := c.output(0, x.Type, slices.Concat(x.Shape[:2], grid.Shape[1:rank+1])...)
	if err != nil || out.Len() == 0 {
		return err
	}
	src, dst := data[T](x), data[T](out)
	size, points, ch := product(dims), product(grid.Shape[1:rank+1]), x.Shape[1]
	if size == 0 {
		return fmt.Errorf("an input of shape %v has nothing to read", x.Shape)
	}
	c.parallel(x.Shape[0]*points, max(1, grain/32/ch), func(lo, hi int) {
		taps := make([][]tap, rank)
		for p := lo; p < hi; p++ {
			for d := range rank {
				taps[d] = s.taps(taps[d][:0], at[p*rank+rank-1-d], dims[d])
			}
			n := p / points
			for k := range ch {
				dst[(n*ch+k)*points+p%points] = T(gather1(src[(n*ch+k)*size:(n*ch+k+1)*size], dims, taps))
			}
		}
	})
	return nil
}

// gather1 is the weighted sum of the elements that the taps of all dimensions name together.
func gather1[T real](src []T, dims []int, taps [][]tap) float64 {
	if len(dims) == 0 {
		return float64(src[0])
	}
	inner, sum := len(src)/dims[0], 0.0
	for _, t := range taps[0] {
		if t.at >= 0 && t.weight != 0 {
			sum += t.weight * gather1(src[t.at*inner:(t.at+1)*inner], dims[1:], taps[1:])
		}
	}
	return sum
}

// affineGrid is AffineGrid (opset 20): for each position of an image of size
// [N, C, d…] (two or three spatial dimensions), theta [N, rank, rank+1] times
// its normalised coordinates, for gridSample.
func affineGrid[T real](c *call) error {
	theta := c.in[0]
	size, err := c.dims(1)
	if err != nil {
		return err
	}
	rank := len(size) - 2
	if rank != 2 && rank != 3 || !sameShape(theta.Shape, []int{size[0], rank, rank + 1}) {
		return fmt.Errorf("theta of shape %v and size %v do not fit", theta.Shape, size)
	}
	dims := size[2:]
	out, err := c.invent(0, theta.Type, slices.Concat(size[:1], dims, []int{rank})...)
	if err != nil {
		return err
	}
	aligned := c.node.Int("align_corners", 0) != 0
	src, dst, points := data[T](theta), data[T](out), product(dims)
	pos := make([]float64, rank+1)
	pos[rank] = 1
	for p := range size[0] * points {
		rest := p % points
		for d := rank - 1; d >= 0; d-- {
			i, n := float64(rest%dims[d]), float64(dims[d])
			rest /= dims[d]
			v := (2*i+1)/n - 1
			if aligned {
				v = 0
				if n > 1 {
					v = 2*i/(n-1) - 1
				}
			}
			pos[rank-1-d] = v
		}
		for r := range rank {
			sum := 0.0
			for k, v := range pos {
				sum += float64(src[(p/points*rank+r)*(rank+1)+k]) * v
			}
			dst[p*rank+r] = T(sum)
		}
	}
	return nil
}

// roiAlign is RoiAlign (opset 10, 16, 22): every region of interest [x1, y1,
// x2, y2] of an image is cut into output_height × output_width bins, each the
// mean or the maximum of bilinear samples. Before opset 16 coordinates are not
// shifted by half a pixel.
func roiAlign[T real](c *call) error {
	x, rois := c.in[0], c.in[1]
	if len(x.Shape) != 4 || len(rois.Shape) != 2 || rois.Shape[1] != 4 {
		return fmt.Errorf("an input of shape %v and regions of shape %v; four dimensions and [regions 4] are needed", x.Shape, rois.Shape)
	}
	boxes, err := typed[T](c, 1)
	if err != nil {
		return err
	}
	batch, err := c.ints(2)
	if err != nil {
		return err
	}
	oh, ow, ratio := c.node.Int("output_height", 1), c.node.Int("output_width", 1), c.node.Int("sampling_ratio", 0)
	mode := c.node.Str("mode", "avg")
	if len(batch) != rois.Shape[0] || oh < 1 || ow < 1 || max(oh, ow) > maxExtent || ratio < 0 || mode != "avg" && mode != "max" {
		return fmt.Errorf("%d batch indices for %d regions, output %d by %d, sampling_ratio %d, mode %q", len(batch), rois.Shape[0], oh, ow, ratio, mode)
	}
	def := "half_pixel"
	if c.opset < 16 {
		def = "output_half_pixel"
	}
	half := c.node.Str("coordinate_transformation_mode", def) == "half_pixel"
	scale := float64(c.node.Float("spatial_scale", 1))
	out, err := c.invent(0, x.Type, rois.Shape[0], x.Shape[1], int(oh), int(ow))
	if err != nil || out.Len() == 0 {
		return err
	}
	src, dst, size := data[T](x), data[T](out), x.Shape[2]*x.Shape[3]
	for i, b := range batch {
		if b < 0 || b >= int64(x.Shape[0]) {
			return fmt.Errorf("region %d is in image %d of %d", i, b, x.Shape[0])
		}
		box := boxes[4*i : 4*i+4]
		cols, err := roiSamples(float64(box[0])*scale, float64(box[2])*scale, int(ow), int(ratio), x.Shape[3], half)
		if err != nil {
			return err
		}
		rows, err := roiSamples(float64(box[1])*scale, float64(box[3])*scale, int(oh), int(ratio), x.Shape[2], half)
		if err != nil {
			return err
		}
		for k := range x.Shape[1] {
			at := (int(b)*x.Shape[1] + k) * size
			to := dst[(i*x.Shape[1]+k)*int(oh*ow):]
			for p := range int(oh * ow) {
				to[p] = T(roiBin(src[at:at+size], x.Shape[3], rows[p/int(ow)], cols[p%int(ow)], mode == "max"))
			}
		}
	}
	return nil
}

// roiSamples are, for each of bins between two coordinates, the pairs of taps
// of its samples along a dimension of n; a sample outside has none.
func roiSamples(from, to float64, bins, ratio, n int, half bool) ([][][2]tap, error) {
	if half {
		from, to = from-0.5, to-0.5
	}
	length := to - from
	if !half {
		length = max(length, 1)
	}
	per := float64(ratio)
	if ratio == 0 {
		per = math.Ceil(length / float64(bins))
	}
	if limit := float64(1 << 22); !(per <= 1<<12 && per*float64(bins) <= limit) {
		return nil, fmt.Errorf("a region of %v elements in %d bins needs %v samples each; the limit is %d, and %v in all", length, bins, per, 1<<12, limit)
	}
	out := make([][][2]tap, bins)
	for b := range out {
		for i := range int(max(per, 0)) {
			v := from + length/float64(bins)*(float64(b)+(float64(i)+0.5)/per)
			if !(v >= -1 && v <= float64(n)) || n == 0 {
				out[b] = append(out[b], [2]tap{{-1, 0}, {-1, 0}})
				continue
			}
			v = max(v, 0)
			low := int(v)
			high := low + 1
			if low >= n-1 {
				low, high, v = n-1, n-1, float64(n-1)
			}
			t := v - float64(low)
			out[b] = append(out[b], [2]tap{{low, 1 - t}, {high, t}})
		}
	}
	return out, nil
}

// roiBin is the mean of the samples, or the largest weighted element of them.
func roiBin[T real](src []T, width int, rows, cols [][2]tap, largest bool) float64 {
	sum, top := 0.0, math.Inf(-1)
	for _, r := range rows {
		for _, q := range cols {
			for _, y := range r {
				for _, x := range q {
					v := 0.0
					if y.at >= 0 && x.at >= 0 {
						v = y.weight * x.weight * float64(src[y.at*width+x.at])
					}
					sum += v
					top = max(top, v)
				}
			}
		}
	}
	n := len(rows) * len(cols)
	switch {
	case n == 0:
		return 0
	case largest:
		return top
	}
	return sum / float64(n)
}

// deformConv is DeformConv (opset 19, 22) over two spatial dimensions: a
// convolution whose taps are moved by offsets [N, groups·kernel·2, o…] (rows
// first), read by bilinear interpolation with zeros outside, and scaled by an
// optional mask [N, groups·kernel, o…]. Inputs: X, W, offset, bias, mask.
func deformConv[T real](c *call) error {
	x, weights := c.in[0], c.in[1]
	if len(x.Shape) != 4 || len(weights.Shape) != 4 {
		return fmt.Errorf("an input of shape %v and weights of shape %v; two spatial dimensions are supported: %w", x.Shape, weights.Shape, ErrType)
	}
	n, ch, m := x.Shape[0], x.Shape[1], weights.Shape[0]
	g, err := c.groups(ch)
	if err != nil {
		return err
	}
	og := int(min(c.node.Int("offset_group", 1), 1<<31))
	if m%g != 0 || weights.Shape[1]*g != ch || og < 1 || ch%og != 0 {
		return fmt.Errorf("weights of shape %v and %d offset groups do not fit %d channels in %d groups", weights.Shape, og, ch, g)
	}
	w, err := c.newWindow(x.Shape[2:], weights.Shape[2:])
	if err != nil {
		return err
	}
	if err := w.slide(c, false); err != nil {
		return err
	}
	k, p := w.kernelSize, w.outVolume
	wt, err := typed[T](c, 1)
	if err != nil {
		return err
	}
	offset, err := shaped[T](c, 2, []int{n, og * k * 2, w.out[1], w.out[2]})
	if err != nil {
		return err
	}
	mask, err := shaped[T](c, 4, []int{n, og * k, w.out[1], w.out[2]})
	if err != nil {
		return err
	}
	bias, err := channels[T](c, 3, m, 0)
	if err != nil {
		return err
	}
	out, err := c.invent(0, x.Type, n, m, w.out[1], w.out[2])
	if err != nil || out.Len() == 0 {
		return err
	}
	col, err := c.new(x.Type, ch*k, p)
	if err != nil {
		return err
	}
	defer c.mem.release(col)
	src, dst, cols := data[T](x), data[T](out), data[T](col)
	for i := range n * m {
		fill(dst[i*p:(i+1)*p], bias[i%m])
	}
	rows, mg := ch/g*k, m/g
	for i := range n {
		c.parallel(ch, 1, func(lo, hi int) {
			for q := lo; q < hi; q++ {
				group := i*og + q/(ch/og)
				var own []T
				if mask != nil {
					own = mask[group*k*p : (group+1)*k*p]
				}
				deform(w, cols[q*k*p:(q+1)*k*p], src[(i*ch+q)*w.inSize:(i*ch+q+1)*w.inSize], offset[group*k*2*p:(group+1)*k*2*p], own)
			}
		})
		for j := range g {
			gemmOf(c.mem.done, false, mg, p, rows, wt[j*mg*rows:(j+1)*mg*rows], cols[j*rows*p:(j+1)*rows*p], 1, dst[(i*g+j)*mg*p:(i*g+j+1)*mg*p])
		}
	}
	return nil
}

// deform is unfold with moved taps.
func deform[T real](w *sliding, dst, src, offset, mask []T) {
	p := w.outVolume
	read := func(y, x int) float64 {
		if y < 0 || x < 0 || y >= w.in[1] || x >= w.in[2] {
			return 0
		}
		return float64(src[y*w.in[2]+x])
	}
	for k := range w.kernelSize {
		ky, kx := k/w.kernel[2], k%w.kernel[2]
		for o := range p {
			y := float64(o/w.out[2]*w.stride[1]-w.before[1]+ky*w.dilation[1]) + float64(offset[2*k*p+o])
			x := float64(o%w.out[2]*w.stride[2]-w.before[2]+kx*w.dilation[2]) + float64(offset[(2*k+1)*p+o])
			v := 0.0
			if y > -1 && x > -1 && y < float64(w.in[1]) && x < float64(w.in[2]) {
				y0, x0 := math.Floor(y), math.Floor(x)
				ty, tx, iy, ix := y-y0, x-x0, int(y0), int(x0)
				v = (1-ty)*((1-tx)*read(iy, ix)+tx*read(iy, ix+1)) + ty*((1-tx)*read(iy+1, ix)+tx*read(iy+1, ix+1))
			}
			if mask != nil {
				v *= float64(mask[k*p+o])
			}
			dst[k*p+o] = T(v)
		}
	}
}
