package teacher

import (
	"strings"

	"github.com/litekit/lite/onnx"
)

// Answer describes what a model would give as a teacher.
type Answer struct {
	Task onnx.Task
	// Output is the graph's output that is read.
	Output string
	// Width is the number of elements of a row, 0 where it is not declared.
	Width int
	// Pooling is how an embedding's hidden states become a vector; zero where the
	// graph does that itself.
	Pooling Pooling
}

// Describe tells what a model would give, without preparing it to run. The task
// is Unknown where New would refuse it for that.
func Describe(m *onnx.Model) (Answer, error) {
	if m == nil || m.Graph == nil || len(m.Graph.Outputs) == 0 {
		return Answer{Task: onnx.Unknown}, nil
	}
	t, err := prepare(m, Options{})
	if t == nil {
		return Answer{Task: onnx.Unknown}, nil
	}
	width, _ := widthOf(m, t.task, t.output)
	return Answer{t.task, t.output, width, t.pooling}, err
}

// TaskOf reads the task from config.json, else from the name and rank of the
// output; Unknown where neither tells. A sequence classifier of one output, or
// whose problem_type says so, is a Regression; a model without a head, as
// …Model in "architectures" or the output's name says, an Embedding.
func TaskOf(m *onnx.Model) onnx.Task {
	if m == nil || m.Graph == nil || len(m.Graph.Outputs) == 0 {
		return onnx.Unknown
	}
	o := declared(m, primary(m))
	if m.Config != nil {
		task := m.Config.Task()
		if task == onnx.SequenceClassification && (m.Config.Regression() || single(o)) {
			return onnx.Regression
		}
		if task != onnx.Unknown {
			return task
		}
		for _, a := range m.Config.Architectures {
			if strings.HasSuffix(a, "Model") {
				return onnx.Embedding
			}
		}
	}
	switch o.Name {
	case vectorOutput, "last_hidden_state", "token_embeddings":
		return onnx.Embedding
	}
	if o.HasShape {
		switch len(o.Dims) {
		case 2:
			return onnx.SequenceClassification
		case 3:
			return onnx.MaskedLM
		}
	}
	return onnx.Unknown
}

// single reports whether an output is declared as one number for each text.
func single(o *onnx.ValueInfo) bool {
	return o.HasShape && len(o.Dims) == 2 && o.Dims[1].Known && o.Dims[1].Size == 1
}

// primary is the output called logits, or the first one.
func primary(m *onnx.Model) string {
	if m.Graph.IsOutput("logits") {
		return "logits"
	}
	return m.Graph.Outputs[0].Name
}

// declared is the graph's declaration of an output.
func declared(m *onnx.Model, name string) *onnx.ValueInfo {
	for _, o := range m.Graph.Outputs {
		if o.Name == name {
			return o
		}
	}
	return nil
}

// widthOf is the size of the logits' last dimension as the graph declares it,
// else as config.json says; 0 where neither does.
func widthOf(m *onnx.Model, task onnx.Task, output string) (width int, source string) {
	if o := declared(m, output); o != nil && o.HasShape && len(o.Dims) > 0 {
		if d := o.Dims[len(o.Dims)-1]; d.Known && d.Size > 0 {
			return int(d.Size), "the graph declares"
		}
	}
	if m.Config == nil {
		return 0, ""
	}
	switch task {
	case onnx.MaskedLM:
		return m.Config.VocabSize, "config.json (vocab_size) says"
	case onnx.Embedding:
		return m.Config.HiddenSize, "config.json (hidden_size) says"
	}
	return len(m.Config.ID2Label), "config.json (id2label) says"
}

// MaxLength is the longest sequence that the model's config.json allows, def
// where it says nothing.
func MaxLength(m *onnx.Model, def int) int {
	if m.Config == nil || m.Config.MaxPositionEmbeddings <= 0 {
		return def
	}
	n := m.Config.MaxPositionEmbeddings
	if offset := strings.Contains(m.Config.ModelType, "roberta") || m.Config.ModelType == "camembert" || m.Config.ModelType == "mpnet"; offset && n > 2 {
		n -= 2 // its position ids start after the padding id
	}
	return n
}
