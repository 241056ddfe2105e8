package corpus_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/corpus/tokenizer"
)

const idLines = `{"input_ids":[2,11,12,5,3,0,0],"attention_mask":[1,1,1,1,1,0,0],"label":"a"}
{"input_ids":[2,11,3,13,14,3],"token_type_ids":[0,0,0,1,1,1],"labels":"b","score":0.5}

{"input_ids":[2,11,12,13,14,3],"labels":[-100,1,2,-100,0,-100]}
`

func TestReadIDs(t *testing.T) {
	o := corpus.Options{Tags: []string{"O", "B-PER", "I-PER"}}
	c := read(t, "a.jsonl", idLines, o)
	if !corpus.Tokenized(c) || corpus.Tokenized(documents(2)) {
		t.Error("Tokenized does not tell ids from text")
	}
	half := 0.5
	want := []corpus.Example{
		{Label: 0, Target: "a", Tokens: &corpus.Tokens{IDs: []int32{2, 11, 12, 5, 3}}, Origin: corpus.Origin{File: "a.jsonl", N: 1}},
		{Label: 1, Target: "b", Score: &half, Tokens: &corpus.Tokens{IDs: []int32{2, 11, 3, 13, 14, 3}, Types: []uint8{0, 0, 0, 1, 1, 1}}, Origin: corpus.Origin{File: "a.jsonl", N: 2}},
		{Label: -1, Tokens: &corpus.Tokens{IDs: []int32{2, 11, 12, 13, 14, 3}, Tags: []string{"", "B-PER", "I-PER", "", "O", ""}}, Origin: corpus.Origin{File: "a.jsonl", N: 4}},
	}
	o.Memory = 1
	for _, c := range []corpus.Corpus{c, read(t, "a.jsonl", idLines, o)} {
		for i := range want {
			if e, err := c.At(i); err != nil || !reflect.DeepEqual(e, want[i]) {
				t.Errorf("example %d: %+v, %v; want %+v", i, e, err, want[i])
			}
		}
	}
	if tags, err := corpus.NERTags(c); err != nil || !slices.Equal(tags, []string{"O", "B-PER", "I-PER"}) {
		t.Errorf("tags %q, %v", tags, err)
	}
	d, err := corpus.Dedupe(read(t, "a.jsonl", idLines+idLines, o))
	if err != nil || d.Len() != 3 {
		t.Errorf("%d different examples, %v; want 3", d.Len(), err)
	}
	for range corpus.Texts(c) {
		t.Error("ids are texts")
	}
	both := `{"input_ids":[2,3],"text":"a"}`
	if corpus.Tokenized(read(t, "a.jsonl", both, corpus.Options{})) || !corpus.Tokenized(read(t, "a.jsonl", both, corpus.Options{Columns: corpus.Columns{Text: "input_ids"}})) {
		t.Error("a text comes before ids, unless the text column is input_ids")
	}
}

// Ids of our own tokenizer make the batches that text makes.
func TestIDsAreText(t *testing.T) {
	c, tok := documents(200), letters(t)
	var ids []corpus.Example
	for i := range c.Len() {
		e, _ := c.At(i)
		e.Tokens = &corpus.Tokens{}
		for _, id := range tok.EncodeMax(e.Text, "", 24).IDs {
			e.Tokens.IDs = append(e.Tokens.IDs, int32(id))
		}
		e.Text = ""
		ids = append(ids, e)
	}
	blind, err := tokenizer.NewIDs(tok.VocabSize(), tokenizer.Roles{Pad: 0, Unk: 1, Cls: 2, Sep: 3, Mask: 4})
	if err != nil {
		t.Fatal(err)
	}
	for _, memory := range []int64{0, 1} {
		o := corpus.ViewOptions{BatchSize: 8, MaxLength: 24, Seed: 1, FullBatches: true, Memory: memory}
		want, err := corpus.NewTaskView(c, tok, o)
		if err != nil {
			t.Fatal(err)
		}
		for _, tok := range []*corpus.Tokenizer{tok, blind} {
			got, err := corpus.NewTaskView(corpus.FromExamples(ids, c.Labels()), tok, o)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(batches(t, got, 1), batches(t, want, 1)) {
				t.Error("the batches of ids and of text differ")
			}
			o := o
			o.Mask = corpus.MaskOptions{Unit: corpus.MaskSpan}
			masked, err := corpus.NewDenoiseView(corpus.FromExamples(ids, c.Labels()), tok, o)
			if err != nil {
				t.Fatal(err)
			}
			for _, b := range batches(t, masked, 0) {
				for _, id := range b.MLM {
					if id >= 0 && tok.IsSpecial(int64(id)) {
						t.Fatalf("the special token %d is a target", id)
					}
				}
			}
		}
	}
}

func TestIDView(t *testing.T) {
	tok := letters(t)
	c := read(t, "a.jsonl", idLines, corpus.Options{Tags: []string{"O", "B-PER", "I-PER"}})
	v, err := corpus.NewTaskView(c, tok, corpus.ViewOptions{BatchSize: 3, MaxLength: 5, PadMultiple: 1, RowMultiple: 1, Window: -1, TokenLabels: true})
	if err != nil {
		t.Fatal(err)
	}
	b, err := v.Sequential().Batch(0, 0)
	if err != nil {
		t.Fatal(err)
	}
	// The longer segment is cut, and its separator stays.
	if want := []int64{2, 11, 12, 5, 3, 2, 3, 13, 14, 3, 2, 11, 12, 13, 3}; !slices.Equal(b.IDs, want) {
		t.Errorf("ids %v, want %v", b.IDs, want)
	}
	if want := []int64{0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0}; !slices.Equal(b.Types, want) {
		t.Errorf("types %v, want %v", b.Types, want)
	}
	tags := map[int64]int32{}
	for i, at := range b.Rows {
		tags[at] = b.NER[i]
	}
	if tags[11] != 1 || tags[12] != 2 || tags[13] != -1 {
		t.Errorf("tags %v", tags)
	}
	if _, ok := tags[10]; ok {
		t.Error("a special token is labelled")
	}
	_, err = corpus.NewTaskView(read(t, "b.jsonl", "{\"input_ids\":[5]}\n{\"input_ids\":[2,999]}\n", corpus.Options{}), tok, corpus.ViewOptions{})
	if err == nil || !strings.Contains(err.Error(), "b.jsonl: line 2: id 999 at 1 is outside the model's vocabulary of 63") {
		t.Errorf("an id of another vocabulary: %v", err)
	}
	blind, err := tokenizer.NewIDs(40, tokenizer.Roles{Pad: 39, Unk: -1, Cls: -1, Sep: -1, Mask: -1})
	if err != nil {
		t.Fatal(err)
	}
	if blind.VocabSize() != 40 || blind.PadID() != 39 || blind.UnkID() != -1 || blind.Token(7) != "#7" || blind.ReadsText() {
		t.Error("the stand-in is not what was asked for")
	}
	if _, err := corpus.NewTaskView(documents(1), blind, corpus.ViewOptions{}); err == nil || !strings.Contains(err.Error(), "cannot be read") {
		t.Errorf("text for a stand-in: %v", err)
	}
	if v, err = corpus.NewTaskView(corpus.Take(c, 1), blind, corpus.ViewOptions{BatchSize: 2, FullBatches: true}); err != nil {
		t.Fatal(err)
	}
	if b, err = v.Batch(0, 0); err != nil || b.Mask[b.S] != 1 || b.IDs[b.S] != 39 {
		t.Errorf("a padding row without special tokens must have a token: %v, %v", b.Mask[b.S:], err)
	}
	for _, r := range []tokenizer.Roles{{Pad: 40}, {Mask: 99}} {
		if _, err := tokenizer.NewIDs(40, r); err == nil {
			t.Errorf("roles %+v: no error", r)
		}
	}
}
