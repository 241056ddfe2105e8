package onnx

import "slices"

// Model is an ONNX model: its graph, weights and metadata and, when it was
// opened from a directory, its configuration and tokenizer files.
//
// A Model handed to a function is never changed by it: steps that change a
// model work on a [Model.Clone]. The bytes of a [Tensor] may be memory-mapped
// from the file the model was opened from and must never be written to;
// replace the tensor instead.
type Model struct {
	IRVersion       int64
	Producer        string
	ProducerVersion string
	Domain          string
	Version         int64
	Doc             string
	Opsets          []Opset
	Metadata        []Property
	Graph           *Graph
	Functions       []*Function

	// Config is config.json of the directory, nil for a bare file.
	Config *Config
	// Files holds the other small files of the directory by their name:
	// tokenizer.json, tokenizer_config.json, vocab.txt, special_tokens_map.json.
	Files map[string][]byte
	// DataFiles names the files that Open read external data from, relative to
	// the model's folder. It is for show: saving does not ask it.
	DataFiles []string

	// Unknown holds protobuf fields this package does not know, written back as read.
	Unknown []byte
}

// Opset names a version of an operator set; the empty domain is ai.onnx.
type Opset struct {
	Domain  string
	Version int64
	Unknown []byte
}

// Property is one key and value of a model's metadata.
type Property struct {
	Key, Value string
	Unknown    []byte
}

// Graph is a list of nodes in topological order with its inputs, outputs and
// weights (Initializers). Values declares types and shapes of values between
// nodes, for which the format needs none.
type Graph struct {
	Name         string
	Doc          string
	Nodes        []*Node
	Initializers []*Tensor
	Sparse       []*SparseTensor
	Inputs       []*ValueInfo
	Outputs      []*ValueInfo
	Values       []*ValueInfo
	Metadata     []Property
	Unknown      []byte
}

// Node is one operation. An empty input or output name is an omitted optional one.
type Node struct {
	Name     string
	Op       string
	Domain   string
	Overload string
	Doc      string
	Inputs   []string
	Outputs  []string
	Attrs    []*Attribute
	Metadata []Property
	Unknown  []byte
}

// AttrType is the kind of value an [Attribute] holds, as AttributeProto.AttributeType numbers it.
type AttrType int32

// The attribute types.
const (
	AttrUndefined     AttrType = 0
	AttrFloat         AttrType = 1
	AttrInt           AttrType = 2
	AttrString        AttrType = 3
	AttrTensor        AttrType = 4
	AttrGraph         AttrType = 5
	AttrFloats        AttrType = 6
	AttrInts          AttrType = 7
	AttrStrings       AttrType = 8
	AttrTensors       AttrType = 9
	AttrGraphs        AttrType = 10
	AttrSparseTensor  AttrType = 11
	AttrSparseTensors AttrType = 12
	AttrTypeProto     AttrType = 13
	AttrTypeProtos    AttrType = 14
)

// Attribute is a named constant of a node; Type says which field holds the value.
type Attribute struct {
	Name    string
	RefName string
	Doc     string
	Type    AttrType

	Float   float32
	Int     int64
	String  []byte
	Tensor  *Tensor
	Graph   *Graph
	Sparse  *SparseTensor
	Floats  []float32
	Ints    []int64
	Strings [][]byte
	Tensors []*Tensor
	Graphs  []*Graph
	Sparses []*SparseTensor
	// Types holds the encoded TypeProto messages of AttrTypeProto(s).
	Types   [][]byte
	Unknown []byte
}

// DataType is the type of a tensor's elements, as TensorProto.DataType numbers it.
type DataType int32

// The element types.
const (
	Undefined  DataType = 0
	Float      DataType = 1
	Uint8      DataType = 2
	Int8       DataType = 3
	Uint16     DataType = 4
	Int16      DataType = 5
	Int32      DataType = 6
	Int64      DataType = 7
	String     DataType = 8
	Bool       DataType = 9
	Float16    DataType = 10
	Double     DataType = 11
	Uint32     DataType = 12
	Uint64     DataType = 13
	Complex64  DataType = 14
	Complex128 DataType = 15
	BFloat16   DataType = 16
)

// Tensor is a constant: Dims and little-endian Raw bytes, whatever field of
// the file they came from (typed data is converted to raw on reading).
// Strings holds the elements of a String tensor, whose Raw is nil.
type Tensor struct {
	Name     string
	Doc      string
	Type     DataType
	Dims     []int64
	Raw      []byte
	Strings  [][]byte
	Metadata []Property
	Unknown  []byte
}

// SparseTensor is a constant in coordinate form (SparseTensorProto).
type SparseTensor struct {
	Values  *Tensor
	Indices *Tensor
	Dims    []int64
	Unknown []byte
}

// Dim is one dimension of a declared shape: a size, a symbol, or neither (unknown).
type Dim struct {
	// Size is the length, valid where Known.
	Size  int64
	Known bool
	// Param is the symbolic name, "" if there is none.
	Param      string
	Denotation string
	Unknown    []byte
}

// ValueInfo declares the type of a named value.
type ValueInfo struct {
	Name string
	Doc  string
	// Type is the element type of a tensor; Undefined where the value is not
	// a tensor, and then Other holds the encoded TypeProto.
	Type DataType
	// HasShape tells a scalar (HasShape, no Dims) from an unknown rank.
	HasShape bool
	Dims     []Dim
	Other    []byte
	Metadata []Property
	Unknown  []byte

	extra *typeExtra // what else the type says, nil if nothing
}

// Function is a function local to the model (FunctionProto).
type Function struct {
	Name     string
	Domain   string
	Overload string
	Doc      string
	Inputs   []string
	Outputs  []string
	Attrs    []string
	Defaults []*Attribute
	Nodes    []*Node
	Opsets   []Opset
	Values   []*ValueInfo
	Metadata []Property
	Unknown  []byte
}

// Clone returns a copy whose graph, nodes, attributes, config and files can be
// changed freely. Tensors are shared: replace one, never write into it.
func (m *Model) Clone() *Model {
	c := *m
	c.Opsets = slices.Clone(m.Opsets)
	c.Metadata = slices.Clone(m.Metadata)
	c.Graph = m.Graph.Clone()
	c.Functions = slices.Clone(m.Functions)
	c.DataFiles = slices.Clone(m.DataFiles)
	c.Config = m.Config.Clone()
	c.Files = make(map[string][]byte, len(m.Files))
	for k, v := range m.Files {
		c.Files[k] = v
	}
	return &c
}

// Clone returns a copy of the graph that shares only its tensors.
func (g *Graph) Clone() *Graph {
	if g == nil {
		return nil
	}
	c := *g
	c.Nodes = make([]*Node, len(g.Nodes))
	for i, n := range g.Nodes {
		c.Nodes[i] = n.Clone()
	}
	c.Initializers = slices.Clone(g.Initializers)
	c.Sparse = slices.Clone(g.Sparse)
	c.Inputs = cloneValues(g.Inputs)
	c.Outputs = cloneValues(g.Outputs)
	c.Values = cloneValues(g.Values)
	return &c
}

func cloneValues(vs []*ValueInfo) []*ValueInfo {
	out := make([]*ValueInfo, len(vs))
	for i, v := range vs {
		c := *v
		c.Dims = slices.Clone(v.Dims)
		out[i] = &c
	}
	return out
}

// Clone returns a copy of the node whose inputs, outputs and attributes can be changed.
func (n *Node) Clone() *Node {
	c := *n
	c.Inputs = slices.Clone(n.Inputs)
	c.Outputs = slices.Clone(n.Outputs)
	c.Attrs = make([]*Attribute, len(n.Attrs))
	for i, a := range n.Attrs {
		ac := *a
		ac.Graph = a.Graph.Clone()
		ac.Graphs = make([]*Graph, len(a.Graphs))
		for j, g := range a.Graphs {
			ac.Graphs[j] = g.Clone()
		}
		c.Attrs[i] = &ac
	}
	return &c
}

// Parameters counts the weights of a model: the elements of the graph's float
// and 8-bit initializers. Scales and zero points of a quantized model count as
// what they are; sizes and indices (int32, int64) do not count.
func (m *Model) Parameters() (n int64) {
	if m.Graph == nil {
		return 0
	}
	for _, t := range m.Graph.Initializers {
		switch t.Type {
		case Float, Float16, BFloat16, Double, Int8, Uint8:
			n += int64(t.Len())
		}
	}
	return n
}
