package onnxgo

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	onnxgo "github.com/owulveryck/onnx-go"

	"github.com/litekit/lite/internal/exec"
	"github.com/litekit/lite/onnx"
)

// Run computes the outputs of the model from the inputs that were set. The first
// run, and one after an input changed its element type or a weight was set,
// prepares the model; shapes may change freely. Operators that lite cannot run
// are one onnx.ErrNotImplemented of onnx-go that lists all of them.
func (b *Backend) Run() error { return b.RunContext(context.Background()) }

// RunContext is Run that ends with the cause of ctx when ctx is done.
func (b *Backend) RunContext(ctx context.Context) error {
	b.err, b.fed = nil, nil
	for _, v := range b.nodes {
		v.fresh = false
	}
	if len(b.ops) == 0 {
		return errors.New("onnxgo: the backend holds no model; decode one with UnmarshalBinary of onnx.NewModel(backend)")
	}
	if b.session != nil && b.retyped() {
		b.session = nil
	}
	if b.session == nil {
		wanted := b.leaves()
		for _, v := range b.wanted {
			if !slices.Contains(wanted, v) {
				wanted = append(wanted, v)
			}
		}
		if err := b.prepare(wanted); err != nil {
			return err
		}
	}
	fed := map[string]*exec.Tensor{}
	for v := range b.types {
		x, err := v.read()
		if err != nil {
			return fmt.Errorf("onnxgo: input %q: %w", v.name, err)
		}
		fed[b.names[v]] = x
	}
	b.fed = fed
	return b.run(ctx, b.wanted)
}

// retyped reports whether an input has another element type than when the
// session was made.
func (b *Backend) retyped() bool {
	for v, old := range b.types {
		if x, err := v.read(); err == nil && x.Type != old {
			return true
		}
	}
	return false
}

// Err is why the last GetTensor of a result gave nil, or nil.
func (b *Backend) Err() error { return b.err }

// prepare makes the session whose outputs are wanted.
func (b *Backend) prepare(wanted []*value) error {
	types := map[*value]onnx.DataType{}
	m, err := b.model(wanted, types)
	if err != nil {
		return err
	}
	s, err := exec.New(m, exec.Options{})
	if err != nil {
		if e := (*exec.UnsupportedError)(nil); errors.As(err, &e) {
			return &onnxgo.ErrNotImplemented{Operator: strings.Join(e.Items, ", "), Message: err.Error()}
		}
		return fmt.Errorf("onnxgo: %w", err)
	}
	b.session, b.wanted, b.types = s, wanted, types
	return nil
}

// run computes values from what was fed.
func (b *Backend) run(ctx context.Context, values []*value) error {
	names := make([]string, len(values))
	for i, v := range values {
		names[i] = b.names[v]
	}
	out, err := b.session.Run(ctx, b.fed, names...)
	if err != nil {
		if errors.Is(err, exec.ErrType) {
			return &onnxgo.ErrNotImplemented{Operator: "of the model", Message: err.Error()}
		}
		return fmt.Errorf("onnxgo: %w", err)
	}
	for i, v := range values {
		t, err := toGorgonia(out[names[i]])
		if err != nil {
			return fmt.Errorf("onnxgo: output %q: %w", v.name, err)
		}
		v.tensor, v.fresh = t, true
	}
	return nil
}

// compute computes a value that the last run did not keep, and has later runs
// keep it. Values that the model declares are then kept together: among them
// are the outputs that other operations read too.
func (b *Backend) compute(v *value) error {
	if b.session == nil {
		return errors.New("onnxgo: the model or a weight was changed after the run; run again")
	}
	var more []*value
	for _, other := range b.nodes {
		if other.made && !other.fresh && !other.omitted() && (other == v || v.sets > 0 && other.sets > 0) {
			more = append(more, other)
		}
	}
	if err := b.prepare(append(slices.Clone(b.wanted), more...)); err != nil {
		return err
	}
	return b.run(context.Background(), more)
}
