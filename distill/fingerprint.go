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

// fingerprint hashes everything that the result depends on.
func (t *trainer) fingerprint() (string, error) {
	c := t.cfg
	h := sha256.New()
	fmt.Fprintf(h, "lite 3\n%s\n", t.model.Hash())
	for _, s := range t.streams {
		for _, u := range s.tutors {
			fmt.Fprintf(h, "teacher %s\n", u)
		}
	}
	for _, term := range c.Loss {
		if err := describeTerm(h, term); err != nil {
			return "", err
		}
	}
	fmt.Fprintln(h, t.steps, c.Batch, c.MaxLength, c.LearningRate, c.Warmup, c.Decay, c.WeightDecay, c.ClipNorm, c.Accumulate, c.Dropout, c.Seed)
	if c.BatchTokens > 0 {
		fmt.Fprintln(h, "batch tokens", c.BatchTokens)
	}
	fmt.Fprintln(h, c.optimizer(), c.LayerDecay, c.EMA)
	if c.LearnWeights {
		fmt.Fprintln(h, "learned weights")
	}
	if c.Evaluate != nil {
		fmt.Fprintf(h, "evaluate %d %d %v %q %q\n", t.evalEvery(), c.Patience, c.LowerIsBetter, c.Metric, c.EvaluateID)
	}
	fmt.Fprintf(h, "%q %q\n", t.heads.labels(student.KindPOS, nil), t.heads.labels(student.KindNER, nil))
	for _, name := range slices.Sorted(maps.Keys(t.model.Files)) {
		fmt.Fprintf(h, "%s %x\n", name, sha256.Sum256(t.model.Files[name]))
	}
	for _, data := range c.corpora(t.streams) {
		if err := hashCorpus(h, data); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
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
