package distill_test

import (
	"strings"
	"testing"

	"gorgonia.org/gorgonia"

	"github.com/litekit/lite/distill"
	"github.com/litekit/lite/onnx"
)

// small draws the hidden states of all positions to 0. It reads padding too, which
// packed passes do not compute.
type small struct{}

func (small) Name() string       { return "small" }
func (small) View() distill.View { return distill.Clean }
func (small) Build(g *distill.Graph) (*gorgonia.Node, error) {
	x, err := g.Student("hidden")
	if err != nil {
		return nil, err
	}
	if x, err = gorgonia.Square(x); err != nil {
		return nil, err
	}
	return gorgonia.Mean(x)
}

func TestLossesThatReadPadding(t *testing.T) {
	m := classifier(t, "1x16x2", 1)
	for _, n := range m.Graph.Nodes {
		if n.Op == "LayerNormalization" && strings.Contains(n.Name, "layer.0/output") {
			for i, name := range n.Outputs {
				n.Outputs[i] = "hidden"
				for _, reader := range m.Graph.Nodes {
					for j, in := range reader.Inputs {
						if in == name {
							reader.Inputs[j] = "hidden"
						}
					}
				}
			}
		}
	}
	m.Graph.Outputs = append(m.Graph.Outputs, &onnx.ValueInfo{Name: "hidden", Type: onnx.Float})
	c := distill.Default()
	c.Task = docs(t, 1, 40)
	c.Loss = distill.Sum{distill.Scale(1, distill.HardLabels{}), distill.Scale(1, small{})}
	c.Steps, c.Batch, c.MaxLength, c.LearningRate = 6, 16, 64, 5e-3
	_, report := run(t, m, c)
	if v := report.Losses[1].Value; !(v > 0 && v < 1) {
		t.Errorf("the mean square of the hidden states is %v, want one between 0 and 1: it begins there and falls", v)
	}
}
