package onnxpb

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"

	"google.golang.org/protobuf/encoding/protowire"
)

// Errors of the wire format, to be told apart with errors.Is.
var (
	// ErrTruncated is input that ends inside a field.
	ErrTruncated = errors.New("the data ends inside a field; the file is cut short or not protobuf")
	// ErrMalformed is input that is not protobuf.
	ErrMalformed = errors.New("not valid protobuf; the file is damaged or not ONNX")
	// ErrWireType is a field of an unexpected encoding.
	ErrWireType = errors.New("unexpected wire type; the file is damaged or not ONNX")
)

// FieldError is what [Fields] says of a field that cannot be read.
type FieldError struct {
	// Num is the field's number, 0 where that cannot be read either.
	Num int32
	// Rest is the message from the field on, a part of the input.
	Rest []byte
	Err  error
}

func (e *FieldError) Error() string {
	if e.Num == 0 {
		return e.Err.Error()
	}
	return fmt.Sprintf("field %d: %v", e.Num, e.Err)
}

func (e *FieldError) Unwrap() error { return e.Err }

// Part is what is there of a length-delimited field that is cut short, nil for
// other faults.
func (e *FieldError) Part() []byte {
	_, typ, n := protowire.ConsumeTag(e.Rest)
	if n < 0 || typ != protowire.BytesType || !errors.Is(e.Err, ErrTruncated) {
		return nil
	}
	_, m := protowire.ConsumeVarint(e.Rest[n:])
	if m < 0 {
		return nil
	}
	part := e.Rest[n+m:]
	return part[:len(part):len(part)]
}

// Field is one field of a message as it stands in the input.
type Field struct {
	// Num is the field number.
	Num int32
	// Type is the encoding of the value.
	Type protowire.Type
	// Value is the value of a varint or fixed-size field.
	Value uint64
	// Data is the value of a length-delimited field, a part of the input.
	Data []byte
	// Raw is the whole field with its tag, a part of the input.
	Raw []byte
}

// Fields walks the fields of a message in the order of the input. An error is
// the last thing it yields, a [*FieldError]. Groups, which ONNX never uses, are an error.
func Fields(msg []byte) iter.Seq2[Field, error] {
	return func(yield func(Field, error) bool) {
		for len(msg) > 0 {
			f, n, err := next(msg)
			if err != nil {
				yield(Field{}, &FieldError{f.Num, msg, err})
				return
			}
			msg = msg[n:]
			if !yield(f, nil) {
				return
			}
		}
	}
}

func next(b []byte) (Field, int, error) {
	num, typ, n := protowire.ConsumeTag(b)
	if n < 0 {
		return Field{}, 0, wireError(n)
	}
	f := Field{Num: int32(num), Type: typ}
	m := 0
	switch typ {
	case protowire.VarintType:
		f.Value, m = protowire.ConsumeVarint(b[n:])
	case protowire.Fixed32Type:
		var v uint32
		v, m = protowire.ConsumeFixed32(b[n:])
		f.Value = uint64(v)
	case protowire.Fixed64Type:
		f.Value, m = protowire.ConsumeFixed64(b[n:])
	case protowire.BytesType:
		f.Data, m = protowire.ConsumeBytes(b[n:])
	default:
		return f, 0, fmt.Errorf("wire type %d: %w", typ, ErrWireType)
	}
	if m < 0 {
		return f, 0, wireError(m)
	}
	// Clipping keeps an append to a part of the input from writing into the input.
	f.Data = f.Data[:len(f.Data):len(f.Data)]
	f.Raw = b[: n+m : n+m]
	return f, n + m, nil
}

func wireError(n int) error {
	if errors.Is(protowire.ParseError(n), io.ErrUnexpectedEOF) {
		return ErrTruncated
	}
	return ErrMalformed
}

func (f Field) want(typ protowire.Type) error {
	if f.Type != typ {
		return fmt.Errorf("field %d: wire type %d where %d is expected: %w", f.Num, f.Type, typ, ErrWireType)
	}
	return nil
}

// Int64 is the value of an int64, int32 or enum field.
func (f Field) Int64() (int64, error) { return int64(f.Value), f.want(protowire.VarintType) }

// Fixed32 is the value of a float field, as bits.
func (f Field) Fixed32() (uint32, error) { return uint32(f.Value), f.want(protowire.Fixed32Type) }

// Bytes is the value of a bytes or message field, a part of the input.
func (f Field) Bytes() ([]byte, error) { return f.Data, f.want(protowire.BytesType) }

// Text is a copy of the value of a string field.
func (f Field) Text() (string, error) { return string(f.Data), f.want(protowire.BytesType) }

// Varints calls add for each element of a repeated integer field, packed or not.
func (f Field) Varints(add func(uint64)) error {
	if f.Type != protowire.BytesType {
		add(f.Value)
		return f.want(protowire.VarintType)
	}
	for b := f.Data; len(b) > 0; {
		v, n := protowire.ConsumeVarint(b)
		if n < 0 {
			return fmt.Errorf("field %d: packed integers: %w", f.Num, wireError(n))
		}
		add(v)
		b = b[n:]
	}
	return nil
}

// AppendFixed32 appends the little-endian bytes of a repeated float field,
// packed or not. With a nil dst the bytes of a packed field are not copied.
func (f Field) AppendFixed32(dst []byte) ([]byte, error) {
	if f.Type == protowire.BytesType {
		return f.appendPacked(dst, 4)
	}
	return binary.LittleEndian.AppendUint32(dst, uint32(f.Value)), f.want(protowire.Fixed32Type)
}

// AppendFixed64 is AppendFixed32 for double fields.
func (f Field) AppendFixed64(dst []byte) ([]byte, error) {
	if f.Type == protowire.BytesType {
		return f.appendPacked(dst, 8)
	}
	return binary.LittleEndian.AppendUint64(dst, f.Value), f.want(protowire.Fixed64Type)
}

func (f Field) appendPacked(dst []byte, size int) ([]byte, error) {
	if len(f.Data)%size != 0 {
		return dst, fmt.Errorf("field %d: %d packed bytes are not a multiple of %d: %w", f.Num, len(f.Data), size, ErrMalformed)
	}
	if dst == nil {
		return f.Data, nil
	}
	return append(dst, f.Data...), nil
}
