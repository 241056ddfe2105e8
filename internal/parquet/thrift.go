package parquet

import (
	"encoding/binary"
	"errors"
)

// Types of Thrift's compact protocol.
const (
	thriftTrue   = 1
	thriftFalse  = 2
	thriftByte   = 3
	thriftDouble = 7
	thriftBinary = 8
	thriftList   = 9
	thriftSet    = 10
	thriftMap    = 11
	thriftStruct = 12
	thriftUUID   = 13
)

// errShort is of a structure that goes on beyond the data.
var errShort = errors.New("a header is cut short")

var errThrift = errors.New("a header cannot be read")

// deepest bounds how structures may be nested in each other.
const deepest = 32

// thrift reads structures of the compact protocol. The first fault is kept; what
// is read after it is zero.
type thrift struct {
	b     []byte
	err   error
	depth int
}

func (t *thrift) fail(err error) {
	if t.err == nil {
		t.err, t.b = err, nil
	}
}

func (t *thrift) byte() byte {
	if len(t.b) == 0 {
		t.fail(errShort)
		return 0
	}
	c := t.b[0]
	t.b = t.b[1:]
	return c
}

func (t *thrift) unsigned() uint64 {
	v, n := binary.Uvarint(t.b)
	switch {
	case n == 0:
		t.fail(errShort)
		return 0
	case n < 0:
		t.fail(errThrift)
		return 0
	}
	t.b = t.b[n:]
	return v
}

// number reads an integer of 16, 32 or 64 bits.
func (t *thrift) number() int64 {
	v := t.unsigned()
	return int64(v>>1) ^ -int64(v&1)
}

func (t *thrift) bytes() []byte {
	n := t.unsigned()
	if n > uint64(len(t.b)) {
		t.fail(errShort)
		return nil
	}
	out := t.b[:n]
	t.b = t.b[n:]
	return out
}

// fields calls field for each member of a structure, with its number and type.
// field reads the member and tells that it did; otherwise it is passed over.
func (t *thrift) fields(field func(id int, kind byte) bool) {
	if t.depth++; t.depth > deepest {
		t.fail(errThrift)
	}
	id := 0
	for t.err == nil {
		head := t.byte()
		if head == 0 {
			break
		}
		if delta := int(head >> 4); delta > 0 {
			id += delta
		} else {
			id = int(int16(t.number()))
		}
		if kind := head & 15; t.err == nil && !field(id, kind) {
			t.skip(kind)
		}
	}
	t.depth--
}

// list reads the head of a list.
func (t *thrift) list() (n int, kind byte) {
	head := t.byte()
	size := uint64(head >> 4)
	if size == 15 {
		size = t.unsigned()
	}
	if size > uint64(len(t.b)) { // an item takes a byte at least
		t.fail(errShort)
		return 0, 0
	}
	return int(size), head & 15
}

// structs reads a list of structures.
func (t *thrift) structs(each func()) {
	n, kind := t.list()
	if n > 0 && kind != thriftStruct {
		t.fail(errThrift)
	}
	for i := 0; i < n && t.err == nil; i++ {
		each()
	}
}

// skip passes over a value.
func (t *thrift) skip(kind byte) {
	if t.depth++; t.depth > deepest {
		t.fail(errThrift)
	}
	defer func() { t.depth-- }()
	fixed := 0
	switch kind {
	case thriftTrue, thriftFalse:
	case thriftByte:
		fixed = 1
	case thriftByte + 1, thriftByte + 2, thriftByte + 3: // 16, 32 and 64 bits
		t.unsigned()
	case thriftDouble:
		fixed = 8
	case thriftUUID:
		fixed = 16
	case thriftBinary:
		t.bytes()
	case thriftList, thriftSet:
		n, item := t.list()
		for i := 0; i < n && t.err == nil; i++ {
			t.skipItem(item)
		}
	case thriftMap:
		n := t.unsigned()
		if n == 0 {
			return
		}
		kinds := t.byte()
		for i := uint64(0); i < n && t.err == nil; i++ {
			t.skipItem(kinds >> 4)
			t.skipItem(kinds & 15)
		}
	case thriftStruct:
		t.fields(func(int, byte) bool { return false })
	default:
		t.fail(errThrift)
	}
	if fixed > len(t.b) {
		t.fail(errShort)
		return
	}
	t.b = t.b[fixed:]
}

// skipItem passes over an item of a list, where a truth value takes a byte.
func (t *thrift) skipItem(kind byte) {
	if kind == thriftTrue || kind == thriftFalse {
		kind = thriftByte
	}
	t.skip(kind)
}
