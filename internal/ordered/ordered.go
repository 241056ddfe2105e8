// Package ordered writes JSON whose objects keep the order of their members, as
// people and diffs want files to be, without HTML escapes.
package ordered

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
)

// Raw is JSON text.
type Raw []byte

// Field is one member of an object; [Pair] makes it.
type Field struct {
	key   string
	value any
}

// Pair is a member. Its value is what [Value] takes.
func Pair(key string, value any) Field { return Field{key, value} }

// Object writes an object with its members in the order given.
func Object(fields ...Field) Raw {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, f := range fields {
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(quote(f.key))
		b.WriteByte(':')
		b.Write(Value(f.value))
	}
	b.WriteByte('}')
	return b.Bytes()
}

// List writes an array.
func List(items ...Raw) Raw {
	var b bytes.Buffer
	b.WriteByte('[')
	for i, r := range items {
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(r)
	}
	b.WriteByte(']')
	return b.Bytes()
}

// Value writes nil, a string, bool, number, or what is JSON already.
func Value(v any) Raw {
	switch v := v.(type) {
	case Raw:
		return v
	case json.RawMessage:
		if len(v) == 0 {
			return Raw("null")
		}
		return Raw(v)
	case string:
		return quote(v)
	case float64:
		return Raw(strconv.FormatFloat(v, 'g', -1, 64))
	case nil:
		return Raw("null")
	default: // bool, int, int32, int64
		return Raw(fmt.Sprint(v))
	}
}

func quote(s string) Raw {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // a string always encodes
	return Raw(bytes.TrimSuffix(b.Bytes(), []byte{'\n'}))
}

// Indent spreads JSON over lines, two spaces a level, and ends the last.
func Indent(r Raw) []byte {
	var b bytes.Buffer
	_ = json.Indent(&b, r, "", "  ") // r was built valid
	b.WriteByte('\n')
	return b.Bytes()
}
