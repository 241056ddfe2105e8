package onnx

import (
	"encoding/binary"
	"fmt"
	"strconv"

	"github.com/litekit/lite/internal/onnxpb"
)

// The fields of TensorProto that hold elements.
const (
	fieldFloat  = 4
	fieldInt32  = 5
	fieldString = 6
	fieldInt64  = 7
	fieldRaw    = 9
	fieldDouble = 10
	fieldUint64 = 11
)

// tensorParts is what a TensorProto says beside the fields of Tensor.
type tensorParts struct {
	data     []onnxpb.Field // the fields that hold elements
	external bool
	where    []Property
}

func (d *decoder) tensor(data []byte) (*Tensor, error) {
	t := &Tensor{}
	var parts tensorParts
	for f, err := range onnxpb.Fields(data) {
		if err != nil {
			return nil, fmt.Errorf("tensor %q: %w", t.Name, err)
		}
		switch f.Num {
		case 1:
			err = f.Varints(func(v uint64) { t.Dims = append(t.Dims, int64(v)) })
		case 2:
			var v int64
			v, err = f.Int64()
			t.Type = DataType(v)
		case fieldFloat, fieldInt32, fieldString, fieldInt64, fieldRaw, fieldDouble, fieldUint64:
			parts.data = append(parts.data, f)
		case 8:
			t.Name, err = f.Text()
		case 12:
			t.Doc, err = f.Text()
		case 13:
			parts.where, err = list(parts.where, f, property)
		case 14:
			var v int64
			v, err = f.Int64()
			parts.external = v == 1
		case 16:
			t.Metadata, err = list(t.Metadata, f, property)
		default:
			t.Unknown = append(t.Unknown, f.Raw...)
		}
		if err != nil {
			return nil, fmt.Errorf("tensor %q: %w", t.Name, err)
		}
	}
	if err := d.fill(t, parts); err != nil {
		return nil, fmt.Errorf("tensor %q: %w", t.Name, err)
	}
	return t, nil
}

// fill sets the elements of t from whatever fields hold them.
func (d *decoder) fill(t *Tensor, parts tensorParts) error {
	if _, err := elements(t.Dims); err != nil {
		return err
	}
	if parts.external {
		if err := d.fillExternal(t, parts); err != nil {
			return err
		}
		return t.checkSize()
	}
	for _, f := range parts.data {
		if f.Num != parts.data[0].Num {
			return fmt.Errorf("its elements stand in fields %d and %d; one must be chosen", parts.data[0].Num, f.Num)
		}
		if err := t.append(f); err != nil {
			return err
		}
	}
	if len(t.Raw) == 0 {
		t.Raw = nil
	}
	return t.checkSize()
}

// append adds the elements that one field holds.
func (t *Tensor) append(f onnxpb.Field) error {
	if want := t.Type.field(); f.Num != want && f.Num != fieldRaw {
		return fmt.Errorf("its type %v is kept in field %d of a tensor, not %d; the file is damaged", t.Type, want, f.Num)
	}
	var err error
	switch f.Num {
	case fieldRaw:
		if t.Raw != nil {
			return fmt.Errorf("raw_data is given twice; the file is damaged")
		}
		if t.Type == String {
			return fmt.Errorf("strings cannot be kept in raw_data; use string_data")
		}
		t.Raw, err = f.Bytes()
	case fieldFloat:
		t.Raw, err = f.AppendFixed32(t.Raw)
	case fieldDouble:
		t.Raw, err = f.AppendFixed64(t.Raw)
	case fieldString:
		var b []byte
		b, err = f.Bytes()
		t.Strings = append(t.Strings, b)
	default:
		err = f.Varints(t.appendInt)
	}
	return err
}

// appendInt appends an element of int32_data, int64_data or uint64_data.
func (t *Tensor) appendInt(v uint64) {
	switch bits := t.Type.Bits(); {
	case bits <= 8: // sub-byte types hold a whole byte in each
		t.Raw = append(t.Raw, byte(v))
	case bits == 16:
		t.Raw = binary.LittleEndian.AppendUint16(t.Raw, uint16(v))
	case bits == 32:
		t.Raw = binary.LittleEndian.AppendUint32(t.Raw, uint32(v))
	default:
		t.Raw = binary.LittleEndian.AppendUint64(t.Raw, v)
	}
}

// field is the TensorProto field that keeps elements of a type when raw_data does not.
func (d DataType) field() int32 {
	switch d {
	case Float, Complex64:
		return fieldFloat
	case Double, Complex128:
		return fieldDouble
	case Int64:
		return fieldInt64
	case Uint32, Uint64:
		return fieldUint64
	case String:
		return fieldString
	}
	if d.Bits() > 0 {
		return fieldInt32
	}
	return fieldRaw
}

// checkSize reports elements that do not fill the declared dimensions.
func (t *Tensor) checkSize() error {
	n, err := elements(t.Dims)
	if err != nil {
		return err
	}
	if t.Type == String {
		if int64(len(t.Strings)) != n {
			return fmt.Errorf("%d strings do not fill dimensions %v; the file is damaged", len(t.Strings), t.Dims)
		}
		return nil
	}
	bits := int64(t.Type.Bits())
	if bits == 0 {
		return nil // of a type not known, bytes are kept as they are
	}
	if want := n/8*bits + (n%8*bits+7)/8; int64(len(t.Raw)) != want {
		return fmt.Errorf("%d bytes do not hold dimensions %v of %v (%d bytes); the file is damaged or cut short", len(t.Raw), t.Dims, t.Type, want)
	}
	return nil
}

// elements is the product of dims. Negative sizes and products whose bytes no
// int64 can count are errors.
func elements(dims []int64) (int64, error) {
	const most = int64(1) << 56
	n, zero := int64(1), false
	for _, d := range dims {
		if d < 0 {
			return 0, fmt.Errorf("dimensions %v: %d is negative", dims, d)
		}
		if d == 0 {
			zero = true
			continue
		}
		if n > most/d {
			return 0, fmt.Errorf("dimensions %v: their product is too large", dims)
		}
		n *= d
	}
	if zero {
		return 0, nil
	}
	return n, nil
}

func (d *decoder) fillExternal(t *Tensor, parts tensorParts) error {
	if d.external == nil {
		return errExternal
	}
	if len(parts.data) > 0 {
		return fmt.Errorf("it has data of its own and in another file; one must be chosen")
	}
	if t.Type == String || t.Type.Bits() == 0 {
		return fmt.Errorf("elements of %v cannot be kept in another file", t.Type)
	}
	location, offset, length := "", int64(0), int64(-1)
	for _, p := range parts.where {
		var err error
		switch p.Key {
		case "location":
			location = p.Value
		case "offset":
			offset, err = strconv.ParseInt(p.Value, 10, 64)
		case "length":
			length, err = strconv.ParseInt(p.Value, 10, 64)
		}
		if err != nil || offset < 0 || p.Key == "length" && length < 0 {
			return fmt.Errorf("external data: %s %q is not a number of bytes", p.Key, p.Value)
		}
	}
	if location == "" {
		return fmt.Errorf("external data: no location is given; the file is damaged")
	}
	if length < 0 {
		n, _ := elements(t.Dims)
		bits := int64(t.Type.Bits())
		length = n/8*bits + (n%8*bits+7)/8
	}
	var err error
	t.Raw, err = d.external(location, offset, length)
	if len(t.Raw) == 0 {
		t.Raw = nil
	}
	return err
}
