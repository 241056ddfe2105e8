package onnx

// Evaluate computes lengths for numbers of the symbols: those known in env, and
// symbols of unknown value take their number from want, where they stand alone.
// The result is −1 where a length depends on one that has no number yet.
func (f *Inference) Evaluate(dims []Size, want []int64, env map[Size]int64) []int64 {
	out := make([]int64, len(dims))
	for i, d := range dims {
		if _, ok := env[d]; !ok && d.sym != 0 && f.z.expr(d).poly == nil && f.z.expr(d).op == "" && i < len(want) {
			env[d] = want[i]
		}
		v, ok := f.z.evaluate(d, env)
		if !ok {
			v = -1
		}
		out[i] = v
	}
	return out
}

func (z *algebra) evaluate(s Size, env map[Size]int64) (int64, bool) {
	if s.sym == 0 {
		return s.n, true
	}
	if v, ok := env[s]; ok {
		return v, true
	}
	e := z.expr(s)
	if e.poly != nil {
		sum := int64(0)
		for _, t := range e.poly {
			p := t.c
			for _, a := range t.atoms {
				v, ok := z.evaluate(Size{sym: a}, env)
				if !ok {
					return 0, false
				}
				p *= v
			}
			sum += p
		}
		return sum, true
	}
	if e.op == "" {
		return 0, false
	}
	a, ok := z.evaluate(e.a, env)
	b, ok2 := z.evaluate(e.b, env)
	if !ok || !ok2 {
		return 0, false
	}
	if e.op == "broadcast" {
		return max(a, b) * min(a, b, 1), true
	}
	r := z.arith(e.op, SizeOf(a), SizeOf(b))
	return r.n, r.sym == 0
}

// Schemas lists the operators of the tables: "domain.op".
func Schemas() (list []string) {
	for k := range registry() {
		list = append(list, k.domain+"."+k.op)
	}
	return list
}

// InferBlind is Infer that does not read what is declared of values between
// inputs and outputs.
func (m *Model) InferBlind() *Inference {
	w := newWalk(m, nil)
	s := w.root(m)
	s.enter(m.Graph, nil)
	s.run(m.Graph.Nodes)
	return &Inference{s}
}
