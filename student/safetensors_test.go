package student_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/litekit/lite/internal/modeltest"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/prune"
	"github.com/litekit/lite/student"
)

// The file is read back by the rules of the format and holds every parameter
// where its header says.
func TestEncodeSafetensors(t *testing.T) {
	m := modeltest.New(t, tiny, 1, student.MaskedLM())
	file, err := student.EncodeSafetensors(m)
	if err != nil {
		t.Fatal(err)
	}
	n := binary.LittleEndian.Uint64(file)
	if n%8 != 0 || int(n) > len(file)-8 {
		t.Fatalf("header of %d bytes in a file of %d", n, len(file))
	}
	var header map[string]json.RawMessage
	if err := json.Unmarshal(file[8:8+n], &header); err != nil {
		t.Fatal(err)
	}
	data := file[8+n:]
	want, err := student.Safetensors(m)
	if err != nil {
		t.Fatal(err)
	}
	if len(header) != len(want)+1 {
		t.Errorf("%d entries for %d parameters and the metadata", len(header), len(want))
	}
	covered := 0
	for _, w := range want {
		var e struct {
			Type    string  `json:"dtype"`
			Shape   []int64 `json:"shape"`
			Offsets [2]int  `json:"data_offsets"`
		}
		if err := json.Unmarshal(header[w.Name], &e); err != nil {
			t.Fatalf("%s: %v", w.Name, err)
		}
		if e.Type != "F32" || !bytes.Equal(data[e.Offsets[0]:e.Offsets[1]], w.Raw) || len(e.Shape) != len(w.Dims) {
			t.Errorf("%s: %+v is not the parameter of %v", w.Name, e, w.Dims)
		}
		covered += e.Offsets[1] - e.Offsets[0]
	}
	if covered != len(data) {
		t.Errorf("%d of %d bytes of data are described", covered, len(data))
	}
}

func TestSafetensorsOfUnevenLayers(t *testing.T) {
	m := modeltest.New(t, tiny, 1, student.MaskedLM()).Clone()
	m.Config = m.Config.Clone()
	if err := student.WriteLite(m.Config, student.Lite{AttentionHeads: []int{2, 1}}); err != nil {
		t.Fatal(err)
	}
	if _, err := student.EncodeSafetensors(m); err == nil || !strings.Contains(err.Error(), "different sizes") {
		t.Errorf("error %v", err)
	}
}

func TestSafetensorsOfAttentionWithoutSomeHeads(t *testing.T) {
	m, err := prune.Config{Unit: prune.Heads, Sparsity: 0.5}.Apply(t.Context(), modeltest.New(t, student.Shape{Layers: 1, Hidden: 16, Heads: 2, Vocab: 30}, 1, student.MaskedLM()))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := student.EncodeSafetensors(m); err == nil || !strings.Contains(err.Error(), "heads are removed") {
		t.Errorf("error %v", err)
	}
}

// Factorised embeddings are ELECTRA's, by its names.
func TestSafetensorsOfFactorisedEmbeddings(t *testing.T) {
	for shape, decoder := range map[student.Shape]bool{factorised(8, ""): false, factorised(8, student.Untied): true} {
		list, err := student.Safetensors(modeltest.New(t, shape, 1, student.MaskedLM()))
		if err != nil {
			t.Fatal(err)
		}
		dims := map[string]string{}
		for _, w := range list {
			dims[w.Name] = fmt.Sprint(w.Dims)
		}
		for name, want := range map[string]string{
			"electra.embeddings.word_embeddings.weight":             "[60 8]",
			"electra.embeddings.LayerNorm.weight":                   "[8]",
			"electra.embeddings_project.weight":                     "[24 8]",
			"electra.embeddings_project.bias":                       "[24]",
			"electra.encoder.layer.1.attention.self.query.weight":   "[24 24]",
			"electra.encoder.layer.0.intermediate.dense.weight":     "[40 24]",
			"generator_predictions.dense.weight":                    "[8 24]",
			"generator_predictions.LayerNorm.bias":                  "[8]",
			"generator_lm_head.bias":                                "[60]",
			"electra.embeddings.token_type_embeddings.weight":       "[2 8]",
			"electra.encoder.layer.1.attention.output.dense.weight": "[24 24]",
		} {
			if dims[name] != want {
				t.Errorf("%s is %s, want %s", name, dims[name], want)
			}
		}
		if got := dims["generator_lm_head.weight"]; (got == "[60 8]") != decoder {
			t.Errorf("the decoder is %q", got)
		}
		for name := range dims {
			if strings.HasPrefix(name, "bert.") || strings.HasPrefix(name, "cls.") {
				t.Errorf("%s is no name of ELECTRA's", name)
			}
		}
	}
	relu := factorised(8, "")
	relu.Act = "relu"
	for m, want := range map[*onnx.Model]string{
		modeltest.New(t, factorised(8, ""), 1, student.Classification(labels)): "pooler",
		modeltest.New(t, relu, 1, student.MaskedLM()):                          "activation gelu",
	} {
		if _, err := student.EncodeSafetensors(m); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not say %q", err, want)
		}
	}
	if _, err := student.EncodeSafetensors(modeltest.New(t, relu, 1, student.NER(ents))); err != nil {
		t.Error(err)
	}
}
