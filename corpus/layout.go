package corpus

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
)

// Layout names the columns of a well-known data set; see Layouts.
type Layout string

// layout gives the usual names of the columns, alternatives separated by |.
type layout struct {
	text, pair, label, score string
	// plain is for files without a header: how many columns, and the places of
	// text and label.
	plain [3]int
}

// layouts are those of GLUE (Wang et al. 2019) and CLUE (Xu et al. 2020), as
// their own archives and the Hugging Face hub have them.
var layouts = map[Layout]layout{
	"cola":         {text: "sentence", label: "label", plain: [3]int{4, 3, 1}},
	"sst2":         {text: "sentence", label: "label"},
	"mrpc":         {text: "#1 string|sentence1", pair: "#2 string|sentence2", label: "quality|label"},
	"qqp":          {text: "question1", pair: "question2", label: "is_duplicate|label"},
	"stsb":         {text: "sentence1", pair: "sentence2", score: "score|label"},
	"mnli":         {text: "sentence1|premise", pair: "sentence2|hypothesis", label: "gold_label|label"},
	"qnli":         {text: "question", pair: "sentence", label: "label"},
	"rte":          {text: "sentence1", pair: "sentence2", label: "label"},
	"wnli":         {text: "sentence1", pair: "sentence2", label: "label"},
	"tnews":        {text: "sentence", label: "label"},
	"iflytek":      {text: "sentence", label: "label"},
	"afqmc":        {text: "sentence1", pair: "sentence2", label: "label"},
	"cmnli":        {text: "sentence1|premise", pair: "sentence2|hypothesis", label: "label"},
	"csl":          {text: "keyword|keywords", pair: "abst|abstract", label: "label"},
	"chnsenticorp": {text: "text_a|text|review", label: "label"},
}

// Layouts returns the names of the known layouts, sorted.
func Layouts() []Layout { return slices.Sorted(maps.Keys(layouts)) }

func plainName(s string) Layout {
	return Layout(strings.NewReplacer("-", "", "_", "").Replace(strings.ToLower(s)))
}

// findLayout returns the layout that the options name, or else the one that the
// file or its folder is called after, as in glue/CoLA/dev.tsv or tnews.json;
// stated tells which. Columns given by hand have precedence.
func findLayout(path string, o Options) (l *layout, stated bool, err error) {
	if o.Layout != "" {
		if l, ok := layouts[plainName(string(o.Layout))]; ok {
			return &l, true, nil
		}
		return nil, false, fmt.Errorf("corpus: layout %q is unknown; it must be one of %q", o.Layout, Layouts())
	}
	if o.Columns != (Columns{}) {
		return nil, false, nil
	}
	stem, _, _ := strings.Cut(filepath.Base(path), ".")
	for _, s := range []string{stem, filepath.Base(filepath.Dir(path))} {
		if l, ok := layouts[plainName(s)]; ok {
			return &l, false, nil
		}
	}
	return nil, false, nil
}

// among returns the first alternative that has is true for, "" for none.
func among(alternatives string, has func(string) bool) string {
	for s := range strings.SplitSeq(alternatives, "|") {
		if s != "" && has(s) {
			return s
		}
	}
	return ""
}

// columns maps a layout onto names, those of a header or an object. ok tells
// whether the text, and the second one of a pair, are there; labels may be
// missing, as in test sets.
func (l *layout) columns(has func(string) bool) (c Columns, ok bool) {
	c = Columns{Text: among(l.text, has), Pair: among(l.pair, has), Label: among(l.label, has), Score: among(l.score, has)}
	return c, c.Text != "" && (c.Pair != "" || l.pair == "")
}

// split takes "sentence1,sentence2" as the text and its pair.
func (c Columns) split() Columns {
	if a, b, ok := strings.Cut(c.Text, ","); ok && c.Pair == "" {
		c.Text, c.Pair = strings.TrimSpace(a), strings.TrimSpace(b)
	}
	return c
}
