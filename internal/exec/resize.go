package exec

import (
	"fmt"
	"math"
	"slices"

	"github.com/litekit/lite/onnx"
)

func resizeOps() map[string]operator {
	return map[string]operator{"Resize": {run: resize, inputs: 1}, "Upsample": {run: resize, inputs: 1}}
}

// resizing is what one call of resize works with; the slices have an entry for each dimension.
type resizing struct {
	mode, coords, nearest string
	scales                []float64
	sizes                 []int
	lo, hi                []float64 // the region of interest
	antialias, exclude    bool
	cubicA                float64
	fill                  float64
	simple                bool // Upsample and Resize 10
}

// resize is Resize (opset 10, 11, 13, 18, 19) and its predecessor Upsample
// (7, 9): sampling along each axis by nearest, linear or cubic interpolation.
// Before opset 11 the input has no region of interest, coordinates are
// asymmetric and nearest rounds down (up where it shrinks). From 18 there are
// axes, antialias and keep_aspect_ratio_policy.
func resize(c *call) error {
	x := c.in[0]
	r := &resizing{mode: c.node.Str("mode", "nearest"), coords: c.node.Str("coordinate_transformation_mode", "half_pixel"),
		nearest: c.node.Str("nearest_mode", "round_prefer_floor"), antialias: c.node.Int("antialias", 0) != 0,
		exclude: c.node.Int("exclude_outside", 0) != 0, cubicA: float64(c.node.Float("cubic_coeff_a", -0.75)),
		fill: float64(c.node.Float("extrapolation_value", 0))}
	if c.opset < 11 || c.node.Op == "Upsample" {
		r.coords, r.simple = "asymmetric", true
	}
	if r.mode == "bilinear" && c.node.Op == "Upsample" {
		r.mode = "linear"
	}
	if err := r.check(); err != nil {
		return err
	}
	if err := r.measure(c); err != nil {
		return err
	}
	out, err := c.made(x.Type, r.sizes...)
	if err != nil {
		return err
	}
	c.out[0] = out
	if out.Len() == 0 {
		return nil
	}
	if x.Len() == 0 {
		return fmt.Errorf("a value of shape %v, which has no elements, cannot grow to %v", x.Shape, r.sizes)
	}
	if r.mode == "nearest" {
		return r.pick(c, x, out)
	}
	switch storage(x.Type) {
	case onnx.Float:
		return blend[float32](c, r, x, out)
	case onnx.Double:
		return blend[float64](c, r, x, out)
	case onnx.Int64:
		return blend[int64](c, r, x, out)
	case onnx.Int32:
		return blend[int32](c, r, x, out)
	case onnx.Uint8:
		return blend[uint8](c, r, x, out)
	case onnx.Int8:
		return blend[int8](c, r, x, out)
	}
	return errType(x.Type)
}

func (r *resizing) check() error {
	for _, a := range []struct {
		name, value string
		known       []string
	}{
		{"mode", r.mode, []string{"nearest", "linear", "cubic"}},
		{"coordinate_transformation_mode", r.coords, []string{"half_pixel", "half_pixel_symmetric", "pytorch_half_pixel",
			"align_corners", "asymmetric", "tf_half_pixel_for_nn", "tf_crop_and_resize"}},
		{"nearest_mode", r.nearest, []string{"round_prefer_floor", "round_prefer_ceil", "floor", "ceil"}},
	} {
		if !slices.Contains(a.known, a.value) {
			return fmt.Errorf("attribute %s is %q; one of %q is needed", a.name, a.value, a.known)
		}
	}
	return nil
}

// measure finds the scales, the output's dimensions and the region of interest.
func (r *resizing) measure(c *call) error {
	shape := c.in[0].Shape
	rank := len(shape)
	ax := make([]int, rank)
	for i := range ax {
		ax[i] = i
	}
	if a := c.node.Attr("axes"); a != nil {
		if _, err := axes(a.Ints, rank); err != nil {
			return err
		}
		ax = ax[:0]
		for _, v := range a.Ints {
			d, _ := axis(v, rank)
			ax = append(ax, d)
		}
	}
	r.scales, r.sizes = make([]float64, rank), slices.Clone(shape)
	r.lo, r.hi = make([]float64, rank), make([]float64, rank)
	fill(r.scales, 1)
	fill(r.hi, 1)
	scales, sizes, err := r.targets(c)
	if err != nil {
		return err
	}
	switch {
	case len(scales) == len(ax) && len(scales) > 0:
		for i, d := range ax {
			r.scales[d] = scales[i]
			if !(scales[i] > 0 && scales[i] <= maxExtent) || scales[i]*float64(shape[d]) > maxExtent {
				return fmt.Errorf("scales %v for shape %v", scales, shape)
			}
			r.sizes[d] = int(math.Floor(scales[i] * float64(shape[d])))
		}
	case len(sizes) == len(ax) && len(sizes) > 0:
		if err := r.fit(c, ax, sizes, shape); err != nil {
			return err
		}
	default:
		return fmt.Errorf("scales %v and sizes %v do not fit %d axes of shape %v", scales, sizes, len(ax), shape)
	}
	if r.coords != "tf_crop_and_resize" {
		return nil
	}
	roi, err := c.numbers(1)
	if err != nil {
		return err
	}
	if len(roi) != 2*len(ax) {
		return fmt.Errorf("a region of interest of %d numbers; %d are needed for %d axes", len(roi), 2*len(ax), len(ax))
	}
	for i, d := range ax {
		r.lo[d], r.hi[d] = roi[i], roi[len(ax)+i]
	}
	return nil
}

// targets reads scales and sizes, of which one is given.
func (r *resizing) targets(c *call) (scales []float64, sizes []int, err error) {
	if r.simple {
		if a := c.node.Attr("scales"); a != nil {
			return converted[float64](a.Floats), nil, nil
		}
		scales, err = c.numbers(1)
		return scales, nil, err
	}
	if scales, err = c.numbers(2); err != nil {
		return nil, nil, err
	}
	if c.arg(3) != nil && len(scales) == 0 {
		sizes, err = c.dims(3)
	}
	return scales, sizes, err
}

// fit takes sizes as they are, or keeps the proportions within or around them.
func (r *resizing) fit(c *call, ax, sizes, shape []int) error {
	policy := c.node.Str("keep_aspect_ratio_policy", "stretch")
	common := math.NaN()
	for i, d := range ax {
		s := float64(sizes[i]) / float64(max(shape[d], 1))
		r.scales[d], r.sizes[d] = s, sizes[i]
		if math.IsNaN(common) || policy == "not_larger" && s < common || policy == "not_smaller" && s > common {
			common = s
		}
	}
	switch policy {
	case "stretch":
		return nil
	case "not_larger", "not_smaller":
	default:
		return fmt.Errorf("attribute keep_aspect_ratio_policy is %q; stretch, not_larger or not_smaller is needed", policy)
	}
	for _, d := range ax {
		v := math.Floor(common*float64(shape[d]) + 0.5)
		if v > maxExtent {
			return fmt.Errorf("sizes %v for shape %v", sizes, shape)
		}
		r.scales[d], r.sizes[d] = common, int(v)
	}
	return nil
}

// numbers returns input i, real numbers, nil where it is omitted.
func (c *call) numbers(i int) ([]float64, error) {
	t := c.arg(i)
	if t == nil {
		return nil, nil
	}
	switch storage(t.Type) {
	case onnx.Float:
		return converted[float64](t.F32), nil
	case onnx.Double:
		return t.F64, nil
	}
	return nil, fmt.Errorf("input %d is %s; real numbers are needed", i, typeName(t.Type))
}

// source is the position in dimension d of the input, of n elements, that
// output position i reads; ok is false outside the region of interest. It is
// computed in float32 as ONNX Runtime does: with scales such as 0.6, which of
// two neighbours is the nearest depends on the rounding.
func (r *resizing) source(d, n, i int) (position float64, ok bool) {
	scale, x, m := float32(r.scales[d]), float32(i), r.sizes[d]
	width := scale * float32(n)
	last := float32(n - 1)
	var at float32
	switch r.coords {
	case "half_pixel":
		at = (x+0.5)/scale - 0.5
	case "half_pixel_symmetric":
		offset := float32(n) / 2 * (1 - float32(m)/width)
		at = offset + (x+0.5)/scale - 0.5
	case "pytorch_half_pixel":
		at = -0.5
		if m > 1 {
			at = (x+0.5)/scale - 0.5
		}
	case "align_corners":
		if m > 1 && width != 1 {
			at = x * last / (width - 1)
		}
	case "tf_half_pixel_for_nn":
		at = (x + 0.5) / scale
	case "tf_crop_and_resize":
		lo, hi := float32(r.lo[d]), float32(r.hi[d])
		at = (hi - lo) * last / 2
		if m > 1 {
			at = x * (hi - lo) * last / (width - 1)
		}
		at += lo * last
		return float64(at), at >= 0 && at <= last
	default:
		at = x / scale
	}
	return float64(at), true
}

// idle reports whether dimension d is the same before and after.
func (r *resizing) idle(d, n int) bool {
	return r.sizes[d] == n && r.scales[d] == 1 && r.coords != "tf_crop_and_resize" && r.coords != "tf_half_pixel_for_nn"
}

// pick is resizing in mode nearest, for any type of element.
func (r *resizing) pick(c *call, x, out *Tensor) error {
	rank := len(x.Shape)
	from := make([][]int, rank) // for each output position, the offset in the input or -1
	for d, s := range strides(x.Shape) {
		n := x.Shape[d]
		from[d] = make([]int, r.sizes[d])
		for i := range from[d] {
			at, ok := r.source(d, n, i)
			if !ok {
				from[d][i] = -1
				continue
			}
			from[d][i] = s * int(min(max(r.round(at, r.scales[d]), 0), float64(n-1)))
		}
	}
	outside := zeroOf(x.Type)
	if r.coords == "tf_crop_and_resize" && r.fill != 0 {
		var err error
		f, err := c.cast(Floats([]float32{float32(r.fill)}), x.Type)
		if err != nil {
			return err
		}
		outside = f
	}
	dst, src, empty := out, x, outside
	if rank == 0 {
		dst.blit(0, src, 0, 1, 1)
		return nil
	}
	last := r.sizes[rank-1]
	lead := r.sizes[:rank-1]
	c.parallel(product(lead), max(1, grain/8/last), func(lo, hi int) {
		for row := lo; row < hi; row++ {
			base, rest, bad := 0, row, false
			for d := rank - 2; d >= 0; d-- {
				f := from[d][rest%lead[d]]
				rest /= lead[d]
				base, bad = base+f, bad || f < 0
			}
			for i, f := range from[rank-1] {
				if bad || f < 0 {
					dst.blit(row*last+i, empty, 0, 1, 1)
				} else {
					dst.blit(row*last+i, src, base+f, 1, 1)
				}
			}
		}
	})
	return nil
}

func (r *resizing) round(at, scale float64) float64 {
	if r.simple {
		if scale < 1 {
			return math.Ceil(at)
		}
		return math.Floor(at)
	}
	switch r.nearest {
	case "round_prefer_ceil":
		return math.Floor(at + 0.5)
	case "floor":
		return math.Floor(at)
	case "ceil":
		return math.Ceil(at)
	}
	return math.Ceil(at - 0.5)
}

// sample is a weighted sum of input positions: first, first+1, …, each moved
// into the input. No weights: outside the region of interest.
type sample struct {
	first   int
	weights []float64
}

// samples computes how each output position along d is made of n input positions.
func (r *resizing) samples(d, n int) []sample {
	out := make([]sample, r.sizes[d])
	for i := range out {
		at, ok := r.source(d, n, i)
		if !ok {
			continue
		}
		// The ratio is in (0, 1]: the neighbour to the left is preferred.
		base := math.Ceil(at) - 1
		first, w := r.kernel(at-base, r.scales[d])
		s := sample{int(base) + first, w}
		if r.exclude {
			sum := 0.0
			for j := range w {
				if p := s.first + j; p < 0 || p >= n {
					w[j] = 0
				}
				sum += w[j]
			}
			for j := range w {
				w[j] /= sum
			}
		}
		out[i] = s
	}
	return out
}

// kernel returns the weights of the neighbours of a position that lies ratio
// to the right of one of them, the first being that one plus first.
func (r *resizing) kernel(ratio, scale float64) (first int, w []float64) {
	support := 1.0
	f := func(x float64) float64 { return max(0, 1-math.Abs(x)) }
	if r.mode == "cubic" {
		a := r.cubicA
		support = 2
		f = func(x float64) float64 {
			x = math.Abs(x)
			switch {
			case x <= 1:
				return ((a+2)*x-(a+3))*x*x + 1
			case x < 2:
				return ((a*x-5*a)*x+8*a)*x - 4*a
			}
			return 0
		}
	}
	if !r.antialias {
		scale = 1
	}
	scale = max(min(scale, 1), 1.0/(1<<20))
	first = int(math.Floor(-support/scale)) + 1
	w = make([]float64, 2-2*first)
	sum := 0.0
	for i := range w {
		w[i] = f((float64(first+i) - ratio) * scale)
		sum += w[i]
	}
	if r.antialias {
		for i := range w {
			w[i] /= sum
		}
	}
	return first, w
}

// blend resizes one axis after another, in float64; integers are cut off at
// the limits of their type and rounded towards zero.
func blend[T number](c *call, r *resizing, x, out *Tensor) error {
	cur, err := c.new(onnx.Double, x.Shape...)
	if err != nil {
		return err
	}
	convert(cur.F64, data[T](x.as(storage(x.Type))))
	for d, n := range x.Shape {
		if r.idle(d, n) {
			continue
		}
		shape := slices.Clone(cur.Shape)
		shape[d] = r.sizes[d]
		next, err := c.new(onnx.Double, shape...)
		if err != nil {
			c.mem.release(cur)
			return err
		}
		r.along(c, d, next, cur)
		c.mem.release(cur)
		cur = next
	}
	defer c.mem.release(cur)
	dst := data[T](out.as(storage(out.Type)))
	lo, hi := math.Inf(-1), math.Inf(1)
	if s := storage(out.Type); s != onnx.Float && s != onnx.Double {
		a, b := bounds(out.Type)
		lo, hi = float64(a), float64(b)
	}
	c.parallel(len(dst), grain, func(from, to int) {
		for i, v := range cur.F64[from:to] {
			dst[from+i] = T(min(max(v, lo), hi))
		}
	})
	return nil
}

// along resizes axis d of src into dst.
func (r *resizing) along(c *call, d int, dst, src *Tensor) {
	n, m, inner := src.Shape[d], dst.Shape[d], product(src.Shape[d+1:])
	plan := r.samples(d, n)
	c.parallel(product(src.Shape[:d])*m, max(1, grain/8/max(inner, 1)), func(lo, hi int) {
		for i := lo; i < hi && !c.stopped(); i++ {
			y, from := dst.F64[i*inner:(i+1)*inner], src.F64[i/m*n*inner:(i/m+1)*n*inner]
			s := plan[i%m]
			if s.weights == nil {
				fill(y, r.fill)
				continue
			}
			clear(y)
			for j, w := range s.weights {
				if w == 0 {
					continue
				}
				p := min(max(s.first+j, 0), n-1)
				for k, v := range from[p*inner : (p+1)*inner] {
					y[k] += w * v
				}
			}
		}
	})
}
