package exec

import (
	"fmt"
	"slices"
	"strconv"
)

// sliding is how a kernel slides over one to three spatial dimensions; fewer
// than three are padded on the left with dimensions of one.
type sliding struct {
	rank                          int // of the spatial dimensions as given
	in, kernel, stride, dilation  [3]int
	before, after, out            [3]int
	inSize, kernelSize, outVolume int
}

// maxExtent bounds what attributes may say in elements, so that sums of a few do not overflow.
const maxExtent = 1 << (28 + 3*wide)

// maxWork bounds products of two sizes.
const maxWork = 1 << (30 + 10*wide)

// wide is 1 where an int has 64 bits, 0 where it has 32.
const wide = strconv.IntSize / 64

// newWindow reads kernel_shape (or takes kernel), strides, dilations, pads and
// auto_pad for spatial dimensions in. The output is not computed.
func (c *call) newWindow(in, kernel []int) (*sliding, error) {
	rank := len(in)
	if rank < 1 || rank > 3 {
		return nil, fmt.Errorf("%d spatial dimensions; one to three are supported: %w", rank, ErrType)
	}
	if a := c.node.Ints("kernel_shape"); a != nil {
		given := make([]int, len(a))
		for i, v := range a {
			given[i] = int(v)
		}
		if kernel != nil && !slices.Equal(kernel, given) {
			return nil, fmt.Errorf("attribute kernel_shape is %v and the weights are %v", a, kernel)
		}
		kernel = given
	}
	w := &sliding{rank: rank}
	one := [3]int{1, 1, 1}
	w.in, w.kernel, w.stride, w.dilation, w.out = one, one, one, one, one
	off := 3 - rank
	if len(kernel) != rank {
		return nil, fmt.Errorf("a kernel of shape %v for spatial dimensions %v", kernel, in)
	}
	for i := range rank {
		w.in[off+i], w.kernel[off+i] = in[i], kernel[i]
		if kernel[i] < 1 || kernel[i] > maxExtent {
			return nil, fmt.Errorf("a kernel of shape %v", kernel)
		}
	}
	if err := c.spatial("strides", w.stride[off:], 1); err != nil {
		return nil, err
	}
	if err := c.spatial("dilations", w.dilation[off:], 1); err != nil {
		return nil, err
	}
	if pads := c.node.Ints("pads"); pads != nil {
		if len(pads) != 2*rank {
			return nil, fmt.Errorf("attribute pads has %d numbers; %d are needed", len(pads), 2*rank)
		}
		for i := range rank {
			w.before[off+i], w.after[off+i] = int(pads[i]), int(pads[rank+i])
			if lo, hi := min(pads[i], pads[rank+i]), max(pads[i], pads[rank+i]); lo < 0 || hi > maxExtent {
				return nil, fmt.Errorf("attribute pads is %v; numbers from 0 to %d are needed", pads, maxExtent)
			}
		}
	}
	for d := range w.in {
		if w.kernel[d] > 1 && w.dilation[d] > maxExtent/w.kernel[d] {
			return nil, fmt.Errorf("a kernel of shape %v with dilations %v is too large", kernel, w.dilation[off:])
		}
	}
	var ok [2]bool
	w.inSize, ok[0] = elements(w.in[:])
	w.kernelSize, ok[1] = elements(w.kernel[:])
	if !ok[0] || !ok[1] {
		return nil, fmt.Errorf("a kernel of shape %v is too large", kernel)
	}
	return w, nil
}

// spatial reads a list attribute of one number, at least least, per dimension.
func (c *call) spatial(name string, dst []int, least int64) error {
	list := c.node.Ints(name)
	if list == nil {
		return nil
	}
	if len(list) != len(dst) {
		return fmt.Errorf("attribute %s has %d numbers; %d are needed", name, len(list), len(dst))
	}
	for i, v := range list {
		if v < least || v > maxExtent {
			return fmt.Errorf("attribute %s is %v; numbers from %d to %d are needed", name, list, least, maxExtent)
		}
		dst[i] = int(v)
	}
	return nil
}

// extent is how many elements the kernel spans along dimension d.
func (w *sliding) extent(d int) int { return (w.kernel[d]-1)*w.dilation[d] + 1 }

// slide computes the output dimensions, and with auto_pad the pads. With ceil
// a last window that is not full counts, unless it starts in the end padding.
func (w *sliding) slide(c *call, ceil bool) error {
	mode, err := c.autoPad()
	if err != nil {
		return err
	}
	for d := 3 - w.rank; d < 3; d++ {
		switch mode {
		case "SAME_UPPER", "SAME_LOWER":
			w.out[d] = (w.in[d] + w.stride[d] - 1) / w.stride[d]
			total := max(0, (w.out[d]-1)*w.stride[d]+w.extent(d)-w.in[d])
			w.before[d] = total / 2
			if mode == "SAME_LOWER" {
				w.before[d] = total - total/2
			}
			w.after[d] = total - w.before[d]
			continue
		case "VALID":
			w.before[d], w.after[d] = 0, 0
		}
		room := w.in[d] + w.before[d] + w.after[d] - w.extent(d)
		if room < 0 {
			return fmt.Errorf("a kernel that spans %d elements does not fit dimension %d of %d with pads %d and %d", w.extent(d), d+w.rank-3, w.in[d], w.before[d], w.after[d])
		}
		w.out[d] = room/w.stride[d] + 1
		if ceil && room%w.stride[d] != 0 && w.out[d]*w.stride[d] < w.in[d]+w.before[d] {
			w.out[d]++
		}
	}
	var ok bool
	if w.outVolume, ok = elements(w.out[:]); !ok {
		return fmt.Errorf("an output of spatial dimensions %v is too large", w.spatialOut())
	}
	return nil
}

func (c *call) autoPad() (string, error) {
	return c.word("auto_pad", "NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID")
}

func (w *sliding) spatialOut() []int { return w.out[3-w.rank:] }

// taps are the kernel positions lo ≤ k < hi along d that fall inside the input
// for output position o; the input position of tap k is start + k·dilation.
func (w *sliding) taps(d, o int) (start, lo, hi int) {
	start = o*w.stride[d] - w.before[d]
	step := w.dilation[d]
	hi = w.kernel[d]
	if start < 0 {
		lo = min(hi, (-start+step-1)/step)
	}
	if start >= w.in[d] {
		return start, 0, 0
	}
	return start, lo, max(lo, min(hi, (w.in[d]-1-start)/step+1))
}

// columns are the output positions lo ≤ o < hi along d for which tap k falls
// inside the input, at o·stride + shift.
func (w *sliding) columns(d, k int) (shift, lo, hi int) {
	shift = k*w.dilation[d] - w.before[d]
	step := w.stride[d]
	if shift < 0 {
		lo = min(w.out[d], (-shift+step-1)/step)
	}
	if shift >= w.in[d] {
		return shift, 0, 0
	}
	return shift, lo, max(lo, min(w.out[d], (w.in[d]-1-shift)/step+1))
}

// unfold writes the taps of one channel as rows of columns: dst is
// [kernelSize, outVolume], zero outside the input (im2col).
func unfold[T number](w *sliding, dst, src []T, pad T) {
	row := 0
	for kz := range w.kernel[0] {
		sz, lz, hz := w.columns(0, kz)
		for ky := range w.kernel[1] {
			sy, ly, hy := w.columns(1, ky)
			for kx := range w.kernel[2] {
				sx, lx, hx := w.columns(2, kx)
				line := dst[row*w.outVolume : (row+1)*w.outVolume]
				row++
				fill(line, pad)
				for z := lz; z < hz; z++ {
					for y := ly; y < hy; y++ {
						from := ((z*w.stride[0]+sz)*w.in[1] + y*w.stride[1] + sy) * w.in[2]
						to := line[(z*w.out[1]+y)*w.out[2]:][:w.out[2]]
						for x := lx; x < hx; x++ {
							to[x] = src[from+x*w.stride[2]+sx]
						}
					}
				}
			}
		}
	}
}

// refold is the transpose of unfold: it adds the rows [kernelSize, outVolume] up
// into one channel of the input's shape (col2im).
func refold[T number](w *sliding, dst, src []T) {
	row := 0
	for kz := range w.kernel[0] {
		sz, lz, hz := w.columns(0, kz)
		for ky := range w.kernel[1] {
			sy, ly, hy := w.columns(1, ky)
			for kx := range w.kernel[2] {
				sx, lx, hx := w.columns(2, kx)
				line := src[row*w.outVolume : (row+1)*w.outVolume]
				row++
				for z := lz; z < hz; z++ {
					for y := ly; y < hy; y++ {
						to := ((z*w.stride[0]+sz)*w.in[1] + y*w.stride[1] + sy) * w.in[2]
						from := line[(z*w.out[1]+y)*w.out[2]:][:w.out[2]]
						for x := lx; x < hx; x++ {
							dst[to+x*w.stride[2]+sx] += from[x]
						}
					}
				}
			}
		}
	}
}
