package tokenizer

// trie maps byte strings to ids with one probe per byte: the edge (node, byte)
// is looked up in an open-addressed table, so the greedy longest match of
// WordPiece needs a single walk instead of one map lookup per candidate end.
type trie struct {
	keys []uint64 // (node+1)<<8 | byte; 0 empty
	next []int32
	mask uint64
	id   []int32 // per node, −1 not terminal
	n    int     // edges
}

func newTrie(bytes int) *trie {
	size := uint64(64)
	for size < uint64(bytes)*2 {
		size *= 2
	}
	return &trie{keys: make([]uint64, size), next: make([]int32, size), mask: size - 1, id: []int32{-1}}
}

func (t *trie) slot(key uint64) uint64 {
	h := key * 0x9e3779b97f4a7c15
	return (h ^ h>>29) & t.mask
}

// step follows the edge of node for byte c; −1 when there is none.
func (t *trie) step(node int32, c byte) int32 {
	key := uint64(node+1)<<8 | uint64(c)
	for i := t.slot(key); ; i = (i + 1) & t.mask {
		switch t.keys[i] {
		case key:
			return t.next[i]
		case 0:
			return -1
		}
	}
}

// add stores s → id; a later id for the same string replaces the earlier one.
func (t *trie) add(s string, id int32) {
	node := int32(0)
	for i := 0; i < len(s); i++ {
		to := t.step(node, s[i])
		if to < 0 {
			to = int32(len(t.id))
			t.id = append(t.id, -1)
			t.insert(uint64(node+1)<<8|uint64(s[i]), to)
		}
		node = to
	}
	t.id[node] = id
}

func (t *trie) insert(key uint64, to int32) {
	if uint64(t.n+1)*2 > uint64(len(t.keys)) {
		keys, next := t.keys, t.next
		t.keys, t.next = make([]uint64, 2*len(keys)), make([]int32, 2*len(keys))
		t.mask = uint64(len(t.keys)) - 1
		for i, k := range keys {
			if k != 0 {
				t.put(k, next[i])
			}
		}
	}
	t.put(key, to)
	t.n++
}

func (t *trie) put(key uint64, to int32) {
	i := t.slot(key)
	for t.keys[i] != 0 {
		i = (i + 1) & t.mask
	}
	t.keys[i], t.next[i] = key, to
}

// find walks s from node and returns where it ends, −1 if it leaves the trie.
func (t *trie) find(node int32, s string) int32 {
	for i := 0; i < len(s) && node >= 0; i++ {
		node = t.step(node, s[i])
	}
	return node
}
