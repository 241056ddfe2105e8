package onnx

import (
	"fmt"
	"math"
	"slices"
)

// windowFamily holds operators of images and sequences: a kernel that slides,
// and what changes their size.
func windowFamily() family {
	return family{
		schemas: `
			Conv 1 T:f,T,T?>T auto_pad:s dilations:I group:i kernel_shape:I pads:I strides:I
			ConvTranspose 1 T:f,T,T?>T auto_pad:s dilations:I group:i kernel_shape:I output_padding:I output_shape:I pads:I strides:I
			DeformConv 19 T:f,T,T,T?,T?>T dilations:I group:i kernel_shape:I offset_group:i pads:I strides:I
			ConvInteger 10 b8,b8,b8?,b8?>i32 auto_pad:s dilations:I group:i kernel_shape:I pads:I strides:I
			QLinearConv 10 X:b8,f32,X,W:b8,f32,W,Y:b8,f32,Y,i32?>Y auto_pad:s dilations:I group:i kernel_shape:I pads:I strides:I
			MaxPool 1 T:n>T,i64? auto_pad:s ceil_mode:i dilations:I kernel_shape:I! pads:I storage_order:i strides:I
			AveragePool 1 T:f>T auto_pad:s ceil_mode:i count_include_pad:i dilations:I kernel_shape:I! pads:I strides:I
			LpPool 2 T:f>T auto_pad:s ceil_mode:i dilations:I kernel_shape:I! p:i pads:I strides:I
			MaxUnpool 9 T:f,i64,i64?>T kernel_shape:I! pads:I strides:I
			GlobalAveragePool|GlobalMaxPool 1 T:f>T
			GlobalLpPool 2 T:f>T p:i
			Resize 10 T:n,f32>T mode:s
			Resize 11 T:n,f?,f32?,i64?>T coordinate_transformation_mode:s cubic_coeff_a:f exclude_outside:i extrapolation_value:f mode:s nearest_mode:s
			Upsample 7 T>T mode:s scales:F!
			Upsample 9 T,f32>T mode:s
			Upsample 10 -
			GridSample 16 T,U:f>T align_corners:i mode:s padding_mode:s
			AffineGrid 20 T:f,i64>T align_corners:i
			RoiAlign 10 T:f,T,i64>T mode:s output_height:i output_width:i sampling_ratio:i spatial_scale:f
			MaxRoiPool 1 T:f,T>T pooled_shape:I! spatial_scale:f
			Col2Im 18 T,i64,i64>T dilations:I pads:I strides:I
		`,
		infer: map[string]func(*call){
			"Conv": func(c *call) { c.conv(0, 1, 2) }, "ConvInteger": func(c *call) { c.conv(0, 1, -1) }, "QLinearConv": func(c *call) { c.conv(0, 3, 8) },
			"ConvTranspose": convTransposeRule, "DeformConv": func(c *call) { c.conv(0, 1, 3) },
			"MaxPool": poolRule, "AveragePool": poolRule, "LpPool": poolRule, "MaxUnpool": maxUnpoolRule,
			"GlobalAveragePool": globalPoolRule, "GlobalMaxPool": globalPoolRule, "GlobalLpPool": globalPoolRule,
			"Resize": resizeRule, "Upsample": resizeRule, "GridSample": gridSampleRule, "AffineGrid": affineGridRule, "RoiAlign": roiAlignRule, "Col2Im": col2ImRule,
		},
	}
}

// window is how a kernel slides, one entry for each spatial axis.
type window struct {
	kernel                     []Size
	stride, dilation, from, to []int64
	mode                       string
}

// maxExtent bounds what attributes may say, so that sums of a few do not overflow.
const maxExtent = 1 << 31

// window reads the attributes of a kernel over n spatial axes; not ok where one is wrong.
func (c *call) window(n, input int) (w window, ok bool) {
	w.mode = c.choice("auto_pad", "NOTSET", "NOTSET", "", "SAME_UPPER", "SAME_LOWER", "VALID")
	w.stride, w.dilation = slices.Repeat([]int64{1}, n), slices.Repeat([]int64{1}, n)
	w.from, w.to = make([]int64, n), make([]int64, n)
	for name, dst := range map[string]*[]int64{"strides": &w.stride, "dilations": &w.dilation} {
		if l := c.list(name); len(l) > 0 {
			*dst = l
		}
	}
	if l := c.list("pads"); len(l) > 0 {
		if len(l) != 2*n {
			c.misfit(fmt.Sprintf("attribute pads has %d numbers", len(l)), fmt.Sprintf("give %d, two for each spatial axis", 2*n), input)
			return w, false
		}
		w.from, w.to = l[:n], l[n:]
	}
	for _, p := range []struct {
		name  string
		list  []int64
		least int64
	}{{"strides", w.stride, 1}, {"dilations", w.dilation, 1}, {"pads", w.from, 0}, {"pads", w.to, 0}} {
		if len(p.list) != n {
			c.misfit(fmt.Sprintf("attribute %s has %d numbers", p.name, len(p.list)), fmt.Sprintf("give %d, one for each spatial axis", n), input)
			return w, false
		}
		for _, v := range p.list {
			if v < p.least || v > maxExtent {
				c.misfit(fmt.Sprintf("attribute %s has the number %d", p.name, v), fmt.Sprintf("give numbers from %d", p.least), input)
				return w, false
			}
		}
	}
	return w, !c.bad
}

// slide is the length of the result along spatial axis i of an input of length d.
func (c *call) slide(w window, i int, d Size, input int) Size {
	stride := w.stride[i]
	k, ok := w.kernel[i].Number()
	switch w.mode {
	case "SAME_UPPER", "SAME_LOWER":
		return c.z.ceilDiv(d, stride)
	case "VALID":
		w.from, w.to = make([]int64, len(w.from)), make([]int64, len(w.to))
	}
	if !ok {
		return c.z.length()
	}
	extent, ok := times(k-1, w.dilation[i], true)
	if k < 1 || k > maxExtent || !ok || extent > maxExtent {
		c.complain(fmt.Sprintf("a kernel of %d along axis %d", k, i+2), "give numbers from 1")
		return Size{}
	}
	room := c.z.sum(d, SizeOf(w.from[i]+w.to[i]-extent-1), 1)
	if room.sym == 0 && room.n < 0 {
		c.misfit(fmt.Sprintf("a kernel that spans %d does not fit axis %d with pads %d and %d", extent+1, i+2, w.from[i], w.to[i]), "pad more, or give a longer input", input)
		return Size{}
	}
	if c.int("ceil_mode", 0) == 0 || stride == 1 {
		steps := c.z.divide(room, SizeOf(stride))
		if steps.sym != 0 && c.z.expr(steps).op != "" {
			c.z.expr(steps).wild = false // a run with less room fails here
		}
		return c.z.sum(steps, SizeOf(1), 1)
	}
	if room.sym != 0 {
		return c.z.length()
	}
	out := room.n/stride + 1
	// A window that is not full counts unless it starts in the end padding.
	if room.n%stride != 0 && out*stride < d.n+w.from[i] {
		out++
	}
	return SizeOf(out)
}

// conv checks input x against weights w and a bias, and gives the output its shape.
func (c *call) conv(xi, wi, bi int) {
	x, ok := c.dims(xi)
	w, ok2 := c.dims(wi)
	if !ok || !ok2 {
		return
	}
	if len(x) < 3 || len(w) != len(x) {
		c.misfit("the ranks do not fit", "input [N, C, lengths…] and weights [M, C/group, kernel…] have as many axes", xi, wi)
		return
	}
	group := c.int("group", 1)
	if group < 1 || group > maxExtent {
		c.complain(fmt.Sprintf("attribute group is %d", group), "set it to 1 or more")
		return
	}
	if !c.equal(x[1], c.z.product2(w[1], SizeOf(group)), "the channels of the input and those of the weights times group,", "give weights [M, C/group, kernel…]", xi, wi) ||
		!c.groups(w[0], group, wi) || !c.biasFits(bi, w[0], wi) {
		return
	}
	win, ok := c.window(len(x)-2, xi)
	if !ok || !c.kernel(&win, w[2:], wi) {
		return
	}
	out := []Size{x[0], w[0]}
	for i, d := range x[2:] {
		out = append(out, c.slide(win, i, d, xi))
	}
	if !c.bad {
		c.shape(0, out)
	}
}

func (c *call) groups(m Size, group int64, wi int) bool {
	if m.sym == 0 && m.n%group != 0 {
		c.misfit(fmt.Sprintf("%d output channels cannot be cut into %d groups", m.n, group), "their number must be a multiple of group", wi)
	}
	return !c.bad
}

func (c *call) biasFits(bi int, m Size, wi int) bool {
	b, ok := c.dims(bi)
	if bi < 0 || !ok {
		return true
	}
	if len(b) != 1 {
		c.misfit("the bias is no list", "give one number for each output channel", bi, wi)
		return false
	}
	return c.equal(b[0], m, "the bias and the output channels,", "give one number for each output channel", bi, wi)
}

// kernel compares the attribute kernel_shape with the weights.
func (c *call) kernel(win *window, w []Size, wi int) bool {
	win.kernel = w
	a := c.list("kernel_shape")
	if len(a) == 0 {
		return true
	}
	if len(a) != len(w) {
		c.misfit(fmt.Sprintf("attribute kernel_shape %v does not fit the weights", short(a)), "leave it out", wi)
		return false
	}
	for i, k := range a {
		if !c.equal(SizeOf(k), w[i], "attribute kernel_shape and the weights,", "leave it out", wi) {
			return false
		}
	}
	win.kernel = numbersOf(a)
	return true
}

func convTransposeRule(c *call) {
	x, ok := c.dims(0)
	w, ok2 := c.dims(1)
	if !ok || !ok2 {
		return
	}
	if len(x) < 3 || len(w) != len(x) {
		c.misfit("the ranks do not fit", "input [N, C, lengths…] and weights [C, M/group, kernel…] have as many axes", 0, 1)
		return
	}
	group := c.int("group", 1)
	if group < 1 || group > maxExtent {
		c.complain(fmt.Sprintf("attribute group is %d", group), "set it to 1 or more")
		return
	}
	m := c.z.product2(w[1], SizeOf(group))
	if !c.equal(x[1], w[0], "the channels of the input and of the weights,", "give weights [C, M/group, kernel…]", 0, 1) || !c.groups(w[0], group, 1) || !c.biasFits(2, m, 1) {
		return
	}
	n := len(x) - 2
	win, ok := c.window(n, 0)
	if !ok || !c.kernel(&win, w[2:], 1) {
		return
	}
	shape, extra := c.list("output_shape"), c.list("output_padding")
	if len(shape) == n+2 {
		shape = shape[2:]
	}
	if len(shape) > 0 && len(shape) != n || len(extra) > 0 && len(extra) != n {
		c.complain("attributes output_shape and output_padding do not fit the input", fmt.Sprintf("give %d numbers, one for each spatial axis", n))
		return
	}
	out := []Size{x[0], m}
	for i, d := range x[2:] {
		out = append(out, c.spread(win, i, d, shape, extra))
	}
	c.shape(0, out)
}

// spread is the length of a transposed convolution along spatial axis i.
func (c *call) spread(w window, i int, d Size, shape, extra []int64) Size {
	switch {
	case len(shape) > 0:
		return c.asLength(SizeOf(shape[i]))
	case w.mode == "SAME_UPPER" || w.mode == "SAME_LOWER":
		return c.z.product2(d, SizeOf(w.stride[i]))
	case w.mode == "VALID":
		w.from, w.to = make([]int64, len(w.from)), make([]int64, len(w.to))
	}
	k, ok := w.kernel[i].Number()
	if !ok || k < 1 || k > maxExtent {
		return c.z.length()
	}
	more := int64(0)
	if len(extra) > 0 {
		more = min(max(extra[i], 0), maxExtent)
	}
	span, ok := times(k-1, w.dilation[i], true)
	if !ok || span > 1<<60 {
		return c.z.length()
	}
	out := c.z.sum(c.z.product2(c.z.sum(d, SizeOf(-1), 1), SizeOf(w.stride[i])), SizeOf(span+1+more-w.from[i]-w.to[i]), 1)
	return c.asLength(out)
}

// pooled is the window of pooling over x, whose kernel is an attribute.
func (c *call) pooled(x []Size) (window, bool) {
	kernel := c.list("kernel_shape")
	if len(x) < 3 || len(kernel) != len(x)-2 {
		c.misfit(fmt.Sprintf("attribute kernel_shape %v does not fit", short(kernel)), "give one number for each axis after the first two", 0)
		return window{}, false
	}
	win, ok := c.window(len(kernel), 0)
	win.kernel = numbersOf(kernel)
	return win, ok
}

func poolRule(c *call) {
	x, ok := c.dims(0)
	if !ok {
		return
	}
	win, ok := c.pooled(x)
	if !ok {
		return
	}
	out := slices.Clone(x[:2])
	for i, d := range x[2:] {
		out = append(out, c.slide(win, i, d, 0))
	}
	if !c.bad {
		c.shape(0, out)
		c.shape(1, out)
	}
}

func maxUnpoolRule(c *call) {
	x, ok := c.dims(0)
	if c.given(2) {
		if want := c.arg(2).ints; want != nil {
			out := make([]Size, len(want))
			for i, d := range want {
				out[i] = c.asLength(d)
			}
			c.shape(0, out)
		} else if ok {
			c.shape(0, c.fresh(len(x)))
		}
		return
	}
	if !ok {
		return
	}
	win, ok := c.pooled(x)
	if !ok {
		return
	}
	win.mode = ""
	out := slices.Clone(x[:2])
	for i, d := range x[2:] {
		out = append(out, c.spread(win, i, d, nil, nil))
	}
	c.shape(0, out)
}

func globalPoolRule(c *call) {
	x, ok := c.dims(0)
	if !ok {
		return
	}
	if len(x) < 2 {
		c.misfit("batch and channels are needed", "give [N, C, lengths…]", 0)
		return
	}
	out := slices.Clone(x)
	for i := range out[2:] {
		out[i+2] = SizeOf(1)
	}
	c.shape(0, out)
}

// resizeRule is Resize and Upsample: by scales, or to sizes.
func resizeRule(c *call) {
	x, ok := c.dims(0)
	if !ok {
		return
	}
	axes := make([]int, len(x))
	for i := range axes {
		axes[i] = i
	}
	if a := c.list("axes"); len(a) > 0 {
		axes = axes[:0]
		for _, v := range a {
			k, ok := c.axisIn("axis", v, len(x), 0)
			if !ok {
				return
			}
			axes = append(axes, k)
		}
	}
	out := slices.Clone(x)
	for _, k := range axes {
		out[k] = c.z.length()
	}
	scales := c.resizeScales()
	to := c.arg(3).ints
	switch {
	case c.ver >= 11 && c.given(3):
		if to == nil || c.str("keep_aspect_ratio_policy", "stretch") != "stretch" {
			break
		}
		if len(to) != len(axes) {
			c.misfit(fmt.Sprintf("%d sizes for %d axes", len(to), len(axes)), "give one for each axis", 0)
			return
		}
		for i, k := range axes {
			out[k] = c.asLength(to[i])
		}
	case len(scales) > 0 && len(scales) != len(axes):
		c.misfit(fmt.Sprintf("%d scales for %d axes", len(scales), len(axes)), "give one for each axis", 0)
		return
	case c.str("coordinate_transformation_mode", "") == "tf_crop_and_resize": // by the region too
	case len(scales) > 0:
		for i, k := range axes {
			out[k] = c.scaled(x[k], scales[i])
		}
	}
	c.shape(0, out)
}

func (c *call) resizeScales() []float32 {
	at := 2
	if c.ver < 11 || c.n.Op == "Upsample" {
		at = 1
	}
	if a := c.attr("scales"); a != nil && c.n.Op == "Upsample" && c.ver < 9 {
		return a.Floats
	}
	return c.arg(at).floats
}

func (c *call) scaled(d Size, scale float32) Size {
	if d.sym == 0 {
		if v := math.Floor(float64(d.n) * float64(scale)); v >= 0 && v < 1<<40 {
			return SizeOf(int64(v))
		}
		return c.z.length()
	}
	if k := int64(scale); float32(k) == scale && k > 0 && k < maxExtent {
		return c.z.product2(d, SizeOf(k))
	}
	if k := int64(1 / scale); 1/float32(k) == scale && k > 0 && k < maxExtent && k&(k-1) == 0 {
		return c.z.divide(d, SizeOf(k))
	}
	return c.z.length()
}

func gridSampleRule(c *call) {
	x, ok := c.dims(0)
	g, ok2 := c.dims(1)
	if !ok || !ok2 {
		return
	}
	if len(x) < 3 || len(g) != len(x) {
		c.misfit("the ranks do not fit", "input [N, C, lengths…] and grid [N, lengths…, axes] have as many axes", 0, 1)
		return
	}
	if !c.equal(x[0], g[0], "the batches", "they must be equal", 0, 1) ||
		!c.equal(g[len(g)-1], SizeOf(int64(len(x)-2)), "the grid's last length and the number of spatial axes,", "each point has a coordinate for each spatial axis", 0, 1) {
		return
	}
	c.shape(0, slices.Concat(x[:2], g[1:len(g)-1]))
}

func affineGridRule(c *call) {
	size := c.arg(1).ints
	if n, ok := c.elementCount(1); ok && n != 4 && n != 5 {
		c.misfit(fmt.Sprintf("the size has %d numbers", n), "give [N, C, H, W] or [N, C, D, H, W]", 1)
		return
	}
	if len(size) < 4 {
		return
	}
	out := []Size{c.asLength(size[0])}
	for _, d := range size[2:] {
		out = append(out, c.asLength(d))
	}
	c.shape(0, append(out, SizeOf(int64(len(size)-2))))
}

func roiAlignRule(c *call) {
	x, ok := c.dims(0)
	r, ok2 := c.dims(1)
	if ok && !c.rank(0, 4) || ok2 && !c.rank(1, 2) || !ok || !ok2 {
		return
	}
	c.shape(0, []Size{r[0], x[1], c.asLength(SizeOf(c.int("output_height", 1))), c.asLength(SizeOf(c.int("output_width", 1)))})
}

func col2ImRule(c *call) {
	x, ok := c.dims(0)
	if !ok || !c.rank(0, 3) {
		return
	}
	image, block := c.arg(1).ints, c.arg(2).ints
	if image == nil || block == nil {
		return
	}
	area := c.z.product(block)
	if area.sym == 0 && area.n < 1 {
		return
	}
	if x[1].sym == 0 && area.sym == 0 && x[1].n%area.n != 0 {
		c.misfit(fmt.Sprintf("%d columns are no multiple of the block's %d", x[1].n, area.n), "axis 1 is channels times the block's elements", 0)
		return
	}
	out := []Size{x[0], c.z.divide(x[1], area)}
	for _, d := range image {
		out = append(out, c.asLength(d))
	}
	c.shape(0, out)
}
