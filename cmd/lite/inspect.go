package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/quantize"
	"github.com/litekit/lite/student"
)

// inspection is what inspect finds; its JSON names are stable.
type inspection struct {
	Model        string           `json:"model"`
	IRVersion    int64            `json:"ir_version"`
	Producer     string           `json:"producer,omitempty"`
	Opsets       map[string]int64 `json:"opsets"`
	Inputs       []valueOf        `json:"inputs"`
	Outputs      []valueOf        `json:"outputs"`
	Parameters   int64            `json:"parameters"`
	WeightBytes  int64            `json:"weight_bytes"`
	WeightTypes  map[string]int64 `json:"weight_types"` // elements by type
	Nodes        int              `json:"nodes"`
	Operators    map[string]int   `json:"operators"`
	Task         onnx.Task        `json:"task"`
	Labels       []string         `json:"labels,omitempty"`
	Heads        []student.Head   `json:"heads,omitempty"`
	Architecture *student.Shape   `json:"architecture,omitempty"`
	NoEncoder    string           `json:"no_encoder,omitempty"` // why no architecture was recognised
	Pruned       *student.Lite    `json:"pruned,omitempty"`     // sizes of each layer where they differ
	Files        []string         `json:"files"`
	Faults       []string         `json:"faults,omitempty"` // what onnx.Model.Check reports
	Shapes       []valueOf        `json:"shapes,omitempty"` // values between nodes, where asked for
	Int8         *quantize.Report `json:"int8,omitempty"`
}

type valueOf struct {
	Name  string   `json:"name"`
	Type  string   `json:"type"`
	Shape []string `json:"shape"`
}

func inspectCommand(a *app) *cobra.Command {
	plan, shapes := false, false
	var batch, seq int64
	g := newGroup("Inspection")
	g.BoolVar(&plan, "int8", false, "also list which nodes dynamic quantization would turn into int8")
	g.BoolVar(&shapes, "shapes", false, "also list the type and shape of every value that a node makes")
	g.Int64Var(&batch, "batch", 0, "sequences in a batch, for --shapes; 0 leaves the length a name")
	g.Int64Var(&seq, "seq", 0, "tokens in each, for --shapes; 0 leaves the length a name")
	cmd := a.command(&cobra.Command{
		Use:   "inspect MODEL",
		Short: "Show what is in a model",
		Long: `Show a model's inputs and outputs, operators, parameters, architecture and heads,
with --int8 which nodes quantization would reach, and with --shapes the shape of
every value. What contradicts itself in the graph (operators, types, shapes,
declarations) is listed as faults; a wrong declaration of an output alone does not
keep a model from running.`,
		Example: `  lite inspect bert-sst2
  lite inspect small/onnx/model.onnx --int8 --json
  lite inspect bert-sst2 --shapes --batch 1 --seq 128`,
		Args: cobra.ExactArgs(1),
	}, func(ctx context.Context, args []string) error {
		if err := exist(args[0], args[0]); err != nil {
			return err
		}
		m, err := onnx.Open(args[0])
		if err != nil {
			return err
		}
		if (batch != 0 || seq != 0) && !shapes {
			return usagef("--batch and --seq say for which lengths --shapes lists shapes; give --shapes too")
		}
		r := inspect(args[0], m)
		if shapes {
			if r.Shapes, err = inferred(m, batch, seq); err != nil {
				return err
			}
		}
		if plan {
			if _, r.Int8, err = quantize.Run(ctx, m, quantize.Default()); err != nil {
				return err
			}
		}
		if a.json {
			return a.writeJSON(r)
		}
		_, err = fmt.Fprint(a.out, r)
		return err
	})
	withFlags(cmd, g)
	return cmd
}

func inspect(path string, m *onnx.Model) *inspection {
	r := &inspection{
		Model: path, IRVersion: m.IRVersion, Producer: strings.TrimSpace(m.Producer + " " + m.ProducerVersion), Opsets: map[string]int64{},
		Inputs: values(m.Graph.Inputs, m.Graph), Outputs: values(m.Graph.Outputs, nil), Parameters: m.Parameters(),
		WeightTypes: map[string]int64{}, Nodes: len(m.Graph.Nodes), Operators: map[string]int{}, Task: m.Config.Task(),
		Files: slices.Sorted(maps.Keys(m.Files)), Faults: faults(m),
	}
	for _, o := range m.Opsets {
		r.Opsets[cmp.Or(o.Domain, "ai.onnx")] = o.Version
	}
	for _, t := range m.Graph.Initializers {
		r.WeightBytes += int64(len(t.Raw))
		r.WeightTypes[t.Type.String()] += int64(t.Len())
	}
	for _, n := range m.Graph.Nodes {
		op := n.Op
		if n.Domain != "" && n.Domain != "ai.onnx" {
			op = n.Domain + "." + op
		}
		r.Operators[op]++
	}
	if m.Config != nil {
		r.Labels = m.Config.ID2Label
	}
	r.Heads, _ = student.HeadsOf(m.Config) // a config that is odd has no heads to show
	if shape, err := student.Measure(m); err == nil {
		r.Architecture = &shape
	} else {
		r.NoEncoder = err.Error()
	}
	if l, err := student.ReadLite(m.Config); err == nil && len(l.AttentionHeads)+len(l.IntermediateSizes) > 0 {
		r.Pruned = &l
	}
	return r
}

// values describes inputs or outputs; weights listed among the inputs of g are left out.
func values(list []*onnx.ValueInfo, g *onnx.Graph) []valueOf {
	out := []valueOf{}
	for _, v := range list {
		if g != nil && g.Initializer(v.Name) != nil {
			continue
		}
		o := valueOf{Name: v.Name, Type: v.Type.String(), Shape: []string{}}
		for _, d := range v.Dims {
			switch {
			case d.Known:
				o.Shape = append(o.Shape, fmt.Sprint(d.Size))
			default:
				o.Shape = append(o.Shape, cmp.Or(d.Param, "?"))
			}
		}
		out = append(out, o)
	}
	return out
}

// String is the inspection for people.
func (r *inspection) String() string {
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-13s"+format+"\n", append([]any{name}, args...)...)
	}
	line("model", "%s", r.Model)
	var opsets []string
	for _, d := range slices.Sorted(maps.Keys(r.Opsets)) {
		opsets = append(opsets, fmt.Sprintf("%s %d", d, r.Opsets[d]))
	}
	line("opsets", "%s, IR %d%s", strings.Join(opsets, ", "), r.IRVersion, prefixed(", made by ", r.Producer))
	for _, v := range r.Inputs {
		line("input", "%s %s [%s]", v.Name, v.Type, strings.Join(v.Shape, ", "))
	}
	for _, v := range r.Outputs {
		line("output", "%s %s [%s]", v.Name, v.Type, strings.Join(v.Shape, ", "))
	}
	line("parameters", "%d, %s of weights", r.Parameters, size(r.WeightBytes))
	if r.Architecture != nil {
		line("architecture", "%s", r.Architecture)
	} else {
		line("architecture", "not recognised: %s", r.NoEncoder)
	}
	if r.Pruned != nil {
		line("pruned to", "heads %v, neurons %v", r.Pruned.AttentionHeads, r.Pruned.IntermediateSizes)
	}
	line("task", "%s", r.Task)
	for i, h := range r.Heads {
		line("head", "%s%s → %s", h.Kind, labelList(h.Labels), h.Output(i == 0))
	}
	line("files", "%s", cmp.Or(strings.Join(r.Files, ", "), "none beside the model"))
	ops := slices.SortedFunc(maps.Keys(r.Operators), func(a, b string) int {
		return cmp.Or(cmp.Compare(r.Operators[b], r.Operators[a]), cmp.Compare(a, b))
	})
	for i, op := range ops {
		ops[i] = fmt.Sprintf("%s %d", op, r.Operators[op])
	}
	line("operators", "%d: %s", r.Nodes, strings.Join(ops, ", "))
	for _, f := range r.Faults {
		line("fault", "%s", f)
	}
	if len(r.Shapes) > 0 {
		line("values", "%d", len(r.Shapes))
		for _, v := range r.Shapes {
			fmt.Fprintf(&b, "  %-8s %s [%s]\n", v.Type, v.Name, strings.Join(v.Shape, ", "))
		}
	}
	if r.Int8 != nil {
		line("int8", "%d of %d nodes, weights %s → %s", r.Int8.Quantized, len(r.Int8.Nodes), size(r.Int8.BytesBefore), size(r.Int8.BytesAfter))
		for _, n := range r.Int8.Nodes {
			if n.Int8 {
				fmt.Fprintf(&b, "  int8   %-8s %s %v\n", n.Op, n.Name, n.Shape)
			} else {
				fmt.Fprintf(&b, "  float  %-8s %s (%s)\n", n.Op, n.Name, n.Why)
			}
		}
	}
	return b.String()
}

func prefixed(prefix, s string) string {
	if s == "" {
		return ""
	}
	return prefix + s
}

// labelList shows the first labels.
func labelList(labels []string) string {
	const most = 8
	switch {
	case len(labels) == 0:
		return ""
	case len(labels) > most:
		return fmt.Sprintf(" (%s … %d)", strings.Join(labels[:most], ", "), len(labels))
	}
	return " (" + strings.Join(labels, ", ") + ")"
}
