package teacher

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// softmax of logits at a temperature.
func softmax(x []float32, temperature float64) []float64 {
	out, top, sum := make([]float64, len(x)), float64(slices.Max(x)), 0.0
	for i, v := range x {
		out[i] = math.Exp((float64(v) - top) / temperature)
		sum += out[i]
	}
	for i := range out {
		out[i] /= sum
	}
	return out
}

func draw(seed uint64, rows, width int, scale float64) []float32 {
	r := rand.New(rand.NewPCG(seed, 1))
	out := make([]float32, rows*width)
	for i := range out {
		out[i] = float32(scale * r.NormFloat64())
	}
	return out
}

func roundTrip(t *testing.T, f Form, v []float32, width int) []float32 {
	t.Helper()
	data, err := f.encode(v, width)
	if err != nil {
		t.Fatal(err)
	}
	if int64(len(data)) != f.Bytes(len(v)/width, width) {
		t.Fatalf("%v: %d bytes where %d are announced", f, len(data), f.Bytes(len(v)/width, width))
	}
	got, ok := f.decode(data, len(v)/width, width)
	if !ok {
		t.Fatalf("%v: cannot read what it wrote", f)
	}
	return got
}

func TestFullAndHalf(t *testing.T) {
	v := draw(1, 3, 7, 5)
	if got := roundTrip(t, Form{}, v, 7); !slices.Equal(got, v) {
		t.Error("full numbers differ")
	}
	got := roundTrip(t, Form{Half: true}, v, 7)
	for i, x := range v {
		if d := math.Abs(float64(got[i]) - float64(x)); d > math.Abs(float64(x))/2048+1e-7 {
			t.Errorf("%v became %v", x, got[i])
		}
	}
	if again := roundTrip(t, Form{Half: true}, got, 7); !slices.Equal(again, got) {
		t.Error("what was read is not written as it is")
	}
	if _, err := (Form{Half: true}).encode([]float32{1, 7e4}, 2); err == nil {
		t.Error("a number beyond float16 was written")
	}
}

// The K greatest come back within the rounding of float16, the rest has its
// mass, and the divergence is what the documentation of Form says.
func TestTopKKeepsTheHeadAndTheMassOfTheRest(t *testing.T) {
	for _, tc := range []struct {
		rows, width, k int
		scale          float64
	}{{4, 500, 64, 3}, {2, 70000, 64, 2}, {3, 9, 4, 1}, {2, 5, 5, 1}, {2, 5, 50, 1}, {1, 3, 1, 40}} {
		v := draw(uint64(tc.width), tc.rows, tc.width, tc.scale)
		got := roundTrip(t, Form{TopK: tc.k}, v, tc.width)
		for r := range tc.rows {
			x, y := v[r*tc.width:(r+1)*tc.width], got[r*tc.width:(r+1)*tc.width]
			p, q := softmax(x, 1), softmax(y, 1)
			order := make([]int, tc.width)
			for i := range order {
				order[i] = i
			}
			slices.SortStableFunc(order, func(a, b int) int {
				switch {
				case x[a] > x[b]:
					return -1
				case x[a] < x[b]:
					return 1
				}
				return 0
			})
			k := min(tc.k, tc.width)
			rest, kl := 0.0, 0.0
			for i, c := range order {
				if i < k {
					if d := math.Abs(p[c]/q[c] - 1); d > math.Abs(math.Log(p[c]))/1024+1e-3 {
						t.Errorf("%+v: class %d of rank %d has %g, read %g", tc, c, i, p[c], q[c])
					}
				} else {
					rest += p[c]
				}
				kl += p[c] * math.Log(p[c]/q[c])
			}
			entropy := 0.0
			for _, c := range order[k:] {
				entropy -= p[c] / rest * math.Log(p[c]/rest)
			}
			want := 0.0
			if k < tc.width {
				want = rest * (math.Log(float64(tc.width-k)) - entropy)
				if d := math.Abs(q[order[k]]*float64(tc.width-k)/rest - 1); d > 1e-2 {
					t.Errorf("%+v: the rest has a mass of %g, read %g", tc, rest, q[order[k]]*float64(tc.width-k))
				}
			}
			if math.Abs(kl-want) > 1e-3*(1+want) {
				t.Errorf("%+v: divergence %g, expected %g", tc, kl, want)
			}
		}
		if size := (Form{TopK: tc.k}).Bytes(1, tc.width); tc.width == 500 && size != 64*4+4 || tc.width == 70000 && size != 64*6+4 {
			t.Errorf("a row of %d takes %d bytes", tc.width, size)
		}
	}
}

// Equal logits are taken in order, so that the bytes are always the same.
func TestTopKTakesTheFirstOfEquals(t *testing.T) {
	v := make([]float32, 10)
	v[7] = 1
	row := newTops(3, 10)
	row.append(nil, v)
	if want := []int32{0, 1, 7}; !slices.Equal(row.heap, want) {
		t.Errorf("picked %v, want %v", row.heap, want)
	}
}

// The mass of the rest is that of exp(x−norm), bit by bit, though it is mostly taken
// from other sums: caches keep their bytes.
func TestTopKMassIsExact(t *testing.T) {
	sure, rows := 0, 0
	for _, c := range []struct {
		rows, width, k int
		scale, shift   float64
	}{{200, 300, 8, 1, 0}, {200, 300, 8, 12, 0}, {100, 300, 299, 4, 500}, {40, 5000, 64, 3, -30}, {40, 300, 8, 200, 0}, {5, 8, 8, 3, 0}} {
		v := draw(7, c.rows, c.width, c.scale)
		for i := range v {
			v[i] += float32(c.shift)
		}
		data, err := Form{TopK: c.k}.encode(v, c.width)
		if err != nil {
			t.Fatal(err)
		}
		size := len(data) / c.rows
		for r := range c.rows {
			row, buf := v[r*c.width:(r+1)*c.width], data[r*size:(r+1)*size]
			top, total, rest := float64(slices.Max(row)), 0.0, 0.0
			for _, x := range row {
				total += math.Exp(float64(x) - top)
			}
			norm, picked := top+math.Log(total), map[int]bool{}
			for i := range c.k {
				picked[int(binary.LittleEndian.Uint16(buf[2*i:]))] = true
			}
			for i, x := range row {
				if !picked[i] {
					rest += math.Exp(float64(x) - norm)
				}
			}
			want := float32(max(leastLog, math.Log(rest)))
			if got := math.Float32frombits(binary.LittleEndian.Uint32(buf[size-4:])); got != want {
				t.Fatalf("%+v: row %d: %v, want %v", c, r, got, want)
			}
			if _, ok := restLog(rest, 1, top, c.width); ok {
				sure++
			}
			rows++
		}
	}
	if sure < rows*4/5 {
		t.Errorf("%d rows of %d without a second exponential", sure, rows)
	}
	// A mass in the middle between two numbers of float32 is not guessed.
	half := (float64(float32(-0.7)) + float64(math.Nextafter32(-0.7, 0))) / 2
	if _, ok := restLog(math.Exp(half), 1, 0, 1000); ok {
		t.Error("a mass between two numbers is taken for sure")
	}
}

// Bytes that were not written by encode are refused, and no index leaves the row.
func TestDecodeRefusesOtherBytes(t *testing.T) {
	f := Form{TopK: 2}
	good, err := f.encode([]float32{1, 2, 3, 4}, 4)
	if err != nil {
		t.Fatal(err)
	}
	beyond, twice := slices.Clone(good), slices.Clone(good)
	beyond[2], twice[2] = 4, twice[0]
	for name, b := range map[string][]byte{"short": good[:5], "index beyond": beyond, "index twice": twice} {
		if _, ok := f.decode(b, 1, 4); ok {
			t.Errorf("%s: read", name)
		}
	}
	if _, ok := f.decode(good, 1, 0); ok {
		t.Error("rows of nothing were read")
	}
}

func TestFormsHaveNames(t *testing.T) {
	for _, f := range []Form{{}, {Half: true}, {TopK: 64}} {
		if got, ok := parseForm(f.String()); !ok || got != f {
			t.Errorf("%v became %v", f, got)
		}
	}
	for _, s := range []string{"", "top-", "top-0", "top-x", "quarter"} {
		if _, ok := parseForm(s); ok {
			t.Errorf("%q is a form", s)
		}
	}
}
