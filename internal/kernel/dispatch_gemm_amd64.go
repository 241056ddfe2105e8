//go:build !noasm

package kernel

// The float32 products: which kernel makes which part of C.

// tileRows is how many rows of A lie together when packed.
func tileRows() int {
	if useAVX512 {
		return 2 * mr
	}
	return mr
}

// directRows is up to how many rows of C packing B, of which the rows are ldb
// apart, costs more than it saves. The wide kernel reads all of B again for every
// 12 rows anyway; the narrow one wants a panel to stay in the cache, where rows a
// multiple of the page size apart displace each other.
func directRows(ldb int) int {
	switch {
	case useAVX512 && ldb%1024 == 0:
		return mcBlock
	case useAVX512:
		return 256
	case ldb%1024 == 0:
		return 2 * mr
	}
	return 8 * mr
}

func (t *gemmTask) block(b *block) {
	switch {
	case useAVX512:
		t.wide(b)
	case useAVX2 && b.i1-b.i0 <= 3:
		t.few(b)
	default:
		t.narrow(b)
	}
}

// wide takes 12 rows of A at a time, which stay in the first-level cache while
// B passes by. With few rows it is two panels of B that stay there while all rows
// of A pass by, and the panels after them are asked for meanwhile: B then comes
// from memory, most of all where a model is larger than the caches.
func (t *gemmTask) wide(b *block) {
	whole := b.j1 // up to where panels lie evenly
	if t.tail != nil {
		whole = b.j1 / nr * nr
	}
	if h := b.i1 - b.i0; h > 2*mr && h <= fewRows {
		for j := b.j0; j < b.j1; {
			q := 2
			if j+nr >= whole {
				q = 1
			}
			w := min(q*nr, b.j1-j)
			for i := b.i0; i < b.i1; i += 2 * mr {
				t.wideTile(b, i, j, q, w, t.ahead(b, j+q*nr, (i-b.i0)/(2*mr)))
			}
			j += w
		}
		return
	}
	for i := b.i0; i < b.i1; i += 2 * mr {
		most := 2
		if b.i1-i <= 4 {
			most = 4
		}
		for j := b.j0; j < b.j1; {
			q := most
			for q > 1 && j+(q-1)*nr >= whole {
				q /= 2
			}
			w := min(q*nr, b.j1-j)
			t.wideTile(b, i, j, q, w, nil)
			j += w
		}
	}
}

// wideTile makes up to 12 rows from i on of w columns from j on, which lie in q
// panels.
func (t *gemmTask) wideTile(b *block, i, j, q, w int, ahead []float32) {
	h := min(2*mr, b.i1-i)
	a := b.a[(i-b.i0)/(2*mr)*b.step:]
	a2 := ptr(a)
	if h > mr {
		a2 = ptr(a[mr*b.rs:])
	}
	panel, bs := t.panel(j, b.p)
	if ahead == nil {
		ahead = panel
	}
	microWide[q/2][h-1](b.kc, ptr(a), a2, b.rs*floatSize, b.cs*floatSize, ptr(panel), bs*floatSize, t.ps*floatSize,
		ptr(t.c[i*t.ldc+j:]), t.ldc*floatSize, t.alpha, b.beta, 1<<w-1, ptr(ahead))
}

// few makes up to three rows, several panels at a time.
func (t *gemmTask) few(b *block) {
	q, kernel := 2, micro2x32
	switch b.i1 - b.i0 {
	case 1:
		q, kernel = 4, micro1x64
	case 3:
		kernel = micro3x32
	}
	rest := *b
	for ; rest.j0+q*nr <= b.j1; rest.j0 += q * nr {
		j := rest.j0
		kernel(b.kc, ptr(b.a), nil, b.rs*floatSize, b.cs*floatSize, ptr(t.b[j/nr*t.ps+b.p*t.bs:]), t.bs*floatSize, t.ps*floatSize,
			ptr(t.c[b.i0*t.ldc+j:]), t.ldc*floatSize, t.alpha, b.beta, 0, ptr(t.b[j/nr*t.ps+b.p*t.bs:]))
	}
	t.narrow(&rest)
}

type micro func(k int, a, a2 *float32, rs, cs int, b *float32, bs, ps int, c *float32, ldc int, alpha, beta float32, mask uint64, ahead *float32)

// microWide has the kernels of one, two and four panels by number of rows.
var microWide = [3][2 * mr]micro{
	{microz1x16, microz2x16, microz3x16, microz4x16, microz5x16, microz6x16, microz7x16, microz8x16, microz9x16, microz10x16, microz11x16, microz12x16},
	{microz1x32, microz2x32, microz3x32, microz4x32, microz5x32, microz6x32, microz7x32, microz8x32, microz9x32, microz10x32, microz11x32, microz12x32},
	{microz1x64, microz2x64, microz3x64, microz4x64},
}

func microKernel(h, k int, a []float32, rs, cs int, b []float32, bs int, c []float32, ldc int, alpha, beta float32, ahead []float32) {
	if !useAVX2 {
		microKernelGo(h, k, a, rs, cs, b, bs, c, ldc, alpha, beta)
		return
	}
	rs, cs, bs, ldc = rs*floatSize, cs*floatSize, bs*floatSize, ldc*floatSize
	if ahead == nil {
		ahead = b
	}
	// No table: the compiler must see that c, which may be on the stack, stays.
	switch h {
	case 6:
		micro6x16(k, ptr(a), nil, rs, cs, ptr(b), bs, 0, ptr(c), ldc, alpha, beta, 0, ptr(ahead))
	case 5:
		micro5x16(k, ptr(a), nil, rs, cs, ptr(b), bs, 0, ptr(c), ldc, alpha, beta, 0, ptr(ahead))
	case 4:
		micro4x16(k, ptr(a), nil, rs, cs, ptr(b), bs, 0, ptr(c), ldc, alpha, beta, 0, ptr(ahead))
	case 3:
		micro3x16(k, ptr(a), nil, rs, cs, ptr(b), bs, 0, ptr(c), ldc, alpha, beta, 0, ptr(ahead))
	case 2:
		micro2x16(k, ptr(a), nil, rs, cs, ptr(b), bs, 0, ptr(c), ldc, alpha, beta, 0, ptr(ahead))
	case 1:
		micro1x16(k, ptr(a), nil, rs, cs, ptr(b), bs, 0, ptr(c), ldc, alpha, beta, 0, ptr(ahead))
	}
}

func packWhole(dst, b []float32, ldb, rows, panels, ps int) {
	done := 0
	if useAVX2 && rows >= 4 {
		done = rows &^ 3
		// So many rows at a time that their lines stay for the next panel.
		const some = 16
		for p := 0; p < done; p += some {
			packPanels(ptr(dst[p*nr:]), ptr(b[p*ldb:]), ldb*floatSize, min(some, done-p), panels, ps*floatSize)
		}
	}
	if done < rows {
		packWholeGo(dst[done*nr:], b[done*ldb:], ldb, rows-done, panels, ps)
	}
}

func packColumnsT(dst, b []float32, ldb, k, w int) {
	done := 0
	if useAVX2 && w == nr && k >= 8 {
		done = k &^ 7
		packT8(ptr(dst), ptr(b), ldb*floatSize, done)
		packT8(ptr(dst[8:]), ptr(b[8*ldb:]), ldb*floatSize, done)
	}
	if done < k {
		packColumnsTGo(dst[done*nr:], b[done:], ldb, k-done, w)
	}
}

// packRows makes so many whole panels of tileRows rows of A.
func packRows(dst, a []float32, ld, k, panels int) {
	rows := tileRows()
	switch {
	case useAVX512:
		packRows12(ptr(dst), ptr(a), ld*floatSize, k, panels, rows*k*floatSize)
	case useAVX2:
		packRows6(ptr(dst), ptr(a), ld*floatSize, k, panels, rows*k*floatSize)
	default:
		for q := range panels {
			packRowsGo(dst[q*rows*k:], a[q*rows:], ld, k, rows)
		}
	}
}
