package exec

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/litekit/lite/onnx"
)

// selectOps are the operators that pick, order or place elements.
func selectOps() map[string]operator {
	return map[string]operator{
		"Compress": {run: compress, inputs: 2}, "Unique": {run: unique, inputs: 1},
		"ReverseSequence": {run: reverseSequence, inputs: 2}, "EyeLike": {run: eyeLike, inputs: 1},
		"CenterCropPad": {run: centerCropPad, inputs: 2}, "TensorScatter": {run: tensorScatter, inputs: 2},
		"Det": {run: determinant, inputs: 1}, "NonMaxSuppression": {run: nonMaxSuppression, inputs: 2},
	}
}

// alongAxis is the shape of x and the node's axis or, where it has none, the
// shape of x's elements in a row.
func (c *call) alongAxis(x *Tensor) (shape []int, d int, err error) {
	a := c.node.Attr("axis")
	if a == nil {
		return []int{x.Len()}, 0, nil
	}
	d, err = axis(a.Int, len(x.Shape))
	return slices.Clone(x.Shape), d, err
}

// compress keeps the slices along an axis (or the elements) whose condition is true.
func compress(c *call) error {
	x, cond := c.in[0], c.in[1]
	if cond.Type != onnx.Bool || len(cond.Shape) != 1 {
		return fmt.Errorf("the condition is %s %v; a vector of bool is needed", typeName(cond.Type), cond.Shape)
	}
	shape, d, err := c.alongAxis(x)
	if err != nil {
		return err
	}
	var keep []int
	for i, b := range cond.Bool[:min(len(cond.Bool), shape[d])] {
		if b {
			keep = append(keep, i)
		}
	}
	return c.pick(0, x, shape, d, keep)
}

// pick makes output i of the positions rows of axis d of x, whose elements are seen in shape.
func (c *call) pick(i int, x *Tensor, shape []int, d int, rows []int) error {
	n, inner := shape[d], product(shape[d+1:])
	shape = slices.Clone(shape)
	shape[d] = len(rows)
	out, err := c.output(i, x.Type, shape...)
	if err != nil || inner == 0 {
		return err
	}
	dst, src := out, x
	for o := range product(shape[:d]) {
		for k, r := range rows {
			dst.blit((o*len(rows)+k)*inner, src, (o*n+r)*inner, inner, 1)
		}
	}
	return nil
}

// comparer compares elements of t by position; false sorts before true.
func comparer(t *Tensor) func(i, j int) int {
	switch storage(t.Type) {
	case onnx.Float:
		return func(i, j int) int { return cmp.Compare(t.F32[i], t.F32[j]) }
	case onnx.Double:
		return func(i, j int) int { return cmp.Compare(t.F64[i], t.F64[j]) }
	case onnx.Int64:
		v := t.orderedInts()
		return func(i, j int) int { return cmp.Compare(v[i], v[j]) }
	case onnx.Int32:
		return func(i, j int) int { return cmp.Compare(t.I32[i], t.I32[j]) }
	case onnx.Uint8:
		return func(i, j int) int { return cmp.Compare(t.U8[i], t.U8[j]) }
	case onnx.Int8:
		return func(i, j int) int { return cmp.Compare(t.I8[i], t.I8[j]) }
	}
	return func(i, j int) int {
		switch {
		case t.Bool[i] == t.Bool[j]:
			return 0
		case t.Bool[j]:
			return -1
		}
		return 1
	}
}

// unique finds the distinct slices along an axis (or elements), sorted or in
// order of first appearance, with first positions, inverse and counts.
func unique(c *call) error {
	x := c.in[0]
	shape, d, err := c.alongAxis(x)
	if err != nil {
		return err
	}
	n, inner, outer, less := shape[d], product(shape[d+1:]), product(shape[:d]), comparer(x)
	compareRows := func(a, b int) int {
		for o := range outer {
			for i := range inner {
				if r := less((o*n+a)*inner+i, (o*n+b)*inner+i); r != 0 {
					return r
				}
			}
		}
		return 0
	}
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, compareRows)
	var first []int // of each distinct slice, sorted
	group := make([]int, n)
	for i, r := range order {
		if i == 0 || compareRows(order[i-1], r) != 0 {
			first = append(first, r)
		}
		group[r] = len(first) - 1
	}
	place := make([]int, len(first)) // where a group goes
	for i := range place {
		place[i] = i
	}
	if c.node.Int("sorted", 1) == 0 {
		byFirst := slices.Clone(place)
		slices.SortFunc(byFirst, func(a, b int) int { return first[a] - first[b] })
		for i, g := range byFirst {
			place[g] = i
		}
		slices.Sort(first)
	}
	return c.uniqueOutputs(x, shape, d, first, group, place)
}

func (c *call) uniqueOutputs(x *Tensor, shape []int, d int, first, group, place []int) error {
	if err := c.pick(0, x, shape, d, first); err != nil {
		return err
	}
	index, inverse, counts := make([]int64, len(first)), make([]int64, len(group)), make([]int64, len(first))
	for i, r := range first {
		index[i] = int64(r)
	}
	for r, g := range group {
		inverse[r] = int64(place[g])
		counts[place[g]]++
	}
	for i, v := range [][]int64{index, inverse, counts} {
		if c.wants(i + 1) {
			c.out[i+1] = Int64s(v, len(v))
		}
	}
	return nil
}

// reverseSequence reverses the first lens[b] steps of each sequence.
func reverseSequence(c *call) error {
	x := c.in[0]
	lens, err := c.ints(1)
	if err != nil {
		return err
	}
	b, t := c.node.Int("batch_axis", 1), c.node.Int("time_axis", 0)
	if len(x.Shape) < 2 || b+t != 1 || b*t != 0 {
		return fmt.Errorf("batch axis %d and time axis %d of shape %v; 0 and 1 in some order are needed", b, t, x.Shape)
	}
	if len(lens) != x.Shape[b] {
		return fmt.Errorf("%d lengths for a batch of %d", len(lens), x.Shape[b])
	}
	out, err := c.copyOf(x)
	if err != nil {
		return err
	}
	own := strides(x.Shape)
	dst, src, inner := out, x, product(x.Shape[2:])
	for i, n := range lens {
		if n < 0 || n > int64(x.Shape[t]) {
			return fmt.Errorf("length %d of sequence %d is outside 0 … %d", n, i, x.Shape[t])
		}
		for s := range int(n) {
			dst.blit(i*own[b]+s*own[t], src, i*own[b]+(int(n)-1-s)*own[t], inner, 1)
		}
	}
	return nil
}

// eyeLike is a matrix of ones on the k-th diagonal.
func eyeLike(c *call) error {
	x := c.in[0]
	if len(x.Shape) != 2 {
		return fmt.Errorf("shape %v is not a matrix", x.Shape)
	}
	n, v := x.Shape[1], make([]float64, x.Len())
	k := c.node.Int("k", 0)
	for r := range x.Shape[0] {
		if at := int64(r) + k; at >= 0 && at < int64(n) {
			v[r*n+int(at)] = 1
		}
	}
	return c.reals(onnx.DataType(c.node.Int("dtype", int64(x.Type))), v, x.Shape...)
}

// centerCropPad crops or pads the axes to the sizes of input 1 around the centre.
func centerCropPad(c *call) error {
	x := c.in[0]
	want, err := c.ints(1)
	if err != nil {
		return err
	}
	list := c.node.Ints("axes")
	if list == nil {
		for d := range x.Shape {
			list = append(list, int64(d))
		}
	}
	if _, err := axes(list, len(x.Shape)); err != nil {
		return err
	}
	if len(want) != len(list) {
		return fmt.Errorf("%d sizes for %d axes", len(want), len(list))
	}
	shape, core := slices.Clone(x.Shape), slices.Clone(x.Shape)
	own, from := strides(x.Shape), 0
	offset := make([]int, len(shape))
	for i, a := range list {
		d, _ := axis(a, len(x.Shape))
		if want[i] < 0 || want[i] > int64(c.mem.limit) {
			return fmt.Errorf("size %d of axis %d", want[i], d)
		}
		shape[d] = int(want[i])
		if cut := x.Shape[d] - shape[d]; cut > 0 {
			from += cut / 2 * own[d]
			core[d] = shape[d]
		} else {
			offset[d] = -cut / 2
		}
	}
	out, err := c.invent(0, x.Type, shape...)
	if err != nil || out.Len() == 0 {
		return err
	}
	dst, at := out, 0
	dst.blit(0, zeroOf(x.Type), 0, out.Len(), 0)
	if product(core) == 0 {
		return nil
	}
	to := strides(shape)
	for d, o := range offset {
		at += o * to[d]
	}
	placeStrided(dst, at, to, x, from, own, core)
	return nil
}

// tensorScatter writes new steps into a cache at each sequence's position.
func tensorScatter(c *call) error {
	cache, up := c.in[0], c.in[1]
	d, err := axis(c.node.Int("axis", -2), len(cache.Shape))
	if err != nil {
		return err
	}
	if d == 0 || up.Type != cache.Type || len(up.Shape) != len(cache.Shape) {
		return fmt.Errorf("an update of %s %v on axis %d of %s %v", typeName(up.Type), up.Shape, d, typeName(cache.Type), cache.Shape)
	}
	for i, n := range up.Shape {
		if i != d && n != cache.Shape[i] || n > cache.Shape[i] {
			return fmt.Errorf("an update of shape %v does not fit %v", up.Shape, cache.Shape)
		}
	}
	at := make([]int64, cache.Shape[0])
	if c.arg(2) != nil {
		if at, err = c.ints(2); err != nil {
			return err
		}
	}
	mode := c.node.Str("mode", "linear")
	if len(at) != cache.Shape[0] || mode != "linear" && mode != "circular" {
		return fmt.Errorf("%d positions for a batch of %d, mode %q", len(at), cache.Shape[0], mode)
	}
	out, err := c.copyOf(cache)
	if err != nil {
		return err
	}
	total, steps, inner := cache.Shape[d], up.Shape[d], product(up.Shape[d+1:])
	heads := product(up.Shape[1:d])
	dst, src := out, up
	for r := range product(up.Shape[:d]) {
		first := at[r/max(heads, 1)]
		if first < 0 || first > int64(total) || mode == "linear" && first+int64(steps) > int64(total) {
			return fmt.Errorf("%d steps from position %d do not fit a cache of %d", steps, first, total)
		}
		for s := range steps {
			dst.blit((r*total+(int(first)+s)%total)*inner, src, (r*steps+s)*inner, inner, 1)
		}
	}
	return nil
}

// determinant is by elimination with partial pivots, in float64.
func determinant(c *call) error {
	x := c.in[0]
	rank := len(x.Shape)
	if rank < 2 || x.Shape[rank-1] != x.Shape[rank-2] {
		return fmt.Errorf("shape %v is not of square matrices", x.Shape)
	}
	if storage(x.Type) != onnx.Float && x.Type != onnx.Double {
		return errType(x.Type)
	}
	wide, err := c.cast(x, onnx.Double)
	if err != nil {
		return err
	}
	defer c.mem.release(wide)
	n := x.Shape[rank-1]
	y := make([]float64, product(x.Shape[:rank-2]))
	for b := range y {
		m := slices.Clone(wide.F64[b*n*n : (b+1)*n*n])
		y[b] = eliminate(m, n)
	}
	return c.reals(x.Type, y, x.Shape[:rank-2]...)
}

func eliminate(m []float64, n int) float64 {
	det := 1.0
	for k := range n {
		p := k
		for r := k + 1; r < n; r++ {
			if math.Abs(m[r*n+k]) > math.Abs(m[p*n+k]) {
				p = r
			}
		}
		if m[p*n+k] == 0 {
			return 0
		}
		if p != k {
			det = -det
			for j := range n {
				m[p*n+j], m[k*n+j] = m[k*n+j], m[p*n+j]
			}
		}
		det *= m[k*n+k]
		for r := k + 1; r < n; r++ {
			f := m[r*n+k] / m[k*n+k]
			for j := k; j < n; j++ {
				m[r*n+j] -= f * m[k*n+j]
			}
		}
	}
	return det
}

// nonMaxSuppression picks, for each class, boxes by score that overlap no
// better box by more than a threshold: rows (batch, class, box).
func nonMaxSuppression(c *call) error {
	boxes, err := c.floats(0)
	if err != nil {
		return err
	}
	scores, err := c.floats(1)
	if err != nil {
		return err
	}
	bs, ss := c.in[0].Shape, c.in[1].Shape
	if len(bs) != 3 || len(ss) != 3 || bs[2] != 4 || bs[0] != ss[0] || bs[1] != ss[2] {
		return fmt.Errorf("boxes %v and scores %v; [batch, boxes, 4] and [batch, classes, boxes] are needed", bs, ss)
	}
	most, err := c.scalar(2, 0)
	if err != nil {
		return err
	}
	limits := [2]float32{0, float32(math.Inf(-1))}
	for i := range limits {
		if c.arg(3+i) == nil {
			continue
		}
		v, err := c.floats(3 + i)
		if err != nil {
			return err
		}
		if len(v) != 1 {
			return fmt.Errorf("input %d has %d elements; one is needed", 3+i, len(v))
		}
		limits[i] = v[0]
	}
	n, center := bs[1], c.node.Int("center_point_box", 0) != 0
	var rows []int64
	for b := range ss[0] {
		for k := range ss[1] {
			for _, i := range suppress(boxes[b*n*4:(b+1)*n*4], scores[(b*ss[1]+k)*n:][:n], most, limits, center) {
				rows = append(rows, int64(b), int64(k), int64(i))
			}
		}
	}
	c.out[0] = Int64s(rows, len(rows)/3, 3)
	return nil
}

func suppress(boxes, scores []float32, most int64, limits [2]float32, center bool) (kept []int) {
	var order []int
	for i, s := range scores {
		if s > limits[1] {
			order = append(order, i)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(scores[b], scores[a]) })
	for _, i := range order {
		if int64(len(kept)) >= most {
			break
		}
		if !slices.ContainsFunc(kept, func(j int) bool { return overlap(boxes[4*i:][:4], boxes[4*j:][:4], center) > limits[0] }) {
			kept = append(kept, i)
		}
	}
	return kept
}

// overlap is the intersection of two boxes over their union. A box is two
// opposite corners (y, x), or centre (x, y), width and height.
func overlap(a, b []float32, center bool) float32 {
	edges := func(v []float32) (y0, x0, y1, x1 float32) {
		if center {
			return v[1] - v[3]/2, v[0] - v[2]/2, v[1] + v[3]/2, v[0] + v[2]/2
		}
		return min(v[0], v[2]), min(v[1], v[3]), max(v[0], v[2]), max(v[1], v[3])
	}
	ay0, ax0, ay1, ax1 := edges(a)
	by0, bx0, by1, bx1 := edges(b)
	both := max(0, min(ay1, by1)-max(ay0, by0)) * max(0, min(ax1, bx1)-max(ax0, bx0))
	union := (ay1-ay0)*(ax1-ax0) + (by1-by0)*(bx1-bx0) - both
	if union <= 0 {
		return 0
	}
	return both / union
}
