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
