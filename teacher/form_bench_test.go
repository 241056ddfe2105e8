package teacher

import "testing"

// BenchmarkTopK encodes the labels of 300 masked tokens over BERT's Chinese vocabulary,
// 64 of each, and reads them again.
func BenchmarkTopK(b *testing.B) {
	const rows, width = 300, 21128
	v := draw(1, rows, width, 3)
	f := Form{TopK: 64}
	for b.Loop() {
		data, err := f.encode(v, width)
		if err != nil {
			b.Fatal(err)
		}
		if _, ok := f.decode(data, rows, width); !ok {
			b.Fatal("not read")
		}
	}
}
