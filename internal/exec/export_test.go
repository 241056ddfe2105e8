package exec

// StepCount is how many nodes are left to run.
func StepCount(s *Session) int { return len(s.steps) }

// PlanOps lists the operators that the outputs need, with their domains.
func PlanOps(s *Session, outputs ...string) []string {
	p, err := s.plan(outputs, nil)
	if err != nil {
		panic(err)
	}
	var out []string
	for _, st := range p.steps {
		name := st.node.Op
		if d := cleanDomain(st.node.Domain); d != "" {
			name = d + "." + name
		}
		out = append(out, name)
	}
	return out
}

// Poison makes what operators are given to fill hold a pattern at first.
func Poison(on bool) { poison = on }

// Holds reports whether the session itself computes the value.
func Holds(s *Session, name string) bool { return s.holds(name) }

// VariantCount is how many variants are kept.
func VariantCount(s *Session) int { return len(s.variants.list) }

// VariantPacks counts the prepared weights of the last variant that are its own
// and those that the session has too.
func VariantPacks(s *Session) (own, shared int) {
	for key := range s.variants.list[len(s.variants.list)-1].s.packs {
		if _, ok := s.packs[key]; ok && key.weight != nil {
			shared++
		} else {
			own++
		}
	}
	return own, shared
}

// IdleBytes is how much memory the session keeps for its next runs.
func IdleBytes(s *Session) int {
	n := 0
	for _, st := range s.idle {
		n += st.bytes()
	}
	return n
}
