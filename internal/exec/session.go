package exec

import (
	"fmt"
	"slices"
	"sync"

	"github.com/litekit/lite/internal/fuse"
	"github.com/litekit/lite/onnx"
)

// Options says how a session is made. The zero value runs every output in full.
type Options struct {
	// Rows lists outputs [B, S, …] that are computed only for the rows named
	// by the added int64 input "rows" [R] (flat positions b·S + s); they
	// become [R, …].
	Rows []string
	// MaxBytes bounds one value, so that a malformed graph cannot take all
	// memory; values made out of nothing (Range, Expand, …) are bounded by a
	// quarter of it. 0 means 2 GiB, 1 GiB where an int has 32 bits.
	MaxBytes int
	// SkipPadding computes nothing for tokens that attention_mask, or what else
	// the graph makes its attention bias of, hides from all others; see packing.
	// Where values [B, S, ·] hold rows of such tokens they are 0. The other rows
	// have the same bits where padding lies at the end, and differ in the last
	// digits where it lies elsewhere; but dynamically quantized models then leave
	// padding out of their ranges. It needs the fused graph, and changes nothing in graphs
	// whose attention it does not know.
	SkipPadding bool
	// Unfused runs the graph node by node as it is written, for comparison.
	Unfused bool
}

// Session is a model ready to run. It is immutable but for what it keeps for
// its next runs, and safe for concurrent use.
type Session struct {
	inputs  []*onnx.ValueInfo
	outputs []*onnx.ValueInfo
	limit   int

	model     *onnx.Model      // as it was given, but for functions: what variants are made of
	functions []*onnx.Function // of the model
	opts      Options
	weights   map[string]*onnx.Tensor
	packs     map[packKey]any // weights as the kernels want them
	parent    *Session        // of a variant

	steps  []*step
	values map[string]int // value numbers
	names  []string
	consts []*Tensor // by value number; nil where not constant
	source []int     // by value number: the step that makes it, noStep, or an input's −2−index

	mu    sync.Mutex
	idle  []*state
	runs  int64 // that have ended
	plans map[string]*plan

	variants variants
}

// step is one node to run.
type step struct {
	node  *onnx.Node
	op    *operator
	in    []int // value numbers, −1 omitted
	out   []int
	reads []int // in without omitted and repeated values
	opset int64
	prep  any
}

const noStep = -1

// New makes a session: it checks and fuses the model (m itself is not
// changed), computes what depends on no input, and packs weights. What cannot
// be run is one [UnsupportedError] that lists every node.
func New(m *onnx.Model, opts Options) (s *Session, err error) {
	err = onnx.Guard(func() (err error) { s, err = newSession(m, opts); return err })
	return s, err
}

func newSession(m *onnx.Model, opts Options) (*Session, error) {
	if m == nil || m.Graph == nil {
		return nil, fmt.Errorf("exec: the model has no graph")
	}
	m = m.Clone()
	functions := m.Functions
	if err := inline(m); err != nil {
		return nil, err
	}
	expose(m.Graph)
	importMicrosoft(m)
	var err error
	if m.Graph.Nodes, err = sortNodes(m.Graph); err != nil {
		return nil, err
	}
	openDims(m.Graph)
	if err := m.CheckStructure(); err != nil {
		return nil, fmt.Errorf("exec: %w", err)
	}
	s := &Session{model: m, functions: functions, opts: opts, limit: opts.MaxBytes}
	if s.limit <= 0 {
		s.limit = 1 << (30 + wide)
	}
	if err := s.build(m.Clone()); err != nil {
		return nil, err
	}
	return s, nil
}

// build fuses and compiles the model, which is the session's to change.
func (s *Session) build(m *onnx.Model) error {
	opts, given := s.opts, m.Graph.InitializerMap()
	var err error
	if opts.Unfused {
		if len(opts.Rows) > 0 {
			return fmt.Errorf("exec: Options.Rows needs the fused graph; leave Unfused false")
		}
	} else {
		f, err := fuse.Fuse(m)
		if err != nil {
			return fmt.Errorf("exec: %w", err)
		}
		m = f.Model
		if len(opts.Rows) > 0 {
			if m, err = fuse.SelectRows(m, opts.Rows); err != nil {
				return fmt.Errorf("exec: %w", err)
			}
		}
	}
	if m.Graph.Nodes, err = sortNodes(m.Graph); err != nil {
		return err
	}
	lower(m.Graph, !opts.Unfused)
	if !opts.Unfused {
		narrow(m.Graph)
		if opts.SkipPadding {
			pack(m.Graph)
			if m.Graph.Nodes, err = sortNodes(m.Graph); err != nil {
				return err
			}
		}
		together(m.Graph)
	}
	s.outputs, s.values, s.plans, s.packs = m.Graph.Outputs, map[string]int{}, map[string]*plan{}, map[packKey]any{}
	s.weights = m.Graph.InitializerMap()
	for _, in := range m.Graph.Inputs {
		if given[in.Name] == nil { // also of a weight that fusion made superfluous
			s.inputs = append(s.inputs, in)
		}
	}
	c := &compiler{s: s, model: m, weights: s.weights, unfused: opts.Unfused}
	return c.compile()
}

// importMicrosoft imports ONNX Runtime's operators where the model does not:
// ONNX Runtime always has them, and its tools write models that rely on it.
func importMicrosoft(m *onnx.Model) {
	if !slices.ContainsFunc(m.Opsets, func(o onnx.Opset) bool { return o.Domain == msDomain }) {
		m.Opsets = append(m.Opsets, onnx.Opset{Domain: msDomain, Version: 1})
	}
}

// openDims makes sizes of −1 in declarations what their writers mean: unknown.
func openDims(g *onnx.Graph) {
	for _, list := range [][]*onnx.ValueInfo{g.Inputs, g.Outputs, g.Values} {
		for _, v := range list {
			for i, d := range v.Dims {
				if d.Known && d.Size < 0 {
					v.Dims[i].Known = false
				}
			}
		}
	}
}

// Inputs are the inputs to feed: those of the graph without initializers,
// which are constants here, and "rows" where Options.Rows asked for it.
func (s *Session) Inputs() []*onnx.ValueInfo { return slices.Clone(s.inputs) }

// Outputs are the outputs of the graph.
func (s *Session) Outputs() []*onnx.ValueInfo { return slices.Clone(s.outputs) }

// Has reports whether Run can return the value: any value of the graph, but
// not those inside its functions and the bodies of its nodes.
func (s *Session) Has(name string) bool { return s.holds(name) || s.inGraph(name) }

// holds reports whether the session itself computes the value or has it; Run
// gets the other values of the graph from a variant.
func (s *Session) holds(name string) bool {
	id, ok := s.values[name]
	return ok && name != "" && s.available(id)
}

func (s *Session) available(id int) bool {
	if t := s.consts[id]; t != nil {
		return t.dataLen() == t.Len()
	}
	return s.source[id] != noStep
}

// What a session keeps for later runs: so many idle states, of so many bytes
// together (one is kept whatever its size), and none that so many runs have
// done without.
const (
	maxIdle      = 16
	maxIdleBytes = 1 << 30
	maxIdleRuns  = 1024
)

// state takes the idle state that was used last, or makes one.
func (s *Session) state() *state {
	s.mu.Lock()
	defer s.mu.Unlock()
	if k := len(s.idle); k > 0 {
		st := s.idle[k-1]
		s.idle[k-1] = nil
		s.idle = s.idle[:k-1]
		return st
	}
	return &state{memory: memory{limit: s.limit}}
}

// giveBack keeps a state for another run, and drops what is kept in vain.
func (s *Session) giveBack(st *state) {
	clear(st.vals)
	st.finish()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.runs++
	st.last = s.runs
	s.idle = append(s.idle, st)
	bytes, keep := 0, len(s.idle)-1
	for i := keep; i >= 0; i-- { // the most recently used first
		bytes += s.idle[i].bytes()
		if len(s.idle)-i > maxIdle || i < len(s.idle)-1 && bytes > maxIdleBytes || s.idle[i].last+maxIdleRuns < s.runs {
			break
		}
		keep = i
	}
	if keep > 0 {
		k := copy(s.idle, s.idle[keep:])
		clear(s.idle[k:])
		s.idle = s.idle[:k]
	}
}

// id numbers a value.
func (s *Session) id(name string) int {
	if i, ok := s.values[name]; ok {
		return i
	}
	i := len(s.names)
	s.values[name] = i
	s.names = append(s.names, name)
	s.consts = append(s.consts, nil)
	s.source = append(s.source, noStep)
	return i
}
