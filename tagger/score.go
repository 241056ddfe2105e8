package tagger

import (
	"strings"

	"github.com/litekit/lite/corpus"
)

// Score compares annotation with gold annotation of the same texts.
type Score struct {
	Gold, Found int // words
	Aligned     int // words that both have, with the same bounds
	POS         int // aligned words with a part of speech in the gold annotation
	POSRight    int // those of them that have the same one
	POSGold     int // words with a part of speech in the gold annotation

	// Entities of texts whose gold annotation has entity tags.
	EntitiesGold, EntitiesFound, EntitiesRight int
	Tagged                                     int // gold words with an entity tag, O among them
}

// Add counts one text. An entity is right if bounds and type are.
func (s *Score) Add(gold, found []corpus.Word) {
	s.Gold, s.Found = s.Gold+len(gold), s.Found+len(found)
	tagged := false
	k := 0
	for _, g := range gold {
		if g.Entity != "" {
			tagged = true
			s.Tagged++
		}
		if g.POS != "" && g.POS != "_" {
			s.POSGold++
		}
		for k < len(found) && found[k].Start < g.Start {
			k++
		}
		if k == len(found) || found[k].Span != g.Span {
			continue
		}
		s.Aligned++
		if g.POS != "" && g.POS != "_" {
			s.POS++
			if found[k].POS == g.POS {
				s.POSRight++
			}
		}
	}
	if !tagged {
		return
	}
	want := entities(gold)
	s.EntitiesGold += len(want)
	for span, kind := range entities(found) {
		s.EntitiesFound++
		if want[span] == kind {
			s.EntitiesRight++
		}
	}
}

// entities decodes BIO tags.
func entities(words []corpus.Word) map[corpus.Span]string {
	out := map[corpus.Span]string{}
	var s corpus.Span
	kind := ""
	end := func() {
		if kind != "" {
			out[s] = kind
		}
		kind = ""
	}
	for _, w := range words {
		if k, ok := strings.CutPrefix(w.Entity, "I-"); ok && k == kind {
			s.End = w.End
			continue
		}
		end()
		if k, ok := strings.CutPrefix(w.Entity, "B-"); ok {
			s, kind = w.Span, k
		}
	}
	end()
	return out
}

func f1(right, gold, found int) float64 {
	if gold+found == 0 {
		return 0
	}
	return 2 * float64(right) / float64(gold+found)
}

// WordF1 is the F1 of the bounds of words.
func (s *Score) WordF1() float64 { return f1(s.Aligned, s.Gold, s.Found) }

// POSAccuracy is the share of the aligned words whose part of speech is right;
// 0 where there is none.
func (s *Score) POSAccuracy() float64 {
	if s.POS == 0 {
		return 0
	}
	return float64(s.POSRight) / float64(s.POS)
}

// EntityF1 is the F1 of entities by bounds and type.
func (s *Score) EntityF1() float64 { return f1(s.EntitiesRight, s.EntitiesGold, s.EntitiesFound) }

// accuracy is the share of the known labels that a model gives.
func accuracy(m *model, items []*item) float64 {
	var w scratch
	right, all := 0, 0
	for _, it := range items {
		for i, l := range m.decode(it.seq, it.fixed, &w) {
			if it.gold[i] >= 0 {
				all++
				if it.gold[i] == l {
					right++
				}
			}
		}
	}
	return float64(right) / float64(max(1, all))
}

// splitF1 is the F1 of the words of chunks.
func splitF1(m *model, items []*item) float64 {
	var w scratch
	right, gold, found := 0, 0, 0
	for _, it := range items {
		labels := m.decode(it.seq, nil, &w)
		same := true // both begin a word here
		for i := 0; i <= len(labels); i++ {
			g, f := i == len(labels) || it.gold[i] != 0, i == len(labels) || labels[i] != 0
			if g {
				gold++
			}
			if f {
				found++
			}
			switch {
			case g && f:
				if same {
					right++
				}
				same = true
			case g || f:
				same = false
			}
		}
	}
	return f1(right, gold, found)
}

// entityF1 is the F1 of the entities of items.
func entityF1(m *model, items []*item, tags []string) float64 {
	var w scratch
	var s Score
	words := func(labels []int16) []corpus.Word {
		out := make([]corpus.Word, len(labels))
		for i, l := range labels {
			out[i].Span = corpus.Span{Start: i, End: i + 1}
			if l >= 0 {
				out[i].Entity = tags[l]
			}
		}
		return out
	}
	for _, it := range items {
		s.Add(words(it.gold), words(m.decode(it.seq, nil, &w)))
	}
	return s.EntityF1()
}
