package onnx

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// schema is what one version of an operator takes and gives.
type schema struct {
	op      string
	since   int64
	removed bool // the operator is gone from this version on
	inputs  []formal
	outputs []formal
	attrs   []formalAttr
	infer   func(*call) // shapes, and types that the signature does not tell; nil: nothing is known
	values  func(*call) // elements of small results
}

// formal is a parameter: the name of its type and what that may be.
type formal struct {
	name     string // types of one name agree; "_" agrees with all
	class    string // a key of classes, or "" for any type
	optional bool
	variadic bool
}

type formalAttr struct {
	name     string
	kind     AttrType
	required bool
}

// required is how many of the leading parameters must be given.
func required(list []formal) (n int) {
	for i, f := range list {
		if !f.optional && !(f.variadic && f.name == "_") {
			n = i + 1
		}
	}
	return n
}

// most is how many parameters there may be, −1 for any number.
func most(list []formal) int {
	if k := len(list); k > 0 && list[k-1].variadic {
		return -1
	}
	return len(list)
}

// param is parameter i, the last one repeated where it is variadic.
func param(list []formal, i int) formal {
	if i >= len(list) {
		i = len(list) - 1
	}
	return list[i]
}

var (
	floatTypes = []DataType{Float, Float16, BFloat16, Double}
	wholeTypes = []DataType{Int64, Int32, Int16, Int8, Uint64, Uint32, Uint16, Uint8}
)

// classes are the sets of types that a parameter may be limited to. They are as
// wide as the widest version of an operator: what an older one did not have is
// run here all the same.
var classes = map[string][]DataType{
	"f":    floatTypes,
	"n":    slices.Concat(floatTypes, wholeTypes),
	"i":    wholeTypes,
	"idx":  {Int64, Int32},
	"bool": {Bool}, "i64": {Int64}, "i32": {Int32}, "f32": {Float}, "u8": {Uint8},
	"q8": {Uint8, Int8, Uint16, Int16, Int4, Uint4, Int2, Uint2, Int32, Float8E4M3FN, Float8E4M3FNUZ, Float8E5M2, Float8E5M2FNUZ, Float4E2M1},
	"b8": {Uint8, Int8},
}

// single is the type of a class that has only one.
func single(class string) DataType {
	if l := classes[class]; len(l) == 1 {
		return l[0]
	}
	return Undefined
}

var attrKinds = map[byte]AttrType{'f': AttrFloat, 'i': AttrInt, 's': AttrString, 't': AttrTensor, 'g': AttrGraph, 'F': AttrFloats, 'I': AttrInts, 'S': AttrStrings, 'x': AttrSparseTensor}

// parseSchema reads "Op since inputs>outputs attr:kind …". A parameter is a name
// and perhaps ":class", or a class alone, then "?" (optional) or "~" (repeated).
// An attribute that must be given ends in "!". "Op since -" is the end of an operator.
func parseSchema(line string) *schema {
	f := strings.Fields(line)
	since, err := strconv.ParseInt(f[1], 10, 64)
	if err != nil {
		panic("onnx: schema " + line)
	}
	s := &schema{op: f[0], since: since, removed: f[2] == "-"}
	if s.removed {
		return s
	}
	in, out, _ := strings.Cut(f[2], ">")
	s.inputs, s.outputs = parseFormals(in), parseFormals(out)
	for _, a := range f[3:] {
		name, kind, _ := strings.Cut(a, ":")
		s.attrs = append(s.attrs, formalAttr{name, attrKinds[kind[0]], strings.HasSuffix(kind, "!")})
	}
	return s
}

func parseFormals(list string) (out []formal) {
	if list == "" {
		return nil
	}
	for _, p := range strings.Split(list, ",") {
		f := formal{optional: strings.HasSuffix(p, "?"), variadic: strings.HasSuffix(p, "~")}
		p = strings.TrimRight(p, "?~")
		var limited bool
		if f.name, f.class, limited = strings.Cut(p, ":"); !limited && classes[p] != nil {
			f.name, f.class = "_", p
		}
		out = append(out, f)
	}
	return out
}

// family is one table of operators with the rules of their shapes.
type family struct {
	domain  string
	schemas string
	infer   map[string]func(*call)
	values  map[string]func(*call)
}

// opKey names an operator.
type opKey struct{ domain, op string }

// registry lists the versions of each operator, ascending.
var registry func() map[opKey][]*schema

func init() { registry = sync.OnceValue(buildRegistry) }

func buildRegistry() map[opKey][]*schema {
	all := map[opKey][]*schema{}
	for _, f := range families() {
		used := map[string]bool{}
		for line := range strings.Lines(f.schemas) {
			if line = strings.TrimSpace(line); line == "" {
				continue
			}
			names, rest, _ := strings.Cut(line, " ")
			for _, op := range strings.Split(names, "|") {
				s := parseSchema(op + " " + rest)
				s.infer, s.values = f.infer[op], f.values[op]
				used[op] = true
				k := opKey{f.domain, op}
				all[k] = append(all[k], s)
			}
		}
		for op := range f.infer {
			if !used[op] {
				panic("onnx: a rule without a schema: " + op)
			}
		}
	}
	for _, l := range all {
		slices.SortStableFunc(l, func(a, b *schema) int { return int(a.since - b.since) })
	}
	return all
}

func families() []family {
	return []family{
		elementwiseFamily(), reduceFamily(), shapeFamily(), indexFamily(), matrixFamily(), windowFamily(), normFamily(),
		recurrentFamily(), attentionFamily(), quantizedFamily(), signalFamily(), controlFamily(), otherFamily(),
		microsoftFamily(), liteFamily(),
	}
}

const (
	// firstOpset and lastOpset are the versions of ai.onnx whose operators the
	// tables have; of others only what is certain is said.
	firstOpset, lastOpset = 7, 26
	microsoftDomain       = "com.microsoft"
	liteDomain            = "lite"
)

// findSchema returns the schema of an operator at a version, and what is wrong where
// there is none. An operator of a domain without versions in the tables, or
// unknown there, has neither.
func findSchema(dom, op string, version int64) (s *schema, fault string) {
	list := registry()[opKey{dom, op}]
	std := dom == "" && version >= firstOpset
	if len(list) == 0 {
		if std && version <= lastOpset {
			fault = fmt.Sprintf("ai.onnx has no operator %s in version %d; correct the name, or import the operator set that has it", op, version)
		}
		return nil, fault
	}
	if dom != "" {
		return list[0], ""
	}
	for _, v := range list {
		if v.since <= version {
			s = v
		}
	}
	switch {
	case s == nil && std:
		return nil, fmt.Sprintf("ai.onnx %d has no operator %s, which came with version %d; import a newer version", version, op, list[0].since)
	case s == nil:
		return list[0], "" // before opset 7: much is the same, and no fault is told
	case s.removed && std:
		return nil, fmt.Sprintf("ai.onnx %d has no operator %s any more, it ended with version %d; import an older version or write it in other operators", version, op, s.since-1)
	case s.removed:
		return nil, ""
	}
	return s, ""
}
