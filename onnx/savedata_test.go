package onnx_test

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/litekit/lite/onnx"
)

// weights is a model of two large weights filled with v and a small one; what a
// model reads tells which one it is.
func weights(v float32) *onnx.Model {
	fill := func(n int) []float32 {
		out := make([]float32, n)
		for i := range out {
			out[i] = v
		}
		return out
	}
	m := &onnx.Model{IRVersion: 8, Opsets: []onnx.Opset{{Version: 17}}, Graph: &onnx.Graph{Name: fmt.Sprint(v)}}
	m.Graph.Initializers = []*onnx.Tensor{
		onnx.NewFloats("a", fill(700), 700), onnx.NewFloats("small", fill(2), 2), onnx.NewFloats("b", fill(300_000), 300, 1000),
	}
	m.Graph.Nodes = []*onnx.Node{onnx.NewNode("ReduceSum", "sum", []string{"b"}, []string{"y"})}
	m.Graph.Outputs = []*onnx.ValueInfo{{Name: "y", Type: onnx.Float}}
	return m
}

// whole checks that m is weights(v) for one v, and returns it.
func whole(t testing.TB, m *onnx.Model) float32 {
	t.Helper()
	var v float32
	if _, err := fmt.Sscan(m.Graph.Name, &v); err != nil {
		t.Fatal(err)
	}
	for _, w := range m.Graph.Initializers {
		x, err := w.Floats()
		if err != nil {
			t.Fatal(err)
		}
		for i := range x {
			if x[i] != v {
				t.Fatalf("the model is %v, but its weight %s holds %v", v, w.Name, x[i])
			}
		}
	}
	return v
}

func TestSaveExternalData(t *testing.T) {
	for _, tc := range []struct {
		name     string
		limit    int
		o        onnx.SaveOptions
		external bool
	}{
		{"one file", 1 << 30, onnx.SaveOptions{}, false},
		{"asked for", 1 << 30, onnx.SaveOptions{ExternalData: true}, true},
		{"too long", 1 << 20, onnx.SaveOptions{}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			defer onnx.SetOneFile(tc.limit)()
			dir := t.TempDir()
			path := filepath.Join(dir, "m.onnx")
			m := weights(3)
			saved, err := m.SaveWith(path, tc.o)
			if err != nil {
				t.Fatal(err)
			}
			wantData := ""
			if tc.external {
				wantData = path + "_data"
			}
			if saved.Model != path || saved.Data != wantData {
				t.Errorf("saved %+v, want data in %q", saved, wantData)
			}
			files, err := os.ReadDir(dir)
			if err != nil {
				t.Fatal(err)
			}
			var bytes int64
			for _, f := range files {
				info, err := f.Info()
				if err != nil {
					t.Fatal(err)
				}
				bytes += info.Size()
				if tc.external && f.Name() == "m.onnx" && info.Size() > 2000 {
					t.Errorf("the model has %d bytes, though its weights lie elsewhere", info.Size())
				}
			}
			if bytes != saved.Bytes {
				t.Errorf("%d bytes written, %d told", bytes, saved.Bytes)
			}
			got, err := onnx.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			whole(t, got)
			if got.Hash() != m.Hash() {
				t.Error("another model was read")
			}
			again := filepath.Join(dir, "again.onnx")
			if err := got.Save(again); err != nil {
				t.Fatal(err)
			}
			if b, err := onnx.Open(again); err != nil || b.Hash() != m.Hash() {
				t.Errorf("taken into one file: %v", err)
			}
		})
	}
}

// External data starts at multiples of 4096 in the order of the weights, small
// weights stay in the model, and the same model gives the same bytes.
func TestExternalDataLayout(t *testing.T) {
	dir := t.TempDir()
	var first []byte
	for _, name := range []string{"x", "y"} {
		path := filepath.Join(dir, name, "m.onnx")
		if err := os.Mkdir(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if _, err := weights(1).SaveWith(path, onnx.SaveOptions{ExternalData: true}); err != nil {
			t.Fatal(err)
		}
		model, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if first != nil && string(model) != string(first) {
			t.Error("saved twice, the bytes differ")
		}
		first = model
		if n := strings.Count(string(model), "m.onnx_data"); n != 2 {
			t.Errorf("%d weights lie in the data file, want 2", n)
		}
		data, err := os.Stat(path + "_data")
		if err != nil || data.Size() != 4096+4*300_000 {
			t.Errorf("the data file: %v, %v; want the second weight at 4096", data.Size(), err)
		}
	}
	if _, err := (&onnx.Model{Graph: &onnx.Graph{}}).SaveWith(filepath.Join(dir, "none.onnx"), onnx.SaveOptions{ExternalData: true}); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "none.onnx_data")); err == nil {
		t.Error("a data file of nothing was written")
	}
	if _, err := weights(1).SaveWith(filepath.Join(dir, "m.onnx"), onnx.SaveOptions{File: "other.onnx"}); err == nil {
		t.Error("two names for one file were accepted")
	}
}

// Whoever opens a model while others replace it reads one with its own weights,
// and so does who finds the files where a writer was stopped: the order of the
// steps is the same.
func TestReplaceExternalData(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "m.onnx")
	save := func(v float32, external bool) {
		if _, err := weights(v).SaveWith(path, onnx.SaveOptions{ExternalData: external}); err != nil {
			t.Error(err)
		}
	}
	save(0, true)
	var writers, readers sync.WaitGroup
	done := make(chan struct{})
	writers.Add(1)
	go func() {
		defer writers.Done()
		for i := range 40 {
			save(float32(i), i%4 != 3)
		}
	}()
	read := 0
	readers.Add(1)
	go func() {
		defer readers.Done()
		for {
			select {
			case <-done:
				return
			default:
			}
			m, err := onnx.Open(path)
			if err != nil {
				if strings.Contains(err.Error(), "again and again") {
					continue
				}
				t.Error(err)
				return
			}
			whole(t, m)
			read++
		}
	}()
	writers.Wait()
	close(done)
	readers.Wait()
	if read == 0 && !t.Failed() {
		t.Error("nothing was read")
	}
	save(7, true)
	files, err := filepath.Glob(filepath.Join(dir, ".*"))
	if err != nil || len(files) > 0 {
		t.Errorf("left: %v %v", files, err)
	}
	m, err := onnx.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	whole(t, m)
}

// What goes wrong while two files are replaced leaves a model with its own weights.
func TestReplaceThatFails(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "m.onnx")
	if _, err := weights(1).SaveWith(path, onnx.SaveOptions{ExternalData: true}); err != nil {
		t.Fatal(err)
	}
	// A folder stands where the data is to be: it cannot be replaced.
	if err := os.Rename(path+"_data", path+"_kept"); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(path+"_data", "full"), 0o777); err != nil {
		t.Fatal(err)
	}
	_, err := weights(2).SaveWith(path, onnx.SaveOptions{ExternalData: true})
	if err == nil || !strings.Contains(err.Error(), "keep that file, or save again") {
		t.Fatalf("error %v", err)
	}
	m, err := onnx.Open(path)
	if err != nil || whole(t, m) != 2 {
		t.Errorf("the new model: %v", err)
	}
	if err := os.RemoveAll(path + "_data"); err != nil {
		t.Fatal(err)
	}
	if err := m.Save(path); err != nil { // over the file it was opened from
		t.Fatal(err)
	}
	if m, err = onnx.Open(path); err != nil || whole(t, m) != 2 {
		t.Errorf("saved again: %v", err)
	}
	// A folder stands where the model is to be: nothing is changed.
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(path, "full"), 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := weights(3).SaveWith(path, onnx.SaveOptions{ExternalData: true}); err == nil {
		t.Fatal("a model was written over a folder")
	}
	if _, err := os.Stat(path + "_data"); err == nil {
		t.Error("data without a model is left")
	}
}

// A file that is cut short while its weights are read is an error that names it.
func TestCutShort(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("files are not mapped here")
	}
	for _, external := range []bool{false, true} {
		path := filepath.Join(t.TempDir(), "m.onnx")
		saved, err := weights(1).SaveWith(path, onnx.SaveOptions{ExternalData: external})
		if err != nil {
			t.Fatal(err)
		}
		m, err := onnx.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		cut := cmp.Or(saved.Data, saved.Model)
		if err := os.Truncate(cut, 8192); err != nil {
			t.Fatal(err)
		}
		sum := float32(0)
		err = onnx.Guard(func() error {
			x, err := m.Graph.Initializers[2].Floats()
			for _, v := range x {
				sum += v
			}
			return err
		})
		var short *onnx.CutShortError
		if !errors.As(err, &short) || short.Path != cut {
			t.Errorf("external %v: error %v, want one that names %s", external, err, cut)
		}
		if err := m.Save(filepath.Join(t.TempDir(), "copy.onnx")); err == nil {
			t.Errorf("external %v: a model without its weights was written", external)
		}
	}
	for _, r := range []any{"text", errors.New("other"), nil} {
		if err := onnx.Fault(r); err != nil {
			t.Errorf("%v is taken for a fault of a file: %v", r, err)
		}
	}
	defer func() {
		if r := recover(); r != "other" {
			t.Errorf("recovered %v; other panics pass through", r)
		}
	}()
	_ = onnx.Guard(func() error { panic("other") })
}
