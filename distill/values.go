package distill

import (
	"slices"
)

// average lets the moving averages follow the step's values, from the first on.
func (t *trainer) average() {
	for i, v := range t.values {
		if t.step == 0 {
			t.averages[i] = v
		} else {
			t.averages[i] += 0.02 * (v - t.averages[i])
		}
	}
}

// losses names the averages of the terms that count.
func (t *trainer) losses() []NamedLoss { return t.named(t.averages) }

// named names values of the terms that count, each followed by what it reports.
func (t *trainer) named(values []float64) (out []NamedLoss) {
	for i, term := range t.cfg.Loss {
		if term.Weight <= 0 {
			continue
		}
		out = append(out, NamedLoss{term.Loss.Name(), values[i]})
		for _, name := range reports(term.Loss) {
			out = append(out, NamedLoss{name, values[t.place(i, name)]})
		}
	}
	return out
}

// reports are the further numbers of a loss.
func reports(l Loss) []string {
	if r, ok := l.(Reporter); ok {
		return r.Reports()
	}
	return nil
}

// places is how many values a step has: those of the terms, then what they report.
func (t *trainer) places() int {
	n := len(t.cfg.Loss)
	for _, term := range t.cfg.Loss {
		n += len(reports(term.Loss))
	}
	return n
}

// place is where a number that term i reports stands among the values.
func (t *trainer) place(i int, name string) int {
	at := len(t.cfg.Loss)
	for _, term := range t.cfg.Loss[:i] {
		at += len(reports(term.Loss))
	}
	names := reports(t.cfg.Loss[i].Loss)
	if k := slices.Index(names, name); k >= 0 {
		return at + k
	}
	panic("distill: the loss " + t.cfg.Loss[i].Loss.Name() + " reports " + name + ", which its Reports does not name")
}
