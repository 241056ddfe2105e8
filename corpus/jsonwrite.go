package corpus

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// field is one member of a JSON object whose order is kept.
type field struct {
	key   string
	value any
}

type raw []byte

// object writes an ordered JSON object without HTML escapes.
func object(fields ...field) raw {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, f := range fields {
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(quote(f.key))
		b.WriteByte(':')
		b.Write(encode(f.value))
	}
	b.WriteByte('}')
	return b.Bytes()
}

func list(items ...raw) raw {
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

func encode(v any) raw {
	switch v := v.(type) {
	case raw:
		return v
	case string:
		return quote(v)
	case nil:
		return raw("null")
	default: // bool, int, int32, int64
		return raw(fmt.Sprint(v))
	}
}

func quote(s string) raw {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // a string always encodes
	return raw(bytes.TrimSuffix(b.Bytes(), []byte{'\n'}))
}
