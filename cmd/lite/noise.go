package main

import (
	"fmt"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/distill"
	"github.com/litekit/lite/internal/misfit"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/student"
	"github.com/litekit/lite/synonym"
)

// softFlags say how the teacher's logits are compared.
type softFlags struct{ loss distill.SoftLabels }

func (s *softFlags) register(g group) {
	l := &s.loss
	choiceVar(g.FlagSet, &l.Form, "soft-labels", "how the student is compared with the teacher: divergence, squared distance of logits, Jensen-Shannon divergence, or decoupled (default kl)", distill.SoftForms()...)
	g.Float64Var(&l.Alpha, "dkd-alpha", 1, "weight of the target class in --soft-labels dkd")
	g.Float64Var(&l.Beta, "dkd-beta", 8, "weight of the other classes in --soft-labels dkd")
	g.Float64Var(&l.Temperature, "temperature", 2, "temperature T of the soft labels; the loss is scaled by T²")
	g.Float64Var(&l.TemperatureEnd, "temperature-end", 0, "temperature at the last step (default: that of --temperature all along)")
	choiceVar(g.FlagSet, &l.Path, "temperature-path", "how the temperature goes there (default linear)", distill.Linear, distill.Cosine)
	choiceVar(g.FlagSet, &l.Positions, "kd-positions", "tokens at which a token classifier's labels are learned: the first of each word, where its tag is read, or all (default first-subword)", distill.FirstPieces, distill.AllWords)
	choiceVar(g.FlagSet, &l.Confidence, "confidence", "weigh each example by how sure the teacher is of it", distill.ByProbability, distill.ByEntropy)
}

// softLabels is the loss, with tokens for a masked language model.
func (s *softFlags) softLabels(tokens bool) (distill.SoftLabels, error) {
	l := s.loss
	if l.Tokens = tokens; tokens && l.Positions != "" {
		return l, misfit.Errorf("--kd-positions is for token classifiers; a masked LM's labels are learned at the masked tokens")
	}
	if !(l.Temperature > 0) {
		return l, misfit.Errorf("--temperature %v: give a number above 0", l.Temperature)
	}
	if !(l.TemperatureEnd >= 0) {
		return l, misfit.Errorf("--temperature-end %v: give a number above 0", l.TemperatureEnd)
	}
	return l, nil
}

// Forms of instance regularization and of true negatives.
const (
	weighted = "weighted"
	hard     = "hard"
	soft     = "soft"
)

// noiseFlags are the further objectives on masked text.
type noiseFlags struct {
	g                     group
	instance, negatives   string
	synonyms              string
	irWeight, softWeight  float64
	top                   int
	student, teacherModel *onnx.Model // whose embeddings may tell synonyms
}

func (n *noiseFlags) register(g group) {
	n.g = g
	choiceVar(g.FlagSet, &n.instance, "instance-regularization", "let masked text count by how badly masking damaged it: as a loss against the student's own predictions, one against the original text, or as weights of --alpha-mlm",
		string(distill.Additive), string(distill.Guided), weighted)
	g.Float64Var(&n.irWeight, "ir-weight", 1, "weight of --instance-regularization additive and guided")
	choiceVar(g.FlagSet, &n.negatives, "true-negatives", "spare guesses that mean the same: leave out masked tokens for which a synonym is guessed, or draw guesses towards tokens of near embeddings", hard, soft)
	g.StringVar(&n.synonyms, "synonyms", "", "synonyms for --true-negatives hard: a table in a `file` (word, tab, its synonyms), or teacher or student for the neighbours among that model's word embeddings")
	g.Float64Var(&n.softWeight, "negatives-weight", 1, "weight of --true-negatives soft")
	g.IntVar(&n.top, "negatives-top", 10, "likeliest tokens that --true-negatives soft looks at")
}

// terms puts the objectives into the masked language model's loss, and returns those
// that stand beside it.
func (n *noiseFlags) terms(mlm *distill.Term) (distill.Sum, error) {
	if n.instance == "" && n.negatives == "" {
		return nil, n.unused("--instance-regularization and --true-negatives", "ir-weight", "synonyms", "negatives-weight", "negatives-top")
	}
	if mlm.Weight == 0 {
		return nil, misfit.Errorf("--instance-regularization and --true-negatives belong to masked language modelling; give --alpha-mlm a weight")
	}
	l, ok := mlm.Loss.(distill.Denoise)
	if !ok {
		return nil, fmt.Errorf("the loss %s is no masked language modelling", mlm.Loss.Name())
	}
	var sum distill.Sum
	switch n.instance {
	case weighted:
		l.Weighted = true
	case string(distill.Additive), string(distill.Guided):
		sum = append(sum, distill.Scale(n.irWeight, distill.InstanceRegularization{Form: distill.Instance(n.instance)}))
	}
	switch n.negatives {
	case soft:
		if n.top < 1 {
			return nil, misfit.Errorf("--negatives-top %d: give a number above 0", n.top)
		}
		sum = append(sum, distill.Scale(n.softWeight, distill.SoftNegatives{Top: n.top}))
	case hard:
		var err error
		if l.Synonyms, err = n.table(); err != nil {
			return nil, err
		}
	}
	mlm.Loss = l
	if n.instance == weighted || n.instance == "" {
		if err := n.unused("--instance-regularization additive or guided", "ir-weight"); err != nil {
			return nil, err
		}
	}
	if n.negatives != hard {
		if err := n.unused("--true-negatives hard", "synonyms"); err != nil {
			return nil, err
		}
	}
	if n.negatives != soft {
		return sum, n.unused("--true-negatives soft", "negatives-weight", "negatives-top")
	}
	return sum, nil
}

// unused refuses flags that say nothing without another one.
func (n *noiseFlags) unused(without string, flags ...string) error {
	for _, f := range flags {
		if n.g.Changed(f) {
			return misfit.Errorf("--%s belongs to %s, which is not given", f, without)
		}
	}
	return nil
}

// table is the table of synonyms by the student's tokens.
func (n *noiseFlags) table() (*synonym.IDs, error) {
	if n.student == nil {
		return nil, misfit.Errorf("--true-negatives hard is for training; leave it out here")
	}
	var table *synonym.Table
	var err error
	switch n.synonyms {
	case "":
		return nil, misfit.Errorf("--true-negatives hard needs to know which words mean the same; name a table with --synonyms, or teacher or student for the neighbours among their embeddings")
	case "teacher":
		if n.teacherModel == nil {
			return nil, misfit.Errorf("--synonyms teacher: there is no teacher; name a table, or student")
		}
		table, err = neighbours(n.teacherModel)
	case "student":
		table, err = neighbours(n.student)
	default:
		if err := exist("--synonyms", n.synonyms); err != nil {
			return nil, misfit.Of(err)
		}
		table, err = synonym.Open(n.synonyms)
	}
	if err != nil {
		return nil, fmt.Errorf("--synonyms %s: %w", n.synonyms, err)
	}
	tok, err := corpus.LoadTokenizer(n.student.Files)
	if err != nil {
		return nil, err
	}
	ids, err := table.IDs(tok)
	if err != nil {
		return nil, fmt.Errorf("--synonyms %s: %w", n.synonyms, err)
	}
	return ids, nil
}

// neighbours is the table of a model's word embeddings.
func neighbours(m *onnx.Model) (*synonym.Table, error) {
	w, _, err := student.Weights(m)
	if err != nil {
		return nil, err
	}
	words := w["bert.embeddings.word_embeddings.weight"]
	if words == nil || len(words.Dims) != 2 {
		return nil, fmt.Errorf("the model has no word embeddings")
	}
	v, err := words.Floats()
	if err != nil {
		return nil, err
	}
	tok, err := corpus.LoadTokenizer(m.Files)
	if err != nil {
		return nil, err
	}
	return synonym.FromEmbeddings(v, int(words.Dims[1]), tok, synonym.Default())
}
