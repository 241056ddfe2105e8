package exec_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/litekit/lite/internal/exec"
	"github.com/litekit/lite/onnx"
)

// gramAttrs are single words 2, 3 and 7 and pairs 5 6, 7 8 and 6 7 in columns
// that are not their order; more replaces and adds.
func gramAttrs(more ...*onnx.Attribute) []*onnx.Attribute {
	list := attrs(onnx.StringAttr("mode", "TF"), at("min_gram_length", 1), at("max_gram_length", 2), at("max_skip_count", 0),
		onnx.IntsAttr("ngram_counts", 0, 3), onnx.IntsAttr("ngram_indexes", 4, 0, 1, 5, 2, 3), onnx.IntsAttr("pool_int64s", 2, 3, 7, 5, 6, 7, 8, 6, 7))
	for _, m := range more {
		found := false
		for i, a := range list {
			if a.Name == m.Name {
				list[i], found = m, true
			}
		}
		if !found {
			list = append(list, m)
		}
	}
	return list
}

func floatsAttr(name string, v ...float32) *onnx.Attribute {
	return &onnx.Attribute{Name: name, Type: onnx.AttrFloats, Floats: v}
}

// TestTfIdf holds the modes, skips and shapes to ONNX Runtime.
func TestTfIdf(t *testing.T) {
	row := i32([]int32{1, 1, 3, 3, 3, 7, 8, 6, 7, 5, 6, 8, 7, 6}, 14)
	rows := exec.Int64s([]int64{1, 5, 3, 6, 3, 7, 8, 6, 7, 5, 6, 8, 7, 6}, 2, 7)
	weights := floatsAttr("weights", 1.5, -2, 0.5, 3, 7, 11)
	var tests []nodeTest
	add := func(name string, x *exec.Tensor, a ...*onnx.Attribute) {
		tests = append(tests, nodeTest{name: name, op: "TfIdfVectorizer", outputs: 1, in: ins(x), attrs: gramAttrs(a...)})
	}
	add("counts", row)
	add("counts of rows", rows)
	add("skips", rows, at("max_skip_count", 3))
	add("skips longer than rows", rows, at("max_skip_count", 50))
	add("pairs alone", rows, at("min_gram_length", 2), at("max_skip_count", 2))
	add("words alone", rows, at("max_gram_length", 1))
	for _, mode := range []string{"TF", "IDF", "TFIDF"} {
		add(mode+" with weights", rows, onnx.StringAttr("mode", mode), weights, at("max_skip_count", 1))
		add(mode+" without", row, onnx.StringAttr("mode", mode))
	}
	for _, mode := range []string{"TF", "TFIDF"} {
		add(mode+" of n-grams that share a column", rows, onnx.StringAttr("mode", mode), weights, onnx.IntsAttr("ngram_indexes", 0, 1, 1, 0, 3, 3))
	}
	add("triples", row, at("max_gram_length", 3), onnx.IntsAttr("ngram_counts", 0, 1, 5), at("max_skip_count", 2),
		onnx.IntsAttr("pool_int64s", 3, 3, 7, 6, 7, 3, 7, 8, 7, 6, 8), onnx.IntsAttr("ngram_indexes", 0, 1, 2, 3, 4))
	againstORT(t, tests)
}

// TestTfIdfRefuses: what a node may not be, said when the session is made.
func TestTfIdfRefuses(t *testing.T) {
	for _, test := range []struct {
		want string
		attr *onnx.Attribute
	}{
		{"min_gram_length", at("min_gram_length", 0)},
		{"min_gram_length", at("max_gram_length", 0)},
		{"max_skip_count", at("max_skip_count", -1)},
		{"TF, IDF or TFIDF", onnx.StringAttr("mode", "BM25")},
		{"max_gram_length is 3", at("max_gram_length", 3)},
		{"ngram_counts", onnx.IntsAttr("ngram_counts", 0, 2)},
		{"ngram_counts", onnx.IntsAttr("ngram_counts", 0, 30)},
		{"ngram_indexes", onnx.IntsAttr("ngram_indexes")},
		{"ngram_indexes", onnx.IntsAttr("ngram_indexes", 0, 1, 2, 3, 4, -1)},
		{"ngram_indexes", onnx.IntsAttr("ngram_indexes", 0, 1, 2)},
		{"ngram_indexes", onnx.IntsAttr("ngram_indexes", 0, 1, 2, 3, 4, 5, 6)},
		{"twice", onnx.IntsAttr("pool_int64s", 2, 3, 2, 5, 6, 7, 8, 6, 7)},
		{"weights", floatsAttr("weights", 1)},
		{"strings", &onnx.Attribute{Name: "pool_strings", Type: onnx.AttrStrings, Strings: [][]byte{[]byte("a")}}},
	} {
		n := nodeTest{op: "TfIdfVectorizer", outputs: 1, in: ins(i32([]int32{1, 2}, 2)), attrs: gramAttrs(test.attr)}
		m, _ := n.model(1, nil)
		if _, err := exec.New(m, exec.Options{}); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s %v: %v; an error with %q is wanted", test.attr.Name, test.attr.Ints, err, test.want)
		}
	}
	for _, x := range []*exec.Tensor{fl(1, 3), exec.Int64s([]int64{1}, 1, 1, 1)} {
		n := nodeTest{op: "TfIdfVectorizer", outputs: 1, in: ins(x), attrs: gramAttrs()}
		m, feed := n.model(1, nil)
		s, err := exec.New(m, exec.Options{})
		if err == nil {
			_, err = s.Run(context.Background(), feed)
		}
		if err == nil {
			t.Errorf("an input of type %v and shape %v runs", x.Type, x.Shape)
		}
	}
}

// TestRefusedAtOnce: what is known not to run is said before anything runs, with the reason.
func TestRefusedAtOnce(t *testing.T) {
	mask := i32(make([]int32, 64), 2, 1, 4, 8)
	for _, test := range []struct {
		want string
		node nodeTest
	}{
		{"a mask of 4 dimensions", nodeTest{op: "com.microsoft:Attention", outputs: 1, attrs: attrs(at("num_heads", 2)),
			in: ins(fl(1, 2, 4, 8), fl(2, 8, 24), fl(3, 24), mask)}},
		{"a mask of 4 dimensions", nodeTest{op: "com.microsoft:MultiHeadAttention", outputs: 1, attrs: attrs(at("num_heads", 2)),
			in: ins(fl(1, 2, 4, 8), fl(2, 2, 4, 8), fl(3, 2, 4, 8), nil, mask)}},
		{"sparse", nodeTest{op: "com.microsoft:SparseToDenseMatMul", outputs: 1, in: ins(fl(1, 2, 4), fl(2, 4, 2))}},
		{"for GPUs alone", nodeTest{op: "com.microsoft:BiasSplitGelu", outputs: 1, in: ins(fl(1, 1, 4, 2560), fl(2, 2560))}},
	} {
		for _, constant := range []int{len(test.node.in), 1} {
			m, _ := test.node.model(constant, nil)
			var e *exec.UnsupportedError
			if _, err := exec.New(m, exec.Options{}); !errors.As(err, &e) || len(e.Items) != 1 || !strings.Contains(e.Items[0], test.want) {
				t.Errorf("%s: %v; one item with %q is wanted", test.node.op, err, test.want)
			}
		}
	}
}
