package main

import (
	"math"
	"strings"
	"testing"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/distill"
	"github.com/litekit/lite/student"
)

// sumOf is the sum of losses that flags of lite distill ask for.
func sumOf(t *testing.T, args ...string) distill.Sum {
	t.Helper()
	return sumFor(t, student.KindMaskedLM, args...)
}

// sumFor is that of a student with a primary head of that kind.
func sumFor(t *testing.T, kind student.Kind, args ...string) distill.Sum {
	t.Helper()
	var o objectives
	g := newGroup("")
	o.registerPreset(g, true)
	o.register(g, true)
	if err := g.Parse(args); err != nil {
		t.Fatal(err)
	}
	sum, err := o.sum(kind, true)
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

func TestPresets(t *testing.T) {
	for _, p := range presets {
		sumOf(t, "--preset", p.name)
	}
	got := map[string]distill.Term{}
	for _, term := range sumOf(t, "--preset", "mengzi", "--alpha-ner", "0.5", "--tag-positions", "all") {
		got[term.Loss.Name()] = term
	}
	for name, want := range map[string][2]float64{"kd": {1, 0}, "mlm": {1, 0}, "pos": {1, 1. / 6}, "ner": {0.5, 1. / 3}, "sop": {1, 0}} {
		if term := got[name]; term.Weight != want[0] || math.Abs(term.Ramp-want[1]) > 1e-12 {
			t.Errorf("%s has the weight %v and the ramp %v, want %v", name, term.Weight, term.Ramp, want)
		}
	}
	if len(got) != 5 || got["pos"].Loss != (distill.POS{Positions: distill.AllWords}) {
		t.Errorf("the sum is %v", got)
	}
}

func TestRamps(t *testing.T) {
	for _, term := range sumOf(t, "--alpha-pos", "1", "--alpha-ner", "1", "--alpha-nsp", "1", "--ramp", "0.5", "--ramp-ner", "0") {
		want := map[string]float64{"pos": 0.5, "nsp": 0.5}[term.Loss.Name()]
		if term.Ramp != want {
			t.Errorf("%s has the ramp %v, want %v", term.Loss.Name(), term.Ramp, want)
		}
	}
}

// TestPresetFlag sees to it that each command offers the methods it can carry out.
func TestPresetFlag(t *testing.T) {
	for args, ok := range map[string]bool{
		"distill --teacher a --data b --out c --preset tinybert": true,
		"distill --teacher a --data b --out c --preset mengzi":   true,
		"train --student 1x64 --text b --out c --preset mengzi":  true,
		"train --student 1x64 --text b --out c --preset minilm":  false,
		"prune --model a --sparsity 0.5 --out c --preset pkd":    false,
	} {
		if err := parse(strings.Fields(args)); (err == nil) != ok {
			t.Errorf("lite %s: %v", args, err)
		}
	}
}

// Every method runs on every shape of student, or refuses it with the remedy
// before the teacher is asked.
func TestPresetsOnAllShapes(t *testing.T) {
	var words []string
	for w := range strings.FieldsSeq("[PAD] [UNK] [CLS] [SEP] [MASK] anna reads old films in paris . new") {
		words = append(words, w)
	}
	tok, err := corpus.NewWordPiece(words, true)
	if err != nil {
		t.Fatal(err)
	}
	var examples []corpus.Example
	for i := range 8 {
		e := corpus.Example{Label: i % 2, Words: []corpus.Word{}}
		for j, w := range strings.Fields("anna reads films in paris .") {
			word := corpus.Word{Span: corpus.Span{Start: len(e.Text), End: len(e.Text) + len(w)}, POS: []string{"NOUN", "VERB"}[j%2], Entity: "O"}
			if w == "anna" {
				word.Entity = "B-PER"
			}
			e.Words, e.Text = append(e.Words, word), e.Text+w+" "
		}
		examples = append(examples, e)
	}
	data := corpus.FromExamples(examples, []string{"a", "b"})
	// What a shape of student cannot do with a teacher of 2x16x2, by preset; "" is all.
	refused := map[string]map[string]string{
		"1x16x2": {"pkd": "--layer-map 0:1"},
		"1x24x3": {"pkd": "--layer-map 0:1", "tinybert": "leave this loss out", "minilm": "--minilm v2"},
		"2x16x4": {"tinybert": "leave this loss out", "minilm": "--minilm v2"},
		"2x8x2":  {},
		"2x20x2": {},
		"3x16x2": {"tinybert": "0:0,1:1", "pkd": "0:0,1:1"},
	}
	for _, head := range []student.Head{student.Classification([]string{"a", "b"}), student.MaskedLM()} {
		teacher, err := distill.NewModel(student.Shape{Layers: 2, Hidden: 16, Heads: 2, Positions: 16}, head, tok, 1)
		if err != nil {
			t.Fatal(err)
		}
		for shape, why := range refused {
			parsed, err := student.ParseShape(shape)
			if err != nil {
				t.Fatal(err)
			}
			m, _, err := distill.NewStudent(teacher, distill.Student{Shape: parsed, Fresh: parsed.Layers > 2}, 1)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range presets {
				asked := false
				c := distill.Default()
				c.Teacher, c.Task, c.Loss = teacher, data, sumFor(t, head.Kind, "--preset", p.name)
				c.Steps, c.Batch, c.MaxLength, c.Labelling = 1, 4, 12, func(int, int) { asked = true }
				_, _, err := distill.Run(t.Context(), m, c)
				switch want := why[p.name]; {
				case want == "" && err != nil:
					t.Errorf("%s %s of a %s: %v", p.name, shape, head.Kind, err)
				case want != "" && (err == nil || asked || !strings.Contains(err.Error(), want)):
					t.Errorf("%s %s of a %s: %v (teacher asked: %v), want an error with %q before", p.name, shape, head.Kind, err, asked, want)
				}
			}
		}
	}
}

// A flag that says nothing without another one is a mistake of the command line.
func TestIdleFlags(t *testing.T) {
	for args, want := range map[string]string{
		"--layer-map skip":                                 "--layer-map belongs to --alpha-hidden",
		"--layer-map skip --alpha-hidden 1":                "",
		"--relation-heads 4 --alpha-minilm 1":              "",
		"--relation-heads 4 --alpha-minilm 1 --minilm v1":  "--alpha-minilm of version v2",
		"--vector-loss mse":                                "a teacher that gives vectors",
		"--minilm v1":                                      "--alpha-minilm",
		"--alpha-tap 2":                                    "--alpha-tap belongs to --tap",
		"--dkd-beta 2":                                     "--soft-labels dkd",
		"--dkd-beta 2 --soft-labels dkd":                   "",
		"--temperature 3 --alpha-kd 0 --alpha-cosine 1":    "--temperature belongs to --alpha-kd",
		"--preset pkd --alpha-kd 0":                        "", // its temperature was not given
		"--temperature-path cosine":                        "--temperature-end",
		"--temperature-path cosine --temperature-end 1":    "",
		"--tag-positions all":                              "--alpha-pos and --alpha-ner",
		"--ramp 0.5":                                       "--ramp belongs to",
		"--ramp 0.5 --alpha-sop 1":                         "",
		"--ramp-ner 0.5 --alpha-pos 1":                     "--ramp-ner belongs to --alpha-ner",
		"--preset mengzi --ramp-ner 0.5 --ramp 0.1":        "",
		"--preset minilm --relation-layer 2 --minilm v2":   "",
		"--preset minilm --relation-layer 2":               "version v2",
		"--preset tinybert --layer-map last --alpha-kd 0":  "",
		"--preset distilbert --layer-map last":             "--layer-map belongs to",
		"--soft-labels mse --confidence entropy":           "",
		"--confidence entropy --alpha-kd 0 --alpha-pkd 10": "--confidence belongs to",
	} {
		var o objectives
		g := newGroup("")
		o.registerPreset(g, true)
		o.register(g, true)
		if err := g.Parse(strings.Fields(args)); err != nil {
			t.Fatal(err)
		}
		given := o.given()
		if _, err := o.sum(student.KindClassification, true); err != nil {
			t.Fatal(err)
		}
		err := o.idle(given, student.KindClassification)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", args, err, want)
		}
	}
}
