package distill

import (
	"fmt"
	"math"

	"gorgonia.org/gorgonia"

	"github.com/litekit/lite/internal/autodiff"
	"github.com/litekit/lite/internal/kernel"
)

// SoftForm is how a student's logits z_S are compared with the teacher's z_T.
// With p = softmax(z/T):
type SoftForm string

// The forms. All but MSE are scaled by T², so that gradients do not shrink with T.
const (
	// KL is T²·KL(p_T ‖ p_S) (Hinton, Vinyals, Dean, arXiv 1503.02531), summed
	// over classes. The T² is included, unlike in some codebases.
	KL SoftForm = "kl"
	// MSE is the mean over the classes of (z_S − z_T)² (Ba, Caruana, arXiv
	// 1312.6184, equation 1). It has no temperature.
	MSE SoftForm = "mse"
	// JS is T² times the Jensen-Shannon divergence of p_T and p_S (Lin, IEEE
	// Transactions on Information Theory 37, 1991): symmetric, at most T²·log 2.
	JS SoftForm = "js"
	// DKD is T²·(α·KL(b_T ‖ b_S) + β·KL(p̂_T ‖ p̂_S)) (Zhao et al., arXiv 2203.08679,
	// equation 7): b is the target class against all others, p̂ the distribution
	// among the others. The target is the label; where there is none, which the
	// paper does not foresee, the class that the teacher thinks likeliest.
	DKD SoftForm = "dkd"
)

// SoftForms lists the forms.
func SoftForms() []SoftForm { return []SoftForm{KL, MSE, JS, DKD} }

// Confidence is how much an example counts by how sure the teacher is of it, at
// T = 1; the loss is then the weighted mean. The weights are constants to the
// student.
type Confidence string

const (
	// ByProbability weighs by the probability of the teacher's likeliest class.
	ByProbability Confidence = "probability"
	// ByEntropy weighs by 1 − H/log C, H the entropy of the teacher's distribution
	// over C classes: 0 where it is uniform.
	ByEntropy Confidence = "entropy"
)

// SoftLabels is the distillation of logits: mean over rows of what Form says.
type SoftLabels struct {
	// Form is KL where it is not set.
	Form SoftForm
	// Temperature T; 0 means 1.
	Temperature float64
	// TemperatureEnd is T at the last step; 0 means Temperature, which then stays.
	TemperatureEnd float64
	// Path is how T goes there: Linear (the zero value too) in a line, Cosine in
	// half a cosine.
	Path Decay
	// Alpha and Beta are those of DKD; both 0 mean 1 and 8, the paper's for CIFAR.
	Alpha, Beta float64
	// Confidence weighs the examples; the zero value weighs all alike.
	Confidence Confidence
	// Positions are the tokens at which those of a token classifier are compared:
	// FirstPieces, also where it is not set, or AllWords. The first token of a
	// word is where its tag is read ([github.com/litekit/lite/predict], conlleval),
	// and most taggers are trained there alone: what they say elsewhere was
	// never learned. Text without annotated words is cut as the tokenizer does.
	Positions Positions
	// Tokens compares a masked language model's logits at the masked
	// positions instead of a classifier's. It must match the teacher's task.
	Tokens bool
}

// Name is "kd".
func (SoftLabels) Name() string { return "kd" }

// View is Masked for tokens, Clean for classes.
func (l SoftLabels) View() View {
	if l.Tokens {
		return Masked
	}
	return Clean
}

// Taught implements [Taught].
func (SoftLabels) Taught() {}

// temperature is T at a step of steps.
func (l SoftLabels) temperature(step, steps int) float64 {
	from, to := l.Temperature, l.TemperatureEnd
	if from == 0 {
		from = 1
	}
	if to == 0 || to == from {
		return from
	}
	x := float64(step) / float64(max(1, steps-1))
	if l.Path == Cosine {
		x = (1 - math.Cos(math.Pi*x)) / 2
	}
	return from + (to-from)*x
}

// check refuses settings outside their ranges.
func (l SoftLabels) check() error {
	for _, t := range []float64{l.Temperature, l.TemperatureEnd} {
		if !(t >= 0) || math.IsInf(t, 0) {
			return fmt.Errorf("distill: temperature %v of %s is not a positive number", t, l.Name())
		}
	}
	switch {
	case l.kernelForm() < 0:
		return fmt.Errorf("distill: form %q of %s is none of %v", l.Form, l.Name(), SoftForms())
	case l.Path != "" && l.Path != Linear && l.Path != Cosine && l.Path != Constant:
		return fmt.Errorf("distill: path %q of the temperature is none of linear, cosine, constant", l.Path)
	case l.Path == Constant && l.TemperatureEnd != 0 && l.TemperatureEnd != l.Temperature:
		return fmt.Errorf("distill: a temperature that goes to %v cannot be constant", l.TemperatureEnd)
	case !(l.Alpha >= 0 && l.Beta >= 0) || math.IsInf(l.Alpha+l.Beta, 0):
		return fmt.Errorf("distill: weights %v and %v of DKD are not numbers ≥ 0", l.Alpha, l.Beta)
	case l.Positions != "" && l.Positions != AllWords && l.Positions != FirstPieces:
		return fmt.Errorf("distill: positions %q of %s are none of %s, %s", l.Positions, l.Name(), FirstPieces, AllWords)
	case l.Positions != "" && l.Tokens:
		return fmt.Errorf("distill: positions of %s are for token classifiers; a masked language model is compared at the masked tokens", l.Name())
	case l.Confidence != "" && l.Confidence != ByProbability && l.Confidence != ByEntropy:
		return fmt.Errorf("distill: confidence %q is none of %s, %s", l.Confidence, ByProbability, ByEntropy)
	}
	return nil
}

// kernelForm is the form as the kernel calls it, −1 for none.
func (l SoftLabels) kernelForm() kernel.Form {
	switch l.Form {
	case "", KL:
		return kernel.FormKL
	case MSE:
		return kernel.FormMSE
	case JS:
		return kernel.FormJS
	case DKD:
		return kernel.FormDKD
	}
	return -1
}

// Build implements [Loss]. The temperature is fed, so that it may change.
func (l SoftLabels) Build(g *Graph) (*gorgonia.Node, error) {
	z, err := g.Student("")
	if err != nil {
		return nil, err
	}
	teacher, err := g.Teacher()
	if err != nil {
		return nil, err
	}
	s := autodiff.Soft{Form: l.kernelForm(), Alpha: float32(l.Alpha), Beta: float32(l.Beta), Weight: g.softWeights(l.Positions)}
	if l.Alpha == 0 && l.Beta == 0 {
		s.Alpha, s.Beta = 1, 8
	}
	if l.Form != MSE {
		name := fmt.Sprintf("temperature %v %v %s", l.Temperature, l.TemperatureEnd, l.Path)
		s.Heat = g.Floats(name, func(m *Moment) ([]float32, error) {
			return []float32{float32(l.temperature(m.Step, m.Steps))}, nil
		}, 1)
	}
	switch {
	case l.Form != DKD:
	case l.Tokens:
		s.Labels = g.Tokens()
	default:
		s.Labels = g.targets()
	}
	if l.Confidence != "" {
		s.Weight = g.Floats("confidence "+string(l.Confidence)+string(l.Positions), l.weights, g.Rows())
	}
	return autodiff.SoftLabels(z, teacher, s)
}

// softWeights is [Rows]: the weights of the rows whose soft labels count.
func (g *Graph) softWeights(at Positions) *gorgonia.Node {
	if !g.tokens || at == AllWords {
		return g.RowWeights()
	}
	return g.Floats("row_weights of first pieces", func(m *Moment) ([]float32, error) { return m.stream.softWeights(m.Batch, at), nil }, g.Rows())
}

// weights are how sure the teacher is of each row, 0 on padding.
func (l SoftLabels) weights(m *Moment) ([]float32, error) {
	w := m.stream.softWeights(m.Batch, l.Positions)
	sure := make([]float32, len(w))
	kernel.Confidence(sure, m.soft, len(w), m.stream.width, l.Confidence == ByEntropy)
	kernel.Mul(w, w, sure)
	return w, nil
}
