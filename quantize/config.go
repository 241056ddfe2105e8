package quantize

import (
	"context"
	"fmt"
	"slices"

	"github.com/litekit/lite/eval"
	"github.com/litekit/lite/internal/fuse"
	"github.com/litekit/lite/internal/misfit"
	"github.com/litekit/lite/onnx"
)

// Mode is how activations are treated.
type Mode string

// The modes.
const (
	// Dynamic quantizes activations as they come; opset 11 or later.
	Dynamic Mode = "dynamic"
	// Static writes QDQ pairs with calibrated ranges. It needs opset 13, to
	// which models of opset 11 and 12 are raised.
	Static Mode = "static"
	// WeightOnly stores int8 weights behind DequantizeLinear and computes in
	// float: smaller files, unchanged activations; opset as Static. Recent
	// versions of ONNX Runtime quantize the activations of such products all the
	// same unless session.qdq_matmulnbits_accuracy_level is "0".
	WeightOnly Mode = "weight-only"
)

// Config says how to quantize. The zero value is dynamic, per tensor, weights
// symmetric, embeddings float; [Default] is what most users want.
type Config struct {
	// Mode is how activations are treated; "" is Dynamic.
	Mode Mode
	// PerChannel gives each output channel of a weight, and each row of an
	// embedding table, its own scale; otherwise one scale per tensor.
	PerChannel bool
	// ReduceRange keeps weights in 7 bits (±63), so that machines whose u8·s8
	// dot product saturates at int16 (AVX2, AVX-512 without VNNI) compute exactly.
	ReduceRange bool
	// Asymmetric gives weights a zero point (int8, −128…127).
	Asymmetric bool
	// Embeddings quantizes the constant tables that Gather reads by row.
	Embeddings bool
	// OpTypes limits quantization to these operators; empty is MatMul, Gemm
	// and, where Embeddings is set, Gather.
	OpTypes []string
	// NodesToExclude and NodesToInclude select nodes by name, or by a regular
	// expression (RE2, unanchored) after "re:". Nodes without a name are
	// selected by "Op→output". Exclusion wins; an empty NodesToInclude means all.
	NodesToExclude []string
	NodesToInclude []string

	// Calibration supplies the inputs from which Static learns ranges, and on
	// which a budget measures each node's sensitivity.
	Calibration Samples
	// Calibrator turns activations into ranges; nil is MinMax.
	Calibrator Calibrator

	// MaxDrop, where set, is the loss of metric accepted; nodes are left in
	// float, most sensitive first, until it is kept. Evaluate must be set too.
	MaxDrop eval.Budget
	// Evaluate measures a model; higher is better unless Metric is one that
	// [eval.LowerIsBetter] names.
	Evaluate func(ctx context.Context, m *onnx.Model) (float64, error)
	// Metric names what Evaluate returns, for messages; "" is "metric".
	Metric string

	// Progress, where set, is told of each stage ("calibrate", "sensitivity",
	// "evaluate"); total is 0 where it is not known.
	Progress func(stage string, done, total int)
	// OnReport, where set, receives the report of each Apply.
	OnReport func(*Report)
}

// Default is dynamic int8 with per-channel symmetric weights and int8 embeddings.
func Default() Config {
	return Config{Mode: Dynamic, PerChannel: true, Embeddings: true}
}

// Name is the step's name in pipelines and reports.
func (c Config) Name() string { return "quantize" }

// Apply returns the quantized model; m is not changed. Where the budget cannot
// be kept it returns the best model found together with an error that wraps [ErrBudget].
func (c Config) Apply(ctx context.Context, m *onnx.Model) (*onnx.Model, error) {
	out, report, err := Run(ctx, m, c)
	if report != nil && c.OnReport != nil {
		c.OnReport(report)
	}
	return out, err
}

// ErrBudget is [eval.ErrBudget]: errors.Is tells a budget that could not be kept.
var ErrBudget = eval.ErrBudget

// Run quantizes m as [Config.Apply] does and also reports what was done.
// The model is nil only where err is an error other than a missed budget. A model
// that [onnx.Model.CheckRun] finds fault with is refused; one that only declares
// an output wrongly, as some exports do, is quantized.
func Run(ctx context.Context, m *onnx.Model, c Config) (*onnx.Model, *Report, error) {
	if m == nil || m.Graph == nil {
		return nil, nil, fmt.Errorf("quantize: the model has no graph")
	}
	m, err := fuse.LiftWeights(m)
	if err != nil {
		return nil, nil, fmt.Errorf("quantize: %w", err)
	}
	if c.Mode == "" {
		c.Mode = Dynamic
	}
	if err := c.check(m); err != nil {
		return nil, nil, misfit.Of(err)
	}
	if err := alreadyQuantized(m.Graph); err != nil {
		return nil, nil, err
	}
	given := m
	if c.Mode != Dynamic {
		var err error
		if m, err = upgrade(m); err != nil {
			return nil, nil, err
		}
	}
	p, err := newPlan(m, &c)
	if err != nil {
		return nil, nil, err
	}
	if len(p.sites) == 0 {
		return nil, nil, fmt.Errorf("quantize: nothing to quantize: %s", p.whyNothing())
	}
	if err := given.CheckRun(); err != nil {
		return nil, nil, fmt.Errorf("quantize: the model cannot run: %w", err)
	}
	if c.Mode == Static {
		if err := p.calibrate(ctx); err != nil {
			return nil, nil, err
		}
	}
	if c.MaxDrop != nil {
		return p.search(ctx)
	}
	return p.build(ctx, nil)
}

// check finds what is wrong with the configuration for this model.
func (c *Config) check(m *onnx.Model) error {
	switch c.Mode {
	case Dynamic, Static, WeightOnly:
	default:
		return fmt.Errorf("quantize: mode %q is not known; choose dynamic, static or weight-only", c.Mode)
	}
	if v := opset(m); v < 11 {
		return fmt.Errorf("quantize: the model has opset %d and int8 operators need 11; export it again with opset_version=13 or later", v)
	}
	if c.Mode == Static && c.Calibration == nil {
		return fmt.Errorf("quantize: static quantization needs calibration data; set Calibration, or use dynamic mode")
	}
	if (c.MaxDrop == nil) != (c.Evaluate == nil) {
		return fmt.Errorf("quantize: MaxDrop and Evaluate go together; set both or neither")
	}
	for _, t := range c.OpTypes {
		if t != "MatMul" && t != "Gemm" && t != "Gather" {
			return fmt.Errorf("quantize: operator type %q cannot be quantized; choose from MatMul, Gemm, Gather", t)
		}
	}
	return nil
}

// integerOps are the operators that only quantized models hold.
var integerOps = []string{
	"DequantizeLinear", "DynamicQuantizeLinear", "DynamicQuantizeLSTM", "DynamicQuantizeMatMul", "ConvInteger", "MatMulBnb4",
	"MatMulInteger", "MatMulIntegerToFloat", "MatMulNBits", "QAttention", "QEmbedLayerNormalization", "QGemm", "QLinearConv",
	"QLinearMatMul", "QOrderedMatMul", "QuantizeLinear",
}

// alreadyQuantized refuses a model that holds integer operators: what is left
// in it as float was left so on purpose.
func alreadyQuantized(g *onnx.Graph) error {
	for _, n := range g.Nodes {
		if slices.Contains(integerOps, n.Op) {
			return fmt.Errorf("quantize: node %s (%s): the model is already quantized; start from the float model", n.Label(), n.Op)
		}
	}
	return nil
}

// opset is the version of the default operator set, 0 where the model names none.
func opset(m *onnx.Model) int64 {
	for _, o := range m.Opsets {
		if o.Domain == "" || o.Domain == "ai.onnx" {
			return o.Version
		}
	}
	return 0
}

// progress calls the callback if there is one.
func (c *Config) progress(stage string, done, total int) {
	if c.Progress != nil {
		c.Progress(stage, done, total)
	}
}
