package exec

import (
	"fmt"
	"slices"
)

func convOps() map[string]operator {
	return map[string]operator{
		"Conv":          {run: byReal(conv[float32], conv[float64]), inputs: 2},
		"ConvTranspose": {run: byReal(convTranspose[float32], convTranspose[float64]), inputs: 2},
		"Col2Im":        {run: byReal(columnsToImage[float32], columnsToImage[float64]), inputs: 3},
	}
}

// gemmOf multiplies row-major matrices: c[m,n] = op(a)·b + beta·c, op(a) being the
// transpose of a[k,m] where transA says so; beta is 0 or 1.
func gemmOf[T real](done <-chan struct{}, transA bool, m, n, k int, a, b []T, beta T, c []T) {
	if m == 0 || n == 0 {
		return
	}
	if f, ok := any(c).([]float32); ok {
		lda := k
		if transA {
			lda = m
		}
		if k > 0 {
			gemmFloats(done, transA, false, m, n, k, 1, any(a).([]float32), lda, any(b).([]float32), n, float32(beta), f, n)
			return
		}
	}
	if beta == 0 {
		clear(c[:m*n])
	}
	for r := 0; r < m && !closed(done); r++ {
		y := c[r*n : (r+1)*n]
		for q := range k {
			at := r*k + q
			if transA {
				at = q*m + r
			}
			x := a[at]
			for j, v := range b[q*n : (q+1)*n] {
				y[j] += x * v
			}
		}
	}
}

// groups reads the attribute group, which must divide the channels.
func (c *call) groups(channels int) (int, error) {
	g := c.node.Int("group", 1)
	if g < 1 || g > int64(max(channels, 1)) || channels%int(g) != 0 {
		return 0, fmt.Errorf("attribute group is %d; it must divide the %d channels", g, channels)
	}
	return int(g), nil
}

// conv is Conv (opset 1, 11, 22): input [N, C, d…], weights [M, C/group, k…],
// one to three spatial dimensions. Each group of an image is a matrix product
// with its taps laid out in columns.
func conv[T real](c *call) error {
	x, weights := c.in[0], c.in[1]
	if len(x.Shape) < 3 || len(weights.Shape) != len(x.Shape) {
		return fmt.Errorf("an input of shape %v and weights of shape %v do not fit", x.Shape, weights.Shape)
	}
	n, ch, m := x.Shape[0], x.Shape[1], weights.Shape[0]
	g, err := c.groups(ch)
	if err != nil {
		return err
	}
	if m%g != 0 || weights.Shape[1]*g != ch {
		return fmt.Errorf("weights of shape %v do not fit %d channels in %d groups", weights.Shape, ch, g)
	}
	wt, err := typed[T](c, 1)
	if err != nil {
		return err
	}
	w, err := c.newWindow(x.Shape[2:], weights.Shape[2:])
	if err != nil {
		return err
	}
	if err := w.slide(c, false); err != nil {
		return err
	}
	bias, err := channels[T](c, 2, m, 0)
	if err != nil {
		return err
	}
	out, err := c.invent(0, x.Type, slices.Concat([]int{n, m}, w.spatialOut())...)
	if err != nil || out.Len() == 0 {
		return err
	}
	cg, mg, k, p := ch/g, m/g, ch/g*w.kernelSize, w.outVolume
	src, dst := data[T](x), data[T](out)
	for i := range n * m {
		fill(dst[i*p:(i+1)*p], bias[i%m])
	}
	if k == 0 {
		return nil
	}
	if w.plain() {
		for i := range n * g {
			j := i % g
			gemmOf(c.mem.done, false, mg, p, k, wt[j*mg*k:(j+1)*mg*k], src[i*k*p:(i+1)*k*p], 1, dst[i*mg*p:(i+1)*mg*p])
		}
		return nil
	}
	col, err := c.new(x.Type, k, p)
	if err != nil {
		return err
	}
	defer c.mem.release(col)
	cols := data[T](col)
	for i := 0; i < n*g && !c.stopped(); i++ {
		j := i % g
		from := src[i*cg*w.inSize : (i+1)*cg*w.inSize]
		c.parallel(cg, max(1, grain/(w.kernelSize*p)), func(lo, hi int) {
			for q := lo; q < hi; q++ {
				unfold(w, cols[q*w.kernelSize*p:(q+1)*w.kernelSize*p], from[q*w.inSize:(q+1)*w.inSize], 0)
			}
		})
		gemmOf(c.mem.done, false, mg, p, k, wt[j*mg*k:(j+1)*mg*k], cols, 1, dst[i*mg*p:(i+1)*mg*p])
	}
	return nil
}

// plain reports whether the columns of a convolution are its input as it lies.
func (w *sliding) plain() bool {
	one := [3]int{1, 1, 1}
	return w.kernel == one && w.stride == one && w.in == w.out
}

// convTranspose is ConvTranspose (opset 1, 11, 22): input [N, C, d…], weights
// [C, M/group, k…]; the gradient of Conv with respect to its input.
func convTranspose[T real](c *call) error {
	x, weights := c.in[0], c.in[1]
	if len(x.Shape) < 3 || len(weights.Shape) != len(x.Shape) || weights.Shape[0] != x.Shape[1] {
		return fmt.Errorf("an input of shape %v and weights of shape %v do not fit", x.Shape, weights.Shape)
	}
	n, ch := x.Shape[0], x.Shape[1]
	g, err := c.groups(ch)
	if err != nil {
		return err
	}
	wt, err := typed[T](c, 1)
	if err != nil {
		return err
	}
	w, err := c.newWindow(x.Shape[2:], weights.Shape[2:])
	if err != nil {
		return err
	}
	if err := w.unslide(c); err != nil {
		return err
	}
	m := weights.Shape[1] * g
	bias, err := channels[T](c, 2, m, 0)
	if err != nil {
		return err
	}
	out, err := c.invent(0, x.Type, slices.Concat([]int{n, m}, w.in[3-w.rank:])...)
	if err != nil || out.Len() == 0 {
		return err
	}
	// Here w.in is the result and w.outVolume the input.
	cg, mg, p := ch/g, m/g, w.outVolume
	col, err := c.new(x.Type, mg*w.kernelSize, p)
	if err != nil {
		return err
	}
	defer c.mem.release(col)
	src, dst, cols := data[T](x), data[T](out), data[T](col)
	for i := range n * m {
		fill(dst[i*w.inSize:(i+1)*w.inSize], bias[i%m])
	}
	rows := mg * w.kernelSize
	for i := 0; i < n*g && !c.stopped(); i++ {
		j := i % g
		gemmOf(c.mem.done, true, rows, p, cg, wt[j*cg*rows:(j+1)*cg*rows], src[i*cg*p:(i+1)*cg*p], 0, cols)
		to := dst[i*mg*w.inSize : (i+1)*mg*w.inSize]
		c.parallel(mg, max(1, grain/max(1, w.kernelSize*p)), func(lo, hi int) {
			for q := lo; q < hi; q++ {
				refold(w, to[q*w.inSize:(q+1)*w.inSize], cols[q*w.kernelSize*p:(q+1)*w.kernelSize*p])
			}
		})
	}
	return nil
}

// unslide turns a window that was given a transposed convolution's input into
// that of the convolution it transposes: in is the result, out the input.
func (w *sliding) unslide(c *call) error {
	mode, err := c.autoPad()
	if err != nil {
		return err
	}
	off := 3 - w.rank
	var extra, want [3]int
	if err := c.spatial("output_padding", extra[off:], 0); err != nil {
		return err
	}
	if err := c.outputShape(want[off:]); err != nil {
		return err
	}
	w.out, w.outVolume = w.in, w.inSize
	for d := off; d < 3; d++ {
		if w.out[d] > maxExtent || w.out[d] > 0 && w.stride[d] > maxWork/w.out[d] {
			return fmt.Errorf("strides %v are too large for an input of %v", w.stride[off:], w.out[off:])
		}
		full := w.stride[d]*(w.out[d]-1) + extra[d] + w.extent(d)
		same := mode == "SAME_UPPER" || mode == "SAME_LOWER"
		switch {
		case want[d] > 0:
		case same:
			want[d] = w.out[d] * w.stride[d]
		case mode == "VALID":
			w.before[d], w.after[d] = 0, 0
		}
		if want[d] > 0 {
			total := max(0, full-want[d])
			w.before[d] = total - total/2
			if mode == "SAME_UPPER" {
				w.before[d] = total / 2
			}
			w.in[d] = want[d]
		} else {
			w.in[d] = full - w.before[d] - w.after[d]
		}
		if w.in[d] < 0 {
			return fmt.Errorf("pads %d and %d are larger than the result of %d along dimension %d", w.before[d], w.after[d], full, d-off)
		}
	}
	var ok bool
	if w.inSize, ok = elements(w.in[:]); !ok {
		return fmt.Errorf("a result of spatial dimensions %v is too large", w.in[off:])
	}
	return nil
}

// outputShape reads the attribute output_shape; its last numbers are the spatial ones.
func (c *call) outputShape(dst []int) error {
	list := c.node.Ints("output_shape")
	if list == nil {
		return nil
	}
	if len(list) != len(dst) && len(list) != len(dst)+2 {
		return fmt.Errorf("attribute output_shape is %v; %d numbers are needed", list, len(dst))
	}
	for i, v := range list[len(list)-len(dst):] {
		if v < 1 || v > maxExtent {
			return fmt.Errorf("attribute output_shape is %v", list)
		}
		dst[i] = int(v)
	}
	return nil
}

// columnsToImage is Col2Im (opset 18): blocks [N, C·Πblock, L] are added up
// into an image [N, C, d…] at the places where a window of the block's shape
// would have read them. One to three dimensions.
func columnsToImage[T real](c *call) error {
	x := c.in[0]
	image, err := c.dims(1)
	if err != nil {
		return err
	}
	block, err := c.dims(2)
	if err != nil {
		return err
	}
	w, err := c.newWindow(image, block)
	if err != nil {
		return err
	}
	if err := w.slide(c, false); err != nil {
		return err
	}
	if len(x.Shape) != 3 || x.Shape[1]%w.kernelSize != 0 || x.Shape[2] != w.outVolume {
		return fmt.Errorf("an input of shape %v does not fit blocks of %v, %d of which fit an image of %v", x.Shape, block, w.outVolume, image)
	}
	ch := x.Shape[1] / w.kernelSize
	out, err := c.invent(0, x.Type, slices.Concat([]int{x.Shape[0], ch}, image)...)
	if err != nil {
		return err
	}
	src, dst := data[T](x), data[T](out)
	clear(dst)
	size := w.kernelSize * w.outVolume
	for i := range x.Shape[0] * ch {
		refold(w, dst[i*w.inSize:(i+1)*w.inSize], src[i*size:(i+1)*size])
	}
	return nil
}

// dims returns input i, a list of sizes.
func (c *call) dims(i int) ([]int, error) {
	list, err := c.ints(i)
	if err != nil {
		return nil, err
	}
	out := make([]int, len(list))
	for j, v := range list {
		if v < 0 || v > maxExtent {
			return nil, fmt.Errorf("input %d is %v; sizes are needed", i, list)
		}
		out[j] = int(v)
	}
	return out, nil
}
