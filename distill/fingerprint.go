package distill

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/student"
)

// Fingerprinter is a loss that says by itself what its value depends on. A
// checkpoint is gone on from only where the losses are the same. Of a loss
// without the method the type and everything its fields hold count, through
// pointers; a loss that holds a function or a channel needs the method.
type Fingerprinter interface {
	Loss
	// Fingerprint is the same text in every process for losses that are the
	// same, and another one where anything that the loss depends on differs.
	Fingerprint() string
}

// part is one thing that the result depends on: its hash, or in words what it is.
type part struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// fingerprint hashes everything that the result depends on, and lists it.
func (t *trainer) fingerprint() (run string, parts []part, err error) {
	c := t.cfg
	all := sha256.New()
	fmt.Fprint(all, "lite 4\n")
	add := func(name string, write func(w io.Writer) error) {
		h := sha256.New()
		if err == nil {
			err = write(h)
		}
		parts = append(parts, part{name, hex.EncodeToString(h.Sum(nil))})
	}
	add("the student or its first weights", func(w io.Writer) error {
		_, err := io.WriteString(w, t.model.Hash())
		return err
	})
	add("the teacher", func(w io.Writer) error {
		for _, s := range t.streams {
			for _, u := range s.tutors {
				fmt.Fprintf(w, "%s\n", u)
			}
		}
		t.describeTaps(w)
		return nil
	})
	add("the losses or their weights", func(w io.Writer) error {
		for _, term := range c.Loss {
			if err := describeTerm(w, term); err != nil {
				return err
			}
		}
		return nil
	})
	parts = append(parts, t.settings()...)
	add("the tags", func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "%q %q", t.heads.labels(student.KindPOS, nil), t.heads.labels(student.KindNER, nil))
		return err
	})
	if c.DevLoss != nil {
		add("the dev data", func(w io.Writer) error { return hashCorpus(w, c.DevLoss) })
	}
	add("the tokenizer", func(w io.Writer) error {
		for _, name := range slices.Sorted(maps.Keys(t.model.Files)) {
			fmt.Fprintf(w, "%s %x\n", name, sha256.Sum256(t.model.Files[name]))
		}
		return nil
	})
	add("the data", func(w io.Writer) error {
		for _, data := range c.corpora(t.streams) {
			if err := hashCorpus(w, data); err != nil {
				return err
			}
		}
		return nil
	})
	for _, p := range parts {
		fmt.Fprintf(all, "%s %q\n", p.Name, p.Value)
	}
	return hex.EncodeToString(all.Sum(nil)), parts, err
}

// settings are the numbers and names that the result depends on.
func (t *trainer) settings() (out []part) {
	c := t.cfg
	add := func(name string, values ...any) {
		out = append(out, part{name, strings.TrimSpace(fmt.Sprintln(values...))})
	}
	add("the number of steps", t.steps)
	add("the batch", c.Batch)
	add("the tokens of a batch", c.BatchTokens)
	add("the batches to an update", c.Accumulate)
	add("the maximum length", c.MaxLength)
	add("the learning rate", c.LearningRate)
	add("the warm-up", c.Warmup)
	add("the decay", string(c.Decay))
	add("the optimizer", string(c.optimizer()))
	add("the weight decay", c.WeightDecay)
	add("the layer decay", c.LayerDecay)
	add("the moving average", c.EMA)
	add("the clipping", c.ClipNorm)
	add("the dropout", c.Dropout)
	add("the seed", c.Seed)
	add("learned weights", c.LearnWeights)
	if c.measures() {
		add("the steps between measurements", t.evalEvery())
		add("the patience", c.Patience)
		add("the metric", c.Metric, c.LowerIsBetter)
		add("what is measured on", c.EvaluateID)
	}
	return out
}

// differing says in what a checkpoint's run is not this one.
func differing(theirs, ours []part) string {
	was := map[string]string{}
	for _, p := range theirs {
		was[p.Name] = p.Value
	}
	var out []string
	for _, p := range ours {
		old, there := was[p.Name]
		delete(was, p.Name)
		switch {
		case there && old == p.Value:
		case !there || len(p.Value) == 2*sha256.Size || p.Value == "" || old == "":
			out = append(out, p.Name)
		default:
			out = append(out, fmt.Sprintf("%s (%s there, %s here)", p.Name, old, p.Value))
		}
	}
	for _, p := range theirs {
		if _, left := was[p.Name]; left {
			out = append(out, p.Name)
		}
	}
	if len(theirs) == 0 || len(out) == 0 {
		return "of another version of lite"
	}
	if len(out) == 1 {
		return out[0] + " is not the same"
	}
	return strings.Join(out[:len(out)-1], ", ") + " and " + out[len(out)-1] + " are not the same"
}

// describeTaps writes which values of which teachers are read.
func (t *trainer) describeTaps(w io.Writer) {
	models, _ := t.cfg.teachers()
	for _, s := range t.streams {
		for i, names := range s.taps {
			if len(names) > 0 {
				fmt.Fprintf(w, "inside teacher %d %s %q\n", i, models[i].Hash(), names)
			}
		}
	}
}

// describeTerm writes what a term of the sum is.
func describeTerm(w io.Writer, term Term) error {
	fmt.Fprintf(w, "loss %T ", term.Loss)
	if f, ok := term.Loss.(Fingerprinter); ok {
		fmt.Fprintf(w, "%q", f.Fingerprint())
	} else if err := describe(w, reflect.ValueOf(term.Loss), 0); err != nil {
		return fmt.Errorf("distill: the loss %s: %w; give it the method Fingerprint, so that its checkpoints are known as its own", term.Loss.Name(), err)
	}
	term.Loss = nil // the weights of the sum
	io.WriteString(w, " ")
	if err := describe(w, reflect.ValueOf(term), 0); err != nil {
		return fmt.Errorf("distill: the weights of a loss: %w", err)
	}
	_, err := io.WriteString(w, "\n")
	return err
}

// maxNesting bounds describe: what is deeper refers to itself.
const maxNesting = 64

// describe writes a value in a form that follows from what it holds, not from
// where it lies: pointers are followed, maps sorted. A value with a method Hash
// (a model, a table) is described by it.
func describe(w io.Writer, v reflect.Value, depth int) error {
	if depth > maxNesting {
		return errors.New("it refers to itself")
	}
	if !v.IsValid() {
		_, err := io.WriteString(w, "nil")
		return err
	}
	if v.CanInterface() && !(v.Kind() == reflect.Pointer && v.IsNil()) {
		if h, ok := v.Interface().(interface{ Hash() string }); ok {
			_, err := fmt.Fprintf(w, "%s#%q", v.Type(), h.Hash())
			return err
		}
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			_, err := io.WriteString(w, "nil")
			return err
		}
		fmt.Fprintf(w, "&%s ", v.Elem().Type())
		return describe(w, v.Elem(), depth+1)
	case reflect.Struct:
		for i := range v.NumField() {
			fmt.Fprintf(w, "{%s:", v.Type().Field(i).Name)
			if err := describe(w, v.Field(i), depth+1); err != nil {
				return err
			}
			io.WriteString(w, "}")
		}
		return nil
	case reflect.Slice, reflect.Array:
		fmt.Fprintf(w, "[%d:", v.Len())
		for i := range v.Len() {
			if err := describe(w, v.Index(i), depth+1); err != nil {
				return err
			}
			io.WriteString(w, " ")
		}
		_, err := io.WriteString(w, "]")
		return err
	case reflect.Map:
		return describeMap(w, v, depth)
	}
	return describeScalar(w, v)
}

func describeScalar(w io.Writer, v reflect.Value) (err error) {
	switch k := v.Kind(); {
	case k == reflect.String:
		_, err = fmt.Fprintf(w, "%q", v.String())
	case k == reflect.Bool:
		_, err = fmt.Fprint(w, v.Bool())
	case v.CanInt():
		_, err = fmt.Fprint(w, v.Int())
	case v.CanUint():
		_, err = fmt.Fprint(w, v.Uint())
	case v.CanFloat():
		_, err = fmt.Fprint(w, v.Float())
	case v.CanComplex():
		_, err = fmt.Fprint(w, v.Complex())
	case v.Kind() == reflect.Func && v.IsNil():
		_, err = io.WriteString(w, "nil")
	default:
		return fmt.Errorf("it holds a %s, of which nothing can be told", v.Type())
	}
	return err
}

func describeMap(w io.Writer, v reflect.Value, depth int) error {
	type entry struct{ key, value string }
	var all []entry
	for it := v.MapRange(); it.Next(); {
		var key, value strings.Builder
		if err := describe(&key, it.Key(), depth+1); err != nil {
			return err
		}
		if err := describe(&value, it.Value(), depth+1); err != nil {
			return err
		}
		all = append(all, entry{key.String(), value.String()})
	}
	slices.SortFunc(all, func(a, b entry) int { return cmp.Compare(a.key, b.key) })
	fmt.Fprintf(w, "map[%d", len(all))
	for _, e := range all {
		fmt.Fprintf(w, " %s:%s", e.key, e.value)
	}
	_, err := io.WriteString(w, "]")
	return err
}

// corpora lists what the streams read, each once.
func (c *Config) corpora(streams []*stream) (out []corpus.Corpus) {
	for _, s := range streams {
		switch {
		case s.view == Clean:
			out = append(out, c.Task)
		case c.Text != nil || len(out) == 0:
			out = append(out, c.text())
		}
	}
	return out
}

// hashCorpus feeds every example to the hash.
func hashCorpus(h io.Writer, c corpus.Corpus) error {
	var n [8]byte
	put := func(s string) {
		binary.LittleEndian.PutUint64(n[:], uint64(len(s)))
		h.Write(n[:])
		io.WriteString(h, s)
	}
	for i := range c.Len() {
		e, err := c.At(i)
		if err != nil {
			return fmt.Errorf("distill: %w", err)
		}
		put(e.Text)
		put(e.Pair)
		put(e.Target)
		fmt.Fprint(h, e.Label, e.Sentences, len(e.Words))
		for _, w := range e.Words {
			fmt.Fprint(h, w.Span)
			put(w.POS)
			put(w.Entity)
		}
		if e.Score != nil {
			fmt.Fprint(h, "score", *e.Score)
		}
		if t := e.Tokens; t != nil {
			fmt.Fprint(h, "ids", t.IDs, t.Types)
			fmt.Fprintf(h, "%q", t.Tags)
		}
	}
	return nil
}
