package onnxpb

import (
	"io"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// shared is the length from which a byte slice is referred to and not copied.
// Below it a copy is cheaper than another write.
const shared = 4096

// Message is a message being written: its bytes in order, in pieces. Long
// slices given to it are kept by reference and must not change before the
// message is written. The zero value is an empty message.
type Message struct {
	pieces [][]byte // finished pieces, own or referred to
	tail   []byte   // own bytes that follow the pieces
	size   int      // all bytes
}

// Size is the length of the encoded message.
func (m *Message) Size() int { return m.size }

// Int writes an int64, int32 or enum field.
func (m *Message) Int(num int32, v int64) {
	m.tag(num, protowire.VarintType)
	m.varint(uint64(v))
}

// Float writes a float field.
func (m *Message) Float(num int32, v float32) {
	m.tag(num, protowire.Fixed32Type)
	m.tail = protowire.AppendFixed32(m.tail, math.Float32bits(v))
	m.size += 4
}

// String writes a string field.
func (m *Message) String(num int32, v string) {
	m.tag(num, protowire.BytesType)
	m.varint(uint64(len(v)))
	m.tail = append(m.tail, v...)
	m.size += len(v)
}

// Bytes writes a bytes field.
func (m *Message) Bytes(num int32, v []byte) {
	m.tag(num, protowire.BytesType)
	m.varint(uint64(len(v)))
	m.Raw(v)
}

// Message writes a message field; v is not to be changed afterwards.
func (m *Message) Message(num int32, v *Message) {
	m.tag(num, protowire.BytesType)
	m.varint(uint64(v.size))
	for _, p := range v.pieces {
		m.Raw(p)
	}
	m.Raw(v.tail)
}

// Raw writes encoded fields as they are.
func (m *Message) Raw(v []byte) {
	m.size += len(v)
	if len(v) < shared {
		m.tail = append(m.tail, v...)
		return
	}
	if len(m.tail) > 0 {
		m.pieces = append(m.pieces, m.tail)
		m.tail = nil
	}
	m.pieces = append(m.pieces, v)
}

// WriteTo writes the message, long slices straight from where they lie.
func (m *Message) WriteTo(w io.Writer) (int64, error) {
	var total int64
	for _, p := range append(m.pieces[:len(m.pieces):len(m.pieces)], m.tail) {
		n, err := w.Write(p)
		total += int64(n)
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

// Encode returns the message in one slice.
func (m *Message) Encode() []byte {
	out := make([]byte, 0, m.size)
	for _, p := range m.pieces {
		out = append(out, p...)
	}
	return append(out, m.tail...)
}

func (m *Message) tag(num int32, typ protowire.Type) {
	m.varint(protowire.EncodeTag(protowire.Number(num), typ))
}

func (m *Message) varint(v uint64) {
	n := len(m.tail)
	m.tail = protowire.AppendVarint(m.tail, v)
	m.size += len(m.tail) - n
}
