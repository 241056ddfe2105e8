package kernel

// Bytes returns how much memory the packed matrix takes.
func (p *Packed) Bytes() int { return 4 * len(p.data) }

// Bytes returns how much memory the packed matrix takes.
func (p *PackedInt8) Bytes() int { return len(p.data) + 4*len(p.sums) }

// Bytes returns how much memory the packed matrix takes.
func (p *Packed4) Bytes() int { return len(p.data) + 4*len(p.params) }
