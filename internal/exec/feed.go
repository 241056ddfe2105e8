package exec

import (
	"fmt"
	"slices"
	"strings"

	"github.com/litekit/lite/onnx"
)

// bind checks the inputs, enters them into the values, and appends their
// shapes to the signature.
func (s *Session) bind(p *plan, in map[string]*Tensor, st *state) error {
	for _, i := range p.inputs {
		decl := s.inputs[i]
		t := in[decl.Name]
		if t == nil {
			return fmt.Errorf("exec: input %q is missing; the model reads %s", decl.Name, quoted(s.inputs))
		}
		if err := checkInput(decl, t); err != nil {
			return err
		}
		plain := st.header(t)
		plain.mem = nil
		st.vals[s.values[decl.Name]] = plain
		st.key = appendShape(st.key, t)
	}
	for name := range in {
		if id, ok := s.values[name]; !ok || s.source[id] >= noStep {
			return s.unknownInput(in)
		}
	}
	return nil
}

// unknownInput names the first of in, in the order of the alphabet, that is no input.
func (s *Session) unknownInput(in map[string]*Tensor) error {
	unknown := []string{}
	for name := range in {
		if !slices.ContainsFunc(s.inputs, func(v *onnx.ValueInfo) bool { return v.Name == name }) {
			unknown = append(unknown, name)
		}
	}
	if len(unknown) == 0 {
		return nil
	}
	slices.Sort(unknown)
	return fmt.Errorf("exec: input %q is unknown; the model reads %s", unknown[0], quoted(s.inputs))
}

func quoted(list []*onnx.ValueInfo) string {
	names := make([]string, len(list))
	for i, v := range list {
		names[i] = fmt.Sprintf("%q", v.Name)
	}
	return strings.Join(names, ", ")
}

// checkInput compares a tensor with its declaration.
func checkInput(decl *onnx.ValueInfo, t *Tensor) error {
	if !supported(t.Type) || t.Type != widen(t.Type) {
		return fmt.Errorf("exec: input %q is %s, which is not supported", decl.Name, typeName(t.Type))
	}
	if want := widen(decl.Type); want != onnx.Undefined && t.Type != want {
		return fmt.Errorf("exec: input %q is %s; the model reads %s", decl.Name, typeName(t.Type), typeName(want))
	}
	n, ok := elements(t.Shape)
	if !ok || n != t.dataLen() {
		return fmt.Errorf("exec: input %q has %d elements for shape %v", decl.Name, t.dataLen(), t.Shape)
	}
	if lo, hi := bounds(t.Type); wideInt(t.Type) {
		for i, v := range t.I64 {
			if v < lo || v > hi {
				return fmt.Errorf("exec: input %q is %s, but element %d is %d", decl.Name, typeName(t.Type), i, v)
			}
		}
	}
	if !decl.HasShape {
		return nil
	}
	if len(t.Shape) != len(decl.Dims) {
		return fmt.Errorf("exec: input %q has shape %v; the model reads %d dimensions", decl.Name, t.Shape, len(decl.Dims))
	}
	for i, d := range decl.Dims {
		if d.Known && d.Size >= 0 && int64(t.Shape[i]) != d.Size {
			return fmt.Errorf("exec: input %q has shape %v; dimension %d must be %d", decl.Name, t.Shape, i, d.Size)
		}
	}
	return nil
}
