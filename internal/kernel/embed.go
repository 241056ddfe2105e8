package kernel

import "strconv"

type gatherTask struct {
	dst, table []float32
	n          int
	ids        []int64
}

var gatherTasks taskPool[gatherTask]

func (t *gatherTask) run(lo, hi int) {
	n := t.n
	for r := lo; r < hi; r++ {
		id := int(t.ids[r])
		copy(t.dst[r*n:(r+1)*n], t.table[id*n:(id+1)*n])
	}
}

func checkIDs(ids []int64, rows int) {
	for r, id := range ids {
		if id < 0 || id >= int64(rows) {
			panic("kernel: id " + strconv.FormatInt(id, 10) + " at " + strconv.Itoa(r) + " is outside a table of " + strconv.Itoa(rows) + " rows")
		}
	}
}

// GatherRows sets dst[len(ids),n] to the rows of table[·,n] that ids name.
func GatherRows(dst, table []float32, n int, ids []int64) {
	if n <= 0 {
		return
	}
	need("dst", len(dst), len(ids)*n)
	checkIDs(ids, len(table)/n)
	t := gatherTasks.get()
	*t = gatherTask{dst: dst, table: table, n: n, ids: ids}
	parallel(len(ids), rowGrain(n, grainCheap), t)
	gatherTasks.put(t)
}

type gatherBytesTask struct {
	dst, scale []float32
	table      []int8
	n          int
	ids        []int64
}

var gatherBytesTasks taskPool[gatherBytesTask]

func (t *gatherBytesTask) run(lo, hi int) {
	n := t.n
	for r := lo; r < hi; r++ {
		id := int(t.ids[r])
		vScaleBytes(t.dst[r*n:(r+1)*n], t.table[id*n:(id+1)*n], t.scale[id])
	}
}

// GatherBytes sets dst[len(ids),n] to the rows of table[·,n] that ids name, each
// times its own scale.
func GatherBytes(dst []float32, table []int8, scale []float32, n int, ids []int64) {
	if n <= 0 {
		return
	}
	need("dst", len(dst), len(ids)*n)
	need("table", len(table), len(scale)*n)
	checkIDs(ids, len(scale))
	t := gatherBytesTasks.get()
	*t = gatherBytesTask{dst: dst, scale: scale, table: table, n: n, ids: ids}
	parallel(len(ids), evenGrain(len(ids), n, grainCheap), t)
	gatherBytesTasks.put(t)
}

// scatterCols is the width of the columns that one ScatterAddRows task owns.
// Tasks split columns, not rows, so that equal ids never race and are added in
// the order of ids.
const scatterCols = 128

type scatterTask struct {
	table, src []float32
	n          int
	ids        []int64
}

var scatterTasks taskPool[scatterTask]

func (t *scatterTask) run(lo, hi int) {
	j0, j1 := lo*scatterCols, min(hi*scatterCols, t.n)
	for r, id := range t.ids {
		row := t.table[int(id)*t.n+j0 : int(id)*t.n+j1]
		vAdd(row, row, t.src[r*t.n+j0:r*t.n+j1])
	}
}

// ScatterAddRows adds row r of src[len(ids),n] to row ids[r] of table[·,n], in
// the order of r.
func ScatterAddRows(table, src []float32, n int, ids []int64) {
	if n <= 0 {
		return
	}
	need("src", len(src), len(ids)*n)
	checkIDs(ids, len(table)/n)
	t := scatterTasks.get()
	*t = scatterTask{table: table, src: src, n: n, ids: ids}
	parallel(tiles(n, scatterCols), rowGrain(scatterCols*len(ids), grainCheap), t)
	scatterTasks.put(t)
}
