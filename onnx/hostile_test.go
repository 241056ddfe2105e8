package onnx_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/litekit/lite/internal/onnxpb"
	"github.com/litekit/lite/onnx"
)

// bounded runs f and fails where it takes more than 5 s or allocates more than
// 192 MiB: far above what is used here, far below what growth with the square
// of the input takes.
func bounded(t *testing.T, f func()) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := time.Now()
	f()
	took := time.Since(start)
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; took > 5*time.Second || used > 192<<20 {
		t.Errorf("took %v and %d MiB", took, used>>20)
	}
}

// wire is a message made field by field, as a hostile writer would.
func wire(fill func(m *onnxpb.Message)) *onnxpb.Message {
	m := &onnxpb.Message{}
	fill(m)
	return m
}

// weight is a model with one initializer "w" filled in by f.
func weight(f func(w *onnxpb.Message)) []byte {
	return wire(func(m *onnxpb.Message) {
		m.Int(1, 8)
		m.Message(7, wire(func(g *onnxpb.Message) {
			g.Message(5, wire(func(w *onnxpb.Message) {
				w.String(8, "w")
				f(w)
			}))
		}))
	}).Encode()
}

// shaped is a weight of float32 with the dimensions, and data.
func shaped(raw []byte, dims ...int64) []byte {
	return weight(func(w *onnxpb.Message) {
		for _, d := range dims {
			w.Int(1, d)
		}
		w.Int(2, 1)
		if raw != nil {
			w.Bytes(9, raw)
		}
	})
}

// nested is a model whose graph holds a graph that holds a graph, depth times.
func nested(depth int) []byte {
	g := wire(func(g *onnxpb.Message) { g.String(2, "inner") })
	for range depth {
		inner := g
		g = wire(func(g *onnxpb.Message) {
			g.Message(1, wire(func(n *onnxpb.Message) {
				n.String(3, "n")
				n.Message(5, wire(func(a *onnxpb.Message) {
					a.String(1, "body")
					a.Message(6, inner)
				}))
			}))
		})
	}
	return wire(func(m *onnxpb.Message) { m.Message(7, g) }).Encode()
}

func TestHostileBytes(t *testing.T) {
	huge := func(m *onnxpb.Message) { m.Raw([]byte{0x3a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f}) }
	for name, c := range map[string]struct {
		data []byte
		want []string
	}{
		"nothing":               {nil, []string{"no graph"}},
		"text":                  {[]byte("<!DOCTYPE html><html></html>"), []string{"onnx"}},
		"zeros":                 {make([]byte, 1<<20), []string{"not valid protobuf"}},
		"a length of petabytes": {wire(huge).Encode(), []string{"field 7", "cut short"}},
		"group":                 {[]byte{0x3b, 0x3c}, []string{"field 7", "wire type"}},
		"negative dimension":    {shaped(nil, 2, -3), []string{`"w"`, "[2 -3]", "-3 is negative"}},
		"overflowing":           {shaped(nil, 1<<40, 1<<40), []string{`"w"`, "too large"}},
		"overflowing to zero":   {shaped(nil, 1<<32, 1<<32), []string{`"w"`, "too large"}},
		"10^12 elements":        {shaped([]byte{1, 2, 3, 4}, 1e6, 1e6), []string{`"w"`, "4 bytes", "[1000000 1000000]"}},
		"10^12, no data":        {shaped(nil, 1e12), []string{`"w"`, "0 bytes"}},
		"not a whole element":   {shaped([]byte{1, 2, 3}, 1), []string{`"w"`, "3 bytes"}},
		"raw data twice":        {weight(func(w *onnxpb.Message) { w.Int(2, 1); w.Bytes(9, []byte{1}); w.Bytes(9, []byte{1}) }), []string{`"w"`, "twice"}},
		"data in two fields":    {weight(func(w *onnxpb.Message) { w.Int(2, 1); w.Float(4, 1); w.Bytes(9, []byte{1}) }), []string{`"w"`, "fields 4 and 9"}},
		"data of another type":  {weight(func(w *onnxpb.Message) { w.Int(2, 1); w.Int(7, 1) }), []string{`"w"`, "field 4", "not 7"}},
		"raw strings":           {weight(func(w *onnxpb.Message) { w.Int(2, 8); w.Bytes(9, []byte("a")) }), []string{`"w"`, "string_data"}},
		"10^12 strings":         {weight(func(w *onnxpb.Message) { w.Int(1, 1e12); w.Int(2, 8); w.String(6, "a") }), []string{`"w"`, "1 strings"}},
		"external":              {weight(func(w *onnxpb.Message) { w.Int(1, 1); w.Int(2, 1); w.Int(14, 1) }), []string{`"w"`, "another file"}},
		"nested":                {nested(100), []string{"nested more than 64 deep", `"body"`}},
		"nested very deep":      {nested(3000), []string{"nested more than 64 deep"}},
	} {
		t.Run(name, func(t *testing.T) {
			var err error
			bounded(t, func() { _, err = onnx.Decode(c.data) })
			if err == nil {
				t.Fatal("no error")
			}
			for _, w := range c.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("error does not say %s: %.300s", w, err)
				}
			}
			if len(err.Error()) > 4000 {
				t.Errorf("the error has %d bytes", len(err.Error()))
			}
		})
	}
	if m, err := onnx.Decode(nested(60)); err != nil || m.Check() == nil {
		t.Errorf("60 levels are allowed, but nodes without operators are not: %v", err)
	}
}

// A file cut anywhere is an error or, between two fields, a model that Check judges.
func TestTruncated(t *testing.T) {
	data := handMade(t)
	if m, err := onnx.Decode(data); err != nil || m.Check() != nil {
		t.Fatalf("the whole file: %v, %v", err, m.Check())
	}
	whole := 0
	for k := range data {
		m, err := onnx.Decode(data[:k])
		if err == nil {
			whole++
			_ = m.Check()
		} else if !strings.HasPrefix(err.Error(), "onnx: ") {
			t.Errorf("%d bytes: %v", k, err)
		}
	}
	if whole > 12 {
		t.Errorf("%d of %d cut files were read", whole, len(data))
	}
}

// A few bytes that make others be copied again and again.
func TestHostileRepetition(t *testing.T) {
	parts := wire(func(m *onnxpb.Message) {
		m.Message(7, wire(func(g *onnxpb.Message) {
			g.Message(11, wire(func(v *onnxpb.Message) {
				v.String(1, "x")
				for range 200_000 {
					v.Bytes(2, []byte{0x32, 0})
				}
			}))
		}))
	}).Encode()
	var m *onnx.Model
	var err error
	bounded(t, func() { m, err = onnx.Decode(parts) })
	if err != nil || len(m.Graph.Inputs) != 1 {
		t.Errorf("a type in 200000 parts: %v", err)
	}
}

func TestHostileGraphs(t *testing.T) {
	const many = 30_000
	build := func(fill func(g *onnx.Graph)) *onnx.Model {
		m := &onnx.Model{IRVersion: 8, Opsets: []onnx.Opset{{Version: 17}}, Graph: &onnx.Graph{Name: "g"}}
		fill(m.Graph)
		return m
	}
	relu := func(g *onnx.Graph, in, out string) {
		g.Nodes = append(g.Nodes, onnx.NewNode("Relu", "make_"+out, []string{in}, []string{out}))
	}
	for name, c := range map[string]struct {
		fill func(g *onnx.Graph)
		want []string
	}{
		"itself": {func(g *onnx.Graph) { relu(g, "a", "a") }, []string{"make_a", `"a"`, "cycle"}},
		"cycle":  {func(g *onnx.Graph) { relu(g, "b", "a"); relu(g, "a", "b") }, []string{"make_a", "make_b", "cycle"}},
		"long cycle": {func(g *onnx.Graph) {
			for i := range many {
				relu(g, fmt.Sprint((i+1)%many), fmt.Sprint(i))
			}
		}, []string{"make_0", "cycle", "more)"}},
		"backwards": {func(g *onnx.Graph) {
			g.Inputs = []*onnx.ValueInfo{{Name: fmt.Sprint(many), Type: onnx.Float}}
			for i := range many {
				relu(g, fmt.Sprint(i+1), fmt.Sprint(i))
			}
		}, []string{"make_0", "made later", "Graph.Sort", fmt.Sprintf("and %d more faults", many-1-20)}},
		"one name for all": {func(g *onnx.Graph) {
			g.Inputs = []*onnx.ValueInfo{{Name: "x", Type: onnx.Float}}
			for i := range many {
				n := onnx.NewNode("Relu", fmt.Sprint("n", i), []string{"x"}, []string{"y"})
				g.Nodes = append(g.Nodes, n)
			}
		}, []string{"n1", `"y" is made before, by node n0`, "more faults"}},
		"duplicates": {func(g *onnx.Graph) {
			v := &onnx.ValueInfo{Name: "x", Type: onnx.Float}
			g.Inputs, g.Outputs = []*onnx.ValueInfo{v, v}, []*onnx.ValueInfo{v, v}
			w := onnx.NewFloats("w", []float32{1})
			g.Initializers = []*onnx.Tensor{w, w}
		}, []string{`input "x" is declared twice`, `output "x" is declared twice`, `initializer "w" stands twice`}},
		"dimensions": {func(g *onnx.Graph) {
			g.Initializers = []*onnx.Tensor{
				{Name: "a", Type: onnx.Float, Dims: []int64{-1}}, {Name: "b", Type: onnx.Float, Dims: []int64{1 << 40, 1 << 40}},
				{Name: "c", Type: onnx.Int4, Dims: []int64{1e12}},
			}
		}, []string{`"a"`, "negative", `"b"`, "too large", `"c"`, "0 bytes"}},
	} {
		t.Run(name, func(t *testing.T) {
			m := build(c.fill)
			var err error
			bounded(t, func() { err = m.Check() })
			if err == nil {
				t.Fatal("no error")
			}
			for _, w := range c.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("error does not say %s: %.600s", w, err)
				}
			}
			if len(err.Error()) > 8000 {
				t.Errorf("the error has %d bytes", len(err.Error()))
			}
			bounded(t, func() { _ = m.Graph.Sort() })
		})
	}
}

func TestHostileExternalData(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "model")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.MkdirAll(filepath.Join(dir, "sub"), 0o777))
	secret := filepath.Join(root, "secret")
	must(os.WriteFile(secret, make([]byte, 64), 0o666))
	must(os.WriteFile(filepath.Join(dir, "sub", "data"), []byte("0123456789abcdef"), 0o666))
	links := true
	for name, to := range map[string]string{"out": secret, "up": root, "in": filepath.Join("sub", "data"), "loop": "loop"} {
		links = os.Symlink(to, filepath.Join(dir, name)) == nil && links
	}
	for name, c := range map[string]struct {
		location, offset, length, want string
	}{
		"absolute":            {secret, "", "", "leads out of the model's directory"},
		"parent":              {"../secret", "", "", "leads out of the model's directory"},
		"parent, hidden":      {"sub/../../secret", "", "", "leads out of the model's directory"},
		"backslashes":         {`..\secret`, "", "", "leads out of the model's directory"},
		"link out":            {"out", "", "", "link out of the model's directory"},
		"link to a parent":    {"up/secret", "", "", "link out of the model's directory"},
		"link to itself":      {"loop", "", "", "too many links"},
		"link within":         {"in", "4", "8", ""},
		"plain":               {"./sub/../sub/data", "", "8", ""},
		"not there":           {"gone", "", "", "gone"},
		"a directory":         {"sub", "", "", "not a regular file"},
		"no location":         {"", "", "", "no location"},
		"offset beyond":       {"sub/data", "17", "8", "8 bytes from byte 17 lie outside"},
		"end beyond":          {"sub/data", "9", "8", `"sub/data", which has 16`},
		"offset overflows":    {"sub/data", "9223372036854775807", "8", "lie outside"},
		"length overflows":    {"sub/data", "8", "9223372036854775807", "lie outside"},
		"offset of 20 digits": {"sub/data", "18446744073709551616", "8", "not a number of bytes"},
		"negative offset":     {"sub/data", "-8", "8", "not a number of bytes"},
		"negative length":     {"sub/data", "", "-1", "not a number of bytes"},
		"length in words":     {"sub/data", "", "eight", "not a number of bytes"},
		"too few":             {"sub/data", "", "4", "4 bytes do not hold"},
	} {
		t.Run(name, func(t *testing.T) {
			if !links && (strings.Contains(name, "link")) {
				t.Skip("no symbolic links here")
			}
			file := filepath.Join(dir, "model.onnx")
			must(os.WriteFile(file, external(c.location, c.offset, c.length, 2), 0o666))
			var m *onnx.Model
			var err error
			bounded(t, func() { m, err = onnx.Open(file) })
			switch {
			case c.want == "" && err != nil:
				t.Fatal(err)
			case c.want == "":
				if got, at := string(m.Graph.Initializers[0].Raw), len(c.offset)*4; got != "0123456789abcdef"[at:at+8] {
					t.Errorf("read %q", got)
				}
			case err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), `"w"`):
				t.Errorf("error %v; want it to name the tensor and say %s", err, c.want)
			}
		})
	}
}

// external is a model with a float32 weight "w" of n elements in another file.
func external(location, offset, length string, n int64) []byte {
	return weight(func(w *onnxpb.Message) {
		w.Int(1, n)
		w.Int(2, 1)
		for i, v := range []string{location, offset, length} {
			if v != "" {
				w.Message(13, wire(func(p *onnxpb.Message) {
					p.String(1, []string{"location", "offset", "length"}[i])
					p.String(2, v)
				}))
			}
		}
		w.Int(14, 1)
	})
}

// A data file under many spellings of its name is read once.
func TestExternalDataAliases(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "data"), make([]byte, 1<<19), 0o666); err != nil {
		t.Fatal(err)
	}
	data := wire(func(m *onnxpb.Message) {
		m.Message(7, wire(func(g *onnxpb.Message) {
			for i := range 500 {
				g.Message(5, wire(func(w *onnxpb.Message) {
					w.String(8, fmt.Sprint("w", i))
					w.Int(1, 4)
					w.Int(2, 1)
					w.Message(13, wire(func(p *onnxpb.Message) {
						p.String(1, "location")
						p.String(2, strings.Repeat("./", i)+"data")
					}))
					w.Int(14, 1)
				}))
			}
		}))
	}).Encode()
	file := filepath.Join(dir, "model.onnx")
	if err := os.WriteFile(file, data, 0o666); err != nil {
		t.Fatal(err)
	}
	bounded(t, func() {
		if m, err := onnx.Open(file); err != nil || len(m.Graph.Initializers) != 500 {
			t.Error(err)
		}
	})
}
