package fuse

// lookup is one embedding table and how its indices come about.
type lookup struct {
	table  string
	rows   int64
	direct bool    // the indices are a graph input
	via    *Linear // the projection of its rows, nil if none
}

// maxTypes is the most rows a table of token types has; a position table has more.
const maxTypes = 16

// embeddings finds the LayerNorm behind the first layer's input and the tables whose
// rows it sums.
func (d *detector) embeddings(e *Encoder) error {
	v := e.Layers[0].Input
	if l := d.linear(v); l != nil {
		e.Projection = l
		v = l.X
	}
	n := d.prod[v]
	if !isLite(n, OpLayerNorm) {
		return d.missing("the first layer's input %q does not come from a LayerNorm of embeddings", v)
	}
	e.EmbeddingNorm, e.Embeddings = *normOf(n), v
	var tables []lookup
	d.lookups(n.Inputs[0], nil, 0, &tables)
	d.lookups(input(n, 3), nil, 0, &tables)
	word := -1
	for i, t := range tables {
		if t.direct && (word < 0 || t.rows > tables[word].rows) {
			word = i
		}
	}
	if word < 0 {
		return d.missing("the embedding LayerNorm at node %s sums no table that a graph input indexes", n.Label())
	}
	e.Word = tables[word].table
	for _, t := range tables {
		if t.via == nil {
			continue
		}
		if e.Projected == nil {
			e.Projected = map[string]Linear{}
		}
		e.Projected[t.table] = *t.via
	}
	rest := append(tables[:word:word], tables[word+1:]...)
	small := -1
	for i, t := range rest {
		if t.rows <= maxTypes && (small < 0 || t.rows < rest[small].rows) {
			small = i
		}
	}
	for i, t := range rest {
		switch {
		case i == small && (len(rest) > 1 || t.direct || t.rows <= 4):
			e.Type = t.table
		case e.Position == "":
			e.Position = t.table
		default:
			return d.missing("the embedding LayerNorm sums %d tables; word, position and type are known", len(tables))
		}
	}
	return nil
}

// lookups collects the tables of a sum in the order of the graph; via is the
// projection between v and the LayerNorm.
func (d *detector) lookups(v string, via *Linear, depth int, out *[]lookup) {
	n := d.prod[v]
	if n == nil || depth > 12 {
		return
	}
	switch {
	case is(n, "Add", "Sum"):
		for _, in := range n.Inputs {
			d.lookups(in, via, depth+1, out)
		}
	case isLite(n, OpLinear, OpQLinear): // E values become H before the LayerNorm
		if l := d.linear(v); via == nil && l.Act == ActNone {
			d.lookups(l.X, l, depth+1, out)
		}
	case is(n, "Unsqueeze", "Reshape", "Cast", "DequantizeLinear", "Expand", "Slice", "Squeeze"):
		if t := d.inits[n.Inputs[0]]; is(n, "Slice") && t != nil && len(t.Dims) >= 2 { // positions cut from the table itself
			*out = append(*out, lookup{t.Name, t.Dims[len(t.Dims)-2], false, via})
			return
		}
		d.lookups(n.Inputs[0], via, depth+1, out)
	case is(n, "Mul", "Sub") && d.isScale(input(n, 1)): // 8-bit rows, dequantized by hand
		d.lookups(n.Inputs[0], via, depth+1, out)
	case is(n, "Gather") && n.Int("axis", 0) == 0:
		table := n.Inputs[0]
		if q := d.prod[table]; is(q, "DequantizeLinear") { // the whole table dequantized, then gathered
			table = q.Inputs[0]
		}
		if t := d.inits[table]; t != nil && len(t.Dims) == 2 {
			*out = append(*out, lookup{table, t.Dims[0], d.isInput(n.Inputs[1]), via})
		}
	}
}

// isScale reports whether v is one number, or one for each row of a table.
func (d *detector) isScale(v string) bool {
	if n := d.prod[v]; is(n, "Gather") {
		t := d.inits[n.Inputs[0]]
		return t != nil && len(t.Dims) == 2 && t.Dims[1] == 1
	}
	t := d.inits[v]
	return t != nil && t.Len() == 1
}

// isInput reports whether v is a graph input, through casts.
func (d *detector) isInput(v string) bool {
	for is(d.prod[v], "Cast") {
		v = d.prod[v].Inputs[0]
	}
	if d.inits[v] != nil {
		return false
	}
	for _, in := range d.orig.Graph.Inputs {
		if in.Name == v {
			return true
		}
	}
	return false
}
