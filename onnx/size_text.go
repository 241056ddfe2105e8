package onnx

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// maxSizeText bounds the text of an expression.
const maxSizeText = 80

// text writes an expression; complete is false where a part of it has no name.
func (z *algebra) text(s Size) (text string, complete bool) {
	w := &sizeText{z: z, complete: true}
	w.size(s, false)
	return w.b.String(), w.complete
}

type sizeText struct {
	z        *algebra
	b        strings.Builder
	complete bool
}

func (w *sizeText) size(s Size, tight bool) {
	if w.b.Len() > maxSizeText {
		if w.complete {
			w.b.WriteString("…")
		}
		w.complete = false
		return
	}
	if s.sym == 0 {
		w.b.WriteString(strconv.FormatInt(s.n, 10))
		return
	}
	switch e := w.z.expr(s); {
	case e.poly != nil:
		w.poly(e.poly, tight)
	case e.op == "Div":
		w.call("floor(", e.a, "/", e.b, true)
	case e.op == "Mod":
		w.call("(", e.a, " mod ", e.b, true)
	case e.op != "":
		w.call(strings.ToLower(e.op)+"(", e.a, ", ", e.b, false)
	case e.name != "":
		w.b.WriteString(e.name)
	case e.home.input != "":
		fmt.Fprintf(&w.b, "%s.%d", e.home.input, e.home.axis)
	default:
		w.complete = false
		w.b.WriteString("?")
	}
}

func (w *sizeText) call(open string, a Size, between string, b Size, tight bool) {
	w.b.WriteString(open)
	w.size(a, tight)
	w.b.WriteString(between)
	w.size(b, tight)
	w.b.WriteString(")")
}

func (w *sizeText) poly(ts []term, tight bool) {
	if tight = tight && len(ts) > 1; tight {
		w.b.WriteString("(")
	}
	// The number stands first in the order of storage and last as people write it.
	ts = append(slices.Clone(ts[1:]), ts[0])
	if len(ts[len(ts)-1].atoms) > 0 {
		ts = append(ts[len(ts)-1:], ts[:len(ts)-1]...)
	}
	for i, t := range ts {
		c := t.c
		switch {
		case i > 0 && c < 0 && c != -1<<63:
			w.b.WriteString(" - ")
			c = -c
		case i > 0:
			w.b.WriteString(" + ")
		}
		if c != 1 || len(t.atoms) == 0 {
			w.b.WriteString(strconv.FormatInt(c, 10))
			if len(t.atoms) > 0 {
				w.b.WriteString("*")
			}
		}
		for j, a := range t.atoms {
			if j > 0 {
				w.b.WriteString("*")
			}
			w.size(Size{sym: a}, true)
		}
	}
	if tight {
		w.b.WriteString(")")
	}
}
