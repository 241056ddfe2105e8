package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/litekit/lite/inspect"
	"github.com/litekit/lite/internal/misfit"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/quantize"
	"github.com/litekit/lite/teacher"
)

// inspection is what the command shows; its JSON names are stable.
type inspection struct {
	*inspect.Report
	Int8   *quantize.Report `json:"int8,omitempty"`
	NoInt8 string           `json:"no_int8,omitempty"` // why there is no plan
}

func inspectCommand(a *app) *cobra.Command {
	plan := false
	var o inspect.Options
	g := newGroup("Inspection")
	g.BoolVar(&plan, "int8", false, "also list which nodes dynamic quantization would turn into int8")
	g.BoolVar(&o.Shapes, "shapes", false, "also list the type and shape of every value that a node makes")
	g.Int64Var(&o.Batch, "batch", 0, "sequences in a batch (axis 0), for memory and shapes; 0 leaves the length open")
	g.Int64Var(&o.Seq, "seq", 0, "tokens in each (axis 1), for memory and shapes; 0 leaves the length open")
	g.StringToInt64Var(&o.Sizes, "size", nil, "other lengths of the inputs by name, such as past_length=16,pixels.2=224")
	cmd := a.command(&cobra.Command{
		Use:   "inspect MODEL",
		Short: "Show what is in a model",
		Long: `Show a model's inputs and outputs, operators, parameters by layer and type,
architecture, heads, quantization, what cannot be run or trained, and the memory that
it needs; with --int8 which nodes quantization would reach, with --shapes the shape of
every value. What contradicts itself in the graph (operators, types, shapes,
declarations) is listed as faults; a wrong declaration of an output alone does not
keep a model from running.`,
		Example: `  lite inspect bert-sst2 --batch 1 --seq 128
  lite inspect small/onnx/model.onnx --int8 --json
  lite inspect bert-sst2 --shapes --batch 1 --seq 128`,
		Args: cobra.ExactArgs(1),
	}, func(ctx context.Context, args []string) error {
		if o.Batch < 0 || o.Seq < 0 {
			return misfit.Errorf("--batch and --seq count from 1")
		}
		if err := exist(args[0], args[0]); err != nil {
			return err
		}
		m, damage, err := onnx.OpenDamaged(args[0])
		if err != nil {
			return err
		}
		var r inspection
		if r.Report, err = inspect.Run(ctx, args[0], m, o); err != nil {
			return err
		}
		r.Task = teacher.TaskOf(m)
		for _, d := range damage {
			r.Damage = append(r.Damage, d.Error())
		}
		if plan {
			if _, r.Int8, err = quantize.Run(ctx, m, quantize.Default()); err != nil {
				if ctx.Err() != nil {
					return err
				}
				r.NoInt8 = err.Error()
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

// line writes one line, or several where the text has more.
func line(w io.Writer, name, format string, args ...any) {
	text := strings.ReplaceAll(strings.TrimSpace(fmt.Sprintf(format, args...)), "\n", "\n  ")
	fmt.Fprintf(w, "%-13s%s\n", name, text)
}

// String is the inspection for people.
func (r inspection) String() string {
	var b strings.Builder
	r.interfaceLines(&b)
	r.weightLines(&b)
	r.encoderLines(&b)
	r.runLines(&b)
	if len(r.Shapes) > 0 {
		line(&b, "values", "%d", len(r.Shapes))
		for _, v := range r.Shapes {
			fmt.Fprintf(&b, "  %-8s %s [%s]\n", v.Type, v.Name, strings.Join(v.Shape, ", "))
		}
	}
	r.int8Lines(&b)
	return b.String()
}

// interfaceLines are what the file says of itself, inputs and outputs.
func (r inspection) interfaceLines(b *strings.Builder) {
	line(b, "model", "%s", r.Model)
	var opsets []string
	for _, d := range slices.Sorted(maps.Keys(r.Opsets)) {
		opsets = append(opsets, fmt.Sprintf("%s %d", d, r.Opsets[d]))
	}
	line(b, "opsets", "%s, IR %d%s", cmp.Or(strings.Join(opsets, ", "), "none"), r.IRVersion, prefixed(", made by ", r.Producer))
	if r.Doc != "" {
		line(b, "doc", "%s", r.Doc)
	}
	for _, k := range slices.Sorted(maps.Keys(r.Metadata)) {
		line(b, "metadata", "%s = %s", k, r.Metadata[k])
	}
	for _, v := range r.Inputs {
		line(b, "input", "%s %s [%s]", v.Name, v.Type, strings.Join(v.Shape, ", "))
	}
	for _, v := range r.Outputs {
		line(b, "output", "%s %s [%s]", v.Name, v.Type, strings.Join(v.Shape, ", "))
	}
	for _, f := range r.Functions {
		line(b, "function", "%s.%s, %d nodes", f.Domain, f.Name, f.Nodes)
	}
}

// weightLines are the parameters by type, and by layer or, where there are
// none, by operator.
func (r inspection) weightLines(b *strings.Builder) {
	line(b, "parameters", "%d, %s of weights", r.Parameters, size(r.WeightBytes))
	parts, title := r.ByLayer, "by layer"
	if len(parts) == 0 {
		parts, title = r.ByOperator, "by operator"
	}
	width := 0
	for _, w := range slices.Concat(r.ByType, parts) {
		width = max(width, len(w.Name))
	}
	for _, w := range r.ByType {
		fmt.Fprintf(b, "  %-*s %12d %10s\n", width, w.Name, w.Elements, size(w.Bytes))
	}
	if len(parts) > 0 {
		line(b, title, "%s", "parameters, bytes of weights")
	}
	for _, w := range parts {
		fmt.Fprintf(b, "  %-*s %12d %10s\n", width, w.Name, w.Parameters, size(w.Bytes))
	}
	for _, q := range r.Quantization {
		line(b, "quantized", "%s: %d-bit weights (%s), a scale for each %s, %d nodes", q.Scheme, q.Bits, q.Type, q.Granularity, q.Nodes)
	}
}

// encoderLines are architecture, task, heads and files.
func (r inspection) encoderLines(b *strings.Builder) {
	if a := r.Architecture; a != nil {
		size := ""
		if a.HeadSize > 0 {
			size = fmt.Sprintf(", head size %d", a.HeadSize)
		}
		line(b, "architecture", "%s%s (from %s)", a.Shape, size, a.From)
	} else {
		line(b, "architecture", "not recognised: %s", r.NoEncoder)
	}
	if r.Pruned != nil {
		line(b, "pruned to", "heads %v, neurons %v", r.Pruned.AttentionHeads, r.Pruned.IntermediateSizes)
	}
	line(b, "task", "%s", r.Task)
	for i, h := range r.Heads {
		line(b, "head", "%s%s → %s", h.Kind, labelList(h.Labels), h.Output(i == 0))
	}
	line(b, "files", "%s", cmp.Or(strings.Join(r.Files, ", "), "none beside the model"))
	if len(r.DataFiles) > 0 {
		line(b, "data files", "%s", strings.Join(r.DataFiles, ", "))
	}
	ops := slices.SortedFunc(maps.Keys(r.Operators), func(a, b string) int {
		return cmp.Or(cmp.Compare(r.Operators[b], r.Operators[a]), cmp.Compare(a, b))
	})
	for i, op := range ops {
		ops[i] = fmt.Sprintf("%s %d", op, r.Operators[op])
	}
	line(b, "operators", "%d: %s", r.Nodes, strings.Join(ops, ", "))
}

// runLines are memory and what stands against running and training.
func (r inspection) runLines(b *strings.Builder) {
	if m := r.Memory; m != nil {
		text := fmt.Sprintf("%s: weights %s, packed %s", size(m.Total), size(m.Weights), size(m.Packed))
		switch m.From {
		case "run":
			text += fmt.Sprintf(", a run %s", size(m.Activations))
		case "shapes":
			text += fmt.Sprintf(", a run about %s (a bound from shapes)", size(m.Activations))
		}
		line(b, "memory", "%s%s", text, prefixed("; ", m.Note))
	}
	for _, d := range r.Damage {
		line(b, "damage", "%s", d)
	}
	for _, f := range r.Faults {
		line(b, "fault", "%s", f)
	}
	some(b, "cannot run", r.Unsupported)
	if r.CannotRun != "" {
		line(b, "cannot run", "%s", r.CannotRun)
	}
	some(b, "cannot train", r.NotTrainable)
}

// some shows the first of a list; --json has them all.
func some(b *strings.Builder, name string, list []string) {
	const most = 10
	for i, text := range list {
		if i == most {
			line(b, name, "… and %d more (--json lists them)", len(list)-most)
			return
		}
		line(b, name, "%s", text)
	}
}

// int8Lines are the plan of quantization.
func (r inspection) int8Lines(b *strings.Builder) {
	if r.NoInt8 != "" {
		line(b, "int8", "not possible: %s", r.NoInt8)
	}
	if r.Int8 == nil {
		return
	}
	line(b, "int8", "%d of %d nodes, weights %s → %s", r.Int8.Quantized, len(r.Int8.Nodes), size(r.Int8.BytesBefore), size(r.Int8.BytesAfter))
	for _, n := range r.Int8.Nodes {
		if n.Int8 {
			fmt.Fprintf(b, "  int8   %-8s %s %v\n", n.Op, n.Name, n.Shape)
		} else {
			fmt.Fprintf(b, "  float  %-8s %s (%s)\n", n.Op, n.Name, n.Why)
		}
	}
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
