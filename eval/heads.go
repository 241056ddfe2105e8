package eval

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/student"
	"github.com/litekit/lite/teacher"
)

// head is one output to score.
type head struct {
	kind    student.Kind
	output  string
	labels  []string
	primary bool
}

// headsOf lists the model's outputs and what they predict: what config.json
// says, else a single output of rank 2 is a classifier's. Whether a plain token
// classifier's labels are parts of speech or entities is decided by their form.
func headsOf(m *onnx.Model) ([]head, error) {
	known, err := student.HeadsOf(m.Config)
	if err != nil {
		return nil, fmt.Errorf("eval: %w", err)
	}
	g := m.Graph
	if len(g.Outputs) == 0 {
		return nil, fmt.Errorf("eval: the model has no outputs")
	}
	lite, err := student.ReadLite(m.Config)
	if err != nil {
		return nil, fmt.Errorf("eval: %w", err)
	}
	var out []head
	for i, h := range known {
		if h.Kind == student.KindNER && len(lite.Heads) == 0 {
			if h.Kind, _, err = teacher.TagKind(h.Labels); err != nil {
				return nil, fmt.Errorf("eval: %w", err)
			}
		}
		name := h.Output(i == 0)
		if i == 0 && !g.IsOutput(name) {
			name = g.Outputs[0].Name
		}
		if g.IsOutput(name) {
			out = append(out, head{kind: h.Kind, output: name, labels: h.Labels, primary: i == 0})
		}
	}
	if len(out) > 0 {
		return out, nil
	}
	if a, err := teacher.Describe(m); a.Task == onnx.Embedding {
		return []head{{kind: student.KindEmbedding, output: a.Output, primary: true}}, err
	}
	o := g.Outputs[0]
	for _, v := range g.Outputs {
		if v.Name == "logits" {
			o = v
		}
	}
	if o.HasShape && len(o.Dims) == 2 || !o.HasShape && len(known) == 0 {
		return []head{{kind: student.KindClassification, output: o.Name, primary: true}}, nil
	}
	return nil, fmt.Errorf("eval: what output %q predicts is not known; config.json needs \"architectures\" (…ForSequenceClassification, …ForTokenClassification or …ForMaskedLM)", o.Name)
}

// prepare decides which heads are scored, by which metrics and in which pass.
func (r *runner) prepare(heads []head) error {
	wanted := heads
	if len(r.opts.Heads) > 0 {
		wanted = slices.DeleteFunc(slices.Clone(heads), func(h head) bool { return !slices.Contains(r.opts.Heads, h.kind) })
	}
	var err error
	if r.pos, r.ner, err = r.tagSets(wanted); err != nil {
		return err
	}
	passes := map[string]*pass{}
	for _, h := range wanted {
		s := &scored{head: h, known: len(h.labels)}
		name, why, err := r.passFor(s)
		if err != nil {
			return err
		}
		if why != "" {
			r.result.Skipped = append(r.result.Skipped, string(h.kind)+": "+why)
			continue
		}
		if passes[name] == nil {
			passes[name] = &pass{name: name}
		}
		passes[name].heads = append(passes[name].heads, s)
		r.done = append(r.done, s)
	}
	if len(r.done) == 0 {
		why := strings.Join(append(slices.Clone(r.result.Skipped), "its heads are "+kinds(heads)), "; ")
		return fmt.Errorf("eval: no head of the model can be scored on this data: %s; give data with what the heads predict", why)
	}
	r.done[0].lead = true
	r.result.Task = r.done[0].kind
	for _, s := range r.done {
		if err := r.metricsOf(s); err != nil {
			return err
		}
	}
	for _, name := range []string{passTask, passTags, passDenoise, passOrder, passNext, passVectors} {
		if p := passes[name]; p != nil {
			r.passes = append(r.passes, p)
		}
	}
	return nil
}

// passFor names the pass that scores a head, and fills in what the head is
// compared with; why says what the data lacks for it, "" for nothing.
func (r *runner) passFor(s *scored) (name, why string, err error) {
	switch s.kind {
	case student.KindClassification, student.KindRegression:
		why, err = r.classesOrNumbers(s)
		return passTask, why, err
	case student.KindEmbedding:
		return passVectors, "", nil
	case student.KindPOS:
		if s.labels = r.pos; r.pos == nil {
			why = "the data has no part-of-speech tags"
		}
		return passTags, why, nil
	case student.KindNER:
		if s.labels = r.ner; r.ner == nil {
			why = "the data has no entity tags"
		}
		return passTags, why, nil
	case student.KindSentenceOrder:
		return passOrder, "", nil
	case student.KindNextSentence:
		if r.data.Len() < 2 {
			why = "there is one text only, so no sentence of another one"
		}
		return passNext, why, nil
	}
	return passDenoise, "", nil
}

// classesOrNumbers settles whether a head of texts is compared with the data's
// numbers or with its classes. A classifier whose config.json says that it is a
// regression model takes numbers where there are any.
func (r *runner) classesOrNumbers(s *scored) (why string, err error) {
	regression := s.kind == student.KindRegression
	if regression || r.model.Config.Regression() {
		if s.regression, err = some(r.data, func(e corpus.Example) bool { return e.Score != nil }); err != nil || s.regression {
			return "", err
		}
		if regression || len(r.data.Labels()) == 0 {
			return "the model predicts a number, and the data has none (a column score, or the one that --score-column names)", nil
		}
	}
	if len(r.data.Labels()) == 0 {
		return "the data has no labels", nil
	}
	s.classes, err = classMap(r.data.Labels(), s.head.labels)
	return "", err
}

// some tells whether any example is such.
func some(data corpus.Corpus, such func(corpus.Example) bool) (bool, error) {
	for i := range data.Len() {
		e, err := data.At(i)
		if err != nil {
			return false, fmt.Errorf("eval: %w", err)
		}
		if such(e) {
			return true, nil
		}
	}
	return false, nil
}

func kinds(heads []head) string {
	var out []string
	for _, h := range heads {
		out = append(out, string(h.kind))
	}
	return strings.Join(out, ", ")
}

// metricsOf makes the metrics of a head.
func (r *runner) metricsOf(s *scored) (err error) {
	fit, common := s.fitting()
	names := fit[:common]
	if s.kind == student.KindEmbedding {
		if names, err = r.vectorMetrics(); err != nil {
			return err
		}
	}
	if s.lead && len(r.opts.Metrics) > 0 {
		names = r.opts.Metrics
	}
	for _, name := range names {
		if !slices.Contains(fit, name) {
			return &MetricError{Metric: name, Head: s.kind, Fit: fit}
		}
		if s.kind == student.KindEmbedding && name != "cosine" {
			if pairs, err := r.pairs(); err != nil || !pairs {
				return errors.Join(err, errNoPairs(name))
			}
		}
		make, err := MetricByName(name)
		if err != nil {
			return err
		}
		s.metrics = append(s.metrics, make(s.labels))
	}
	return nil
}
