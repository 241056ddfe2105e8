package eval

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/student"
)

// classMap maps the data's classes to the model's. Names are matched exactly,
// then without regard to case; where the data's labels are the numbers of the
// model's classes ("0", "1" or "LABEL_0", "LABEL_1") they are taken as such.
func classMap(data, model []string) ([]int32, error) {
	if len(data) == 0 {
		return nil, fmt.Errorf("eval: the data has no labels to compare a classifier with; give labelled data")
	}
	out := make([]int32, len(data))
	for _, match := range []func(string) int{
		func(s string) int { return slices.Index(model, s) },
		func(s string) int {
			return slices.IndexFunc(model, func(m string) bool { return strings.EqualFold(m, s) })
		},
		func(s string) int {
			k, err := strconv.Atoi(strings.TrimPrefix(s, "LABEL_"))
			if err != nil || k < 0 || len(model) > 0 && k >= len(model) {
				return -1
			}
			return k
		},
		func(s string) int {
			// The model's names may be the generic ones where the data's are not: then the order decides.
			if len(model) != len(data) || !generic(model) {
				return -1
			}
			return slices.Index(data, s)
		},
	} {
		ok := true
		for i, s := range data {
			k := match(s)
			out[i] = int32(k)
			ok = ok && k >= 0
		}
		if ok {
			return out, nil
		}
	}
	return nil, fmt.Errorf("eval: the data's labels %v are not the model's classes %v; rename the labels, or set id2label in config.json", data, model)
}

// generic reports whether the names are LABEL_0, LABEL_1 … or 0, 1 ….
func generic(names []string) bool {
	for i, s := range names {
		if k, err := strconv.Atoi(strings.TrimPrefix(s, "LABEL_")); err != nil || k != i {
			return false
		}
	}
	return true
}

// tagSets returns, for each tagging head that the model has and the data
// annotates, the model's labels followed by tags of the data that it lacks
// (which it can only get wrong). Nil where there is no head or no annotation.
func (r *runner) tagSets(heads []head) (pos, ner []string, err error) {
	var posTags []string
	seen := map[string]bool{}
	want := slices.ContainsFunc(heads, func(h head) bool { return h.kind == student.KindPOS })
	for i := 0; want && i < r.data.Len(); i++ {
		e, err := r.data.At(i)
		if err != nil {
			return nil, nil, fmt.Errorf("eval: %w", err)
		}
		for _, w := range e.Words {
			if w.POS != "" && w.POS != "_" && !seen[w.POS] {
				seen[w.POS] = true
				posTags = append(posTags, w.POS)
			}
		}
	}
	slices.Sort(posTags)
	var nerTags []string
	if slices.ContainsFunc(heads, func(h head) bool { return h.kind == student.KindNER }) {
		if nerTags, err = corpus.NERTags(r.data); err != nil {
			return nil, nil, fmt.Errorf("eval: %w", err)
		}
	}
	for _, h := range heads {
		switch {
		case h.kind == student.KindPOS && len(posTags) > 0:
			pos, err = union(h, posTags)
		case h.kind == student.KindNER && len(nerTags) > 0:
			ner, err = union(h, nerTags)
		}
		if err != nil {
			return nil, nil, err
		}
	}
	return pos, ner, nil
}

// union is the head's labels followed by the data's tags beyond them. Sets
// that have nothing but "O" in common are an error.
func union(h head, tags []string) ([]string, error) {
	out, common := slices.Clone(h.labels), len(tags) == 1 && tags[0] == "O"
	for _, s := range tags {
		if !slices.Contains(h.labels, s) {
			out = append(out, s)
		} else if s != "O" {
			common = true
		}
	}
	if !common {
		return nil, fmt.Errorf("eval: the data's %s tags %v are not the model's labels %v; rename one of them, or leave the head out", h.kind, tags, h.labels)
	}
	return out, nil
}
