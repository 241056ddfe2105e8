package exec

import (
	"context"
	"fmt"

	"github.com/litekit/lite/onnx"
)

// Footprint is how much memory a session and one run take, in bytes.
type Footprint struct {
	// Weights are the constants as the session holds them. Float32 and uint8
	// ones lie in the model, which may be mapped from its file.
	Weights int
	// Packed are the weights in the form that the kernels multiply by.
	Packed int
	// Activations is the most that the values between nodes take at one time.
	Activations int
	// Scratch is what the run's memory takes beyond that: what operators work
	// in, and gaps. The kernels' own blocks, some MB for all sessions of the
	// process together, are not in it.
	Scratch int
	// Results are the outputs, which the caller gets.
	Results int
}

// Total is the sum.
func (f Footprint) Total() int {
	return f.Weights + f.Packed + f.Activations + f.Scratch + f.Results
}

// Footprint tells how much memory a run with inputs of the given shapes takes;
// inputs whose shape the model fixes may be left out. A shape that the session
// has not met is run once, on zeros, which takes as long as a run: what the plan
// of its memory is made of. Where sizes depend on data, it is right for zeros.
func (s *Session) Footprint(ctx context.Context, shapes map[string][]int, outputs ...string) (Footprint, error) {
	var f Footprint
	s.addWeights(&f)
	p, err := s.plan(outputs, nil)
	if err != nil {
		return f, err
	}
	in, key := map[string]*Tensor{}, []byte(nil)
	for _, i := range p.inputs {
		t, err := zeros(s.inputs[i], shapes, s.limit)
		if err != nil {
			return f, err
		}
		in[s.inputs[i].Name] = t
		key = appendShape(key, t)
	}
	l, _ := s.layout(p, key)
	if l == nil {
		if _, err := s.Run(ctx, in, outputs...); err != nil {
			return f, err
		}
		known, outgrown := s.layout(p, key)
		if l = known; l == nil {
			l = outgrown
		}
	}
	if l == nil {
		return f, fmt.Errorf("exec: a run asks for memory more than %d times; its footprint is not planned", maxPlaces)
	}
	f.Activations, f.Scratch, f.Results = l.values, l.size-l.values, l.result
	return f, nil
}

// zeros is an input of zeros.
func zeros(decl *onnx.ValueInfo, shapes map[string][]int, limit int) (*Tensor, error) {
	t := &Tensor{Type: widen(decl.Type)}
	if t.Type == onnx.Undefined {
		t.Type = onnx.Float
	}
	if !supported(t.Type) {
		return nil, fmt.Errorf("exec: input %q is %s, which is not supported", decl.Name, typeName(t.Type))
	}
	shape, given := shapes[decl.Name]
	if !given {
		if !decl.HasShape {
			return nil, fmt.Errorf("exec: the model does not fix the shape of input %q; give one", decl.Name)
		}
		for _, d := range decl.Dims {
			if !d.Known {
				return nil, fmt.Errorf("exec: the model does not fix the shape of input %q; give one", decl.Name)
			}
			shape = append(shape, int(d.Size))
		}
	}
	n, ok := elements(shape)
	if !ok || n > limit/storage(t.Type).Size() {
		return nil, errSize(t.Type, shape, limit)
	}
	t.Shape = shape
	t.allocate(n)
	return t, nil
}

// addWeights counts the constants and packed weights of a session and of the
// bodies of its nodes.
func (s *Session) addWeights(f *Footprint) {
	for _, t := range s.consts {
		if t != nil {
			f.Weights += t.dataLen() * storage(t.Type).Size()
		}
	}
	for _, w := range s.packs {
		if b, ok := w.(interface{ Bytes() int }); ok {
			f.Packed += b.Bytes()
		}
	}
	for _, st := range s.steps {
		bodies, _ := st.prep.(map[string]*body)
		for _, b := range bodies {
			b.s.addWeights(f)
		}
	}
}

// Bytes is what the packed weight takes.
func (w *weights8) Bytes() int { return w.packed.Bytes() + len(w.zero) }

// WeightFootprint is the part of [Session.Footprint] that needs no shapes:
// Weights and Packed.
func (s *Session) WeightFootprint() Footprint {
	var f Footprint
	s.addWeights(&f)
	return f
}
