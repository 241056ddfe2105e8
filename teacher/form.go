package teacher

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/litekit/lite/internal/kernel"
	"github.com/litekit/lite/onnx"
)

// Form is how logits are kept on disk. The zero value keeps them as they are.
// What a lossy form loses is lost at once and not only when the cache is read
// again: [Teacher.Logits] always gives what the cache will give.
type Form struct {
	// Half rounds every logit to float16: an error of at most 2⁻¹¹ of its size.
	Half bool
	// TopK, if not 0, keeps of each row the K greatest log-probabilities at
	// temperature 1, as float16, and the mass of all others, which is spread
	// evenly over them when the row is read. With r that mass, V classes and q
	// the distribution within the rest, the divergence from the true row is
	//
	//	KL(p ‖ p̂) = r·(log(V−K) − H(q)) + rounding,
	//
	// where rounding changes no probability by more than |log p|·2⁻¹¹ of itself.
	// Rows that are read are log-probabilities: logits up to a constant. For
	// masked language models; K = 64 takes 4·K+4 bytes in place of 4·V.
	TopK int
}

// String is full, half, or top- and K.
func (f Form) String() string {
	switch {
	case f.TopK > 0:
		return fmt.Sprintf("top-%d", f.TopK)
	case f.Half:
		return "half"
	}
	return "full"
}

// parseForm reads what String wrote.
func parseForm(s string) (Form, bool) {
	f := Form{Half: s == "half"}
	if digits, ok := strings.CutPrefix(s, "top-"); ok {
		f.TopK, _ = strconv.Atoi(digits)
	}
	return f, f.String() == s
}

// rank orders forms by what they lose.
func (f Form) rank() int {
	switch {
	case f.TopK > 0:
		return math.MaxInt - f.TopK
	case f.Half:
		return 1
	}
	return 0
}

// lossy reports whether reading gives other numbers than were written.
func (f Form) lossy() bool { return f.Half || f.TopK > 0 }

// check refuses forms that a task has no use for.
func (f Form) check(task onnx.Task) error {
	switch {
	case f.TopK < 0:
		return fmt.Errorf("teacher: the %d most probable classes; give a number above 0", f.TopK)
	case f.TopK > 0 && f.Half:
		return fmt.Errorf("teacher: a cache holds either the most probable classes or every logit as float16; choose one")
	case f.TopK > 0 && (task == onnx.Regression || task == onnx.Embedding):
		return fmt.Errorf("teacher: the most probable classes are kept of distributions, and the teacher's task is %s; keep all its numbers, as float16 if need be", task)
	}
	return nil
}

// Bytes is what n rows of width numbers take.
func (f Form) Bytes(n, width int) int64 {
	row := 4 * width
	switch k := min(f.TopK, width); {
	case k > 0:
		row = k*(2+indexBytes(width)) + 4
	case f.Half:
		row = 2 * width
	}
	return int64(n) * int64(row)
}

// indexBytes is the size of the number of a class.
func indexBytes(width int) int {
	if width <= 1<<16 {
		return 2
	}
	return 4
}

// encode writes rows of width numbers.
func (f Form) encode(v []float32, width int) ([]byte, error) {
	buf := make([]byte, 0, f.Bytes(len(v)/width, width))
	switch {
	case f.TopK > 0:
		rows, size := len(v)/width, int(f.Bytes(1, width))
		buf = buf[:rows*size]
		kernel.Parallel(rows, 4, func(lo, hi int) {
			t := newTops(min(f.TopK, width), width)
			for r := lo; r < hi; r++ {
				t.append(buf[r*size:r*size:(r+1)*size], v[r*width:(r+1)*width])
			}
		})
	case f.Half:
		for i, x := range v {
			h := onnx.Float32ToFloat16(x)
			if h&0x7fff == 0x7c00 {
				return nil, fmt.Errorf("teacher: number %d of row %d is %v, which float16 cannot hold; keep the teacher's numbers whole", i%width, i/width, x)
			}
			buf = binary.LittleEndian.AppendUint16(buf, h)
		}
	default:
		for _, x := range v {
			buf = binary.LittleEndian.AppendUint32(buf, math.Float32bits(x))
		}
	}
	return buf, nil
}

// decode reads n rows of width numbers; ok is false where the bytes are others.
func (f Form) decode(buf []byte, n, width int) (v []float32, ok bool) {
	if width <= 0 || n < 0 || int64(len(buf)) != f.Bytes(n, width) {
		return nil, false
	}
	v = make([]float32, n*width)
	switch {
	case f.TopK > 0:
		size := len(buf) / max(1, n)
		for r := range n {
			if !spread(v[r*width:(r+1)*width], buf[r*size:(r+1)*size], min(f.TopK, width)) {
				return nil, false
			}
		}
	case f.Half:
		for i := range v {
			v[i] = onnx.Float16ToFloat32(binary.LittleEndian.Uint16(buf[2*i:]))
		}
	default:
		for i := range v {
			v[i] = math.Float32frombits(binary.LittleEndian.Uint32(buf[4*i:]))
		}
	}
	return v, true
}

// leastLog is the smallest logarithm that is kept: float16 has none below −65504.
const leastLog = -65504

// tops finds the greatest of a row.
type tops struct {
	k, width int
	heap     []int32 // classes, the worst of the k best first
}

func newTops(k, width int) *tops { return &tops{k: k, width: width, heap: make([]int32, 0, k)} }

// append writes a row: K classes in ascending order, their log-probabilities
// as float16 in the same order, and the logarithm of the mass of the rest as
// float32.
func (t *tops) append(buf []byte, row []float32) []byte {
	t.pick(row)
	top := float64(row[t.heap[0]])
	for _, c := range t.heap {
		top = max(top, float64(row[c]))
	}
	slices.Sort(t.heap)
	total, rest := t.masses(row, top)
	norm := top + math.Log(total)
	mass, sure := restLog(rest, total, top, t.width)
	if !sure {
		mass = t.restExact(row, norm)
	}
	for _, c := range t.heap {
		if indexBytes(t.width) == 2 {
			buf = binary.LittleEndian.AppendUint16(buf, uint16(c))
		} else {
			buf = binary.LittleEndian.AppendUint32(buf, uint32(c))
		}
	}
	for _, c := range t.heap {
		buf = binary.LittleEndian.AppendUint16(buf, onnx.Float32ToFloat16(float32(max(leastLog, float64(row[c])-norm))))
	}
	return binary.LittleEndian.AppendUint32(buf, math.Float32bits(mass))
}

// masses are the sums of exp(x−top) over all classes, in their order, and over
// those that are not picked.
func (t *tops) masses(row []float32, top float64) (total, rest float64) {
	from := 0
	for _, c := range t.heap {
		for _, x := range row[from:c] {
			e := math.Exp(float64(x) - top)
			total, rest = total+e, rest+e
		}
		total += math.Exp(float64(row[c]) - top)
		from = int(c) + 1
	}
	for _, x := range row[from:] {
		e := math.Exp(float64(x) - top)
		total, rest = total+e, rest+e
	}
	return total, rest
}

// restExact is the logarithm of the mass of the classes that are not picked, as
// caches have it from the beginning: of the sum of exp(x−norm). That takes a second
// exponential of every class.
func (t *tops) restExact(row []float32, norm float64) float32 {
	rest, from := 0.0, 0
	for _, c := range t.heap {
		for _, x := range row[from:c] {
			rest += math.Exp(float64(x) - norm)
		}
		from = int(c) + 1
	}
	for _, x := range row[from:] {
		rest += math.Exp(float64(x) - norm)
	}
	return float32(max(leastLog, math.Log(rest)))
}

// restLog is what restExact gives, off the sums at hand, wherever it can be sure: where
// rest/total, and all that is nearer to it than the rounding of either way to sum n
// exponentials, has one logarithm in float32. The bound is four times what n
// additions, their arguments (at most 750, or the exponential is 0) and the
// norm can be wrong by.
func restLog(rest, total, top float64, n int) (log float32, sure bool) {
	const ulp = 1.0 / (1 << 52)
	off := 4 * ulp * (2*float64(n) + 8*(math.Abs(top)+800))
	if !(rest > 1e-200) || off > 1e-3 {
		return 0, false
	}
	lo, hi := float32(math.Log(rest/total*(1-off))), float32(math.Log(rest/total*(1+off)))
	return lo, lo == hi
}

// pick fills the heap with the k best classes; of equal ones the first.
func (t *tops) pick(row []float32) {
	worse := func(a, b int32) bool {
		x, y := row[a], row[b]
		return x < y || x == y && a > b
	}
	h := t.heap[:0]
	down := func(i int) {
		for {
			c := 2*i + 1
			if c >= len(h) {
				return
			}
			if c+1 < len(h) && worse(h[c+1], h[c]) {
				c++
			}
			if !worse(h[c], h[i]) {
				return
			}
			h[i], h[c] = h[c], h[i]
			i = c
		}
	}
	for i := range int32(len(row)) {
		switch {
		case len(h) < t.k:
			if h = append(h, i); len(h) == t.k {
				for j := t.k/2 - 1; j >= 0; j-- {
					down(j)
				}
			}
		case worse(h[0], i):
			h[0] = i
			down(0)
		}
	}
	t.heap = h
}

// spread reads a row that tops wrote.
func spread(row []float32, buf []byte, k int) bool {
	w := indexBytes(len(row))
	logs := buf[k*w:]
	rest := float64(math.Float32frombits(binary.LittleEndian.Uint32(logs[2*k:])))
	each := float32(rest - math.Log(float64(max(1, len(row)-k))))
	for i := range row {
		row[i] = each
	}
	last := -1
	for i := range k {
		c := 0
		if w == 2 {
			c = int(binary.LittleEndian.Uint16(buf[2*i:]))
		} else {
			c = int(binary.LittleEndian.Uint32(buf[4*i:]))
		}
		if c <= last || c >= len(row) {
			return false
		}
		row[c], last = onnx.Float16ToFloat32(binary.LittleEndian.Uint16(logs[2*i:])), c
	}
	return true
}
