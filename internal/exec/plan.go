package exec

import "slices"

// plan is what a set of outputs needs, and where its values lie by shape.
type plan struct {
	steps   []*step
	uses    []int // per value: the steps that read it, and one more for an output
	inputs  []int // indices into Session.inputs
	outputs []int // value numbers, each once

	layouts layouts // guarded by Session.mu
}

// maxPlans bounds how many sets of outputs are remembered.
const maxPlans = 64

// plan returns the plan for the named outputs, all of the graph's for none.
// key is room to work in.
func (s *Session) plan(outputs []string, key []byte) (*plan, error) {
	for _, name := range outputs {
		key = append(append(key, name...), 0)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.plans[string(key)]; p != nil {
		return p, nil
	}
	if len(outputs) == 0 {
		for _, o := range s.outputs {
			outputs = append(outputs, o.Name)
		}
	}
	p, err := s.newPlan(outputs)
	if err == nil && len(s.plans) < maxPlans {
		s.plans[string(key)] = p
	}
	return p, err
}

func (s *Session) newPlan(outputs []string) (*plan, error) {
	p := &plan{uses: make([]int, len(s.names))}
	for _, name := range outputs {
		if !s.holds(name) {
			return nil, s.unknownOutput(name)
		}
		id := s.values[name]
		if !slices.Contains(p.outputs, id) {
			p.outputs = append(p.outputs, id)
			p.uses[id]++
		}
	}
	need := slices.Clone(p.uses)
	for i := len(s.steps) - 1; i >= 0; i-- {
		st := s.steps[i]
		if !slices.ContainsFunc(st.out, func(id int) bool { return id >= 0 && need[id] > 0 && s.consts[id] == nil }) {
			continue
		}
		p.steps = append(p.steps, st)
		for _, id := range st.reads {
			need[id]++
			p.uses[id]++
		}
	}
	slices.Reverse(p.steps)
	for i, in := range s.inputs {
		if need[s.values[in.Name]] > 0 {
			p.inputs = append(p.inputs, i)
		}
	}
	return p, nil
}
