package corpus

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// Stdin is the path that stands for standard input.
const Stdin = "-"

// decoderMemory bounds what one zstd stream may ask for as its window.
const decoderMemory = 128 << 20

// trimCompression takes the extension of a compressed file off its name.
func trimCompression(name string) string {
	switch ext := filepath.Ext(name); strings.ToLower(ext) {
	case ".gz", ".gzip", ".zst", ".zstd":
		return strings.TrimSuffix(name, ext)
	}
	return name
}

// extensionOf returns the extension that tells the format.
func extensionOf(name string) string { return strings.ToLower(filepath.Ext(trimCompression(name))) }

// decompress recognises gzip and zstd by their first bytes. close frees the
// decoder.
func decompress(name string, r io.Reader) (plain *bufio.Reader, close func(), err error) {
	b := bufio.NewReaderSize(r, 1<<16)
	head, _ := b.Peek(4)
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(b)
		if err != nil {
			return nil, nil, fmt.Errorf("corpus: %s: not a gzip file: %w; make it again", name, err)
		}
		return bufio.NewReaderSize(z, 1<<16), func() { z.Close() }, nil
	case bytes.Equal(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(b, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(decoderMemory))
		if err != nil {
			return nil, nil, fmt.Errorf("corpus: %s: not a zstd file: %w; make it again", name, err)
		}
		return bufio.NewReaderSize(z, 1<<16), z.Close, nil
	}
	return b, func() {}, nil
}

// expand turns paths, folders and patterns into files.
func expand(paths []string) ([]string, error) {
	var out []string
	for _, p := range paths {
		if p == Stdin {
			out = append(out, p)
			continue
		}
		info, err := os.Stat(p)
		if err != nil && strings.ContainsAny(p, "*?[") {
			found, bad := filepath.Glob(p)
			if bad != nil {
				return nil, fmt.Errorf("corpus: pattern %q: %w", p, bad)
			}
			if len(found) == 0 {
				return nil, fmt.Errorf("corpus: no file matches the pattern %q; check the path", p)
			}
			more, err := expand(found)
			if err != nil {
				return nil, err
			}
			out = append(out, more...)
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("corpus: %w", err)
		}
		if info.Mode()&os.ModeDevice != 0 {
			return nil, fmt.Errorf("corpus: %s is a device, not a file of text; name a file, or - for standard input", p)
		}
		if !info.IsDir() {
			out = append(out, p)
			continue
		}
		entries, err := os.ReadDir(p)
		if err != nil {
			return nil, fmt.Errorf("corpus: %w", err)
		}
		n := len(out)
		for _, e := range entries {
			if _, ok := extensions[extensionOf(e.Name())]; ok && !e.IsDir() {
				out = append(out, filepath.Join(p, e.Name()))
			}
		}
		if len(out) == n {
			return nil, fmt.Errorf("corpus: directory %s holds no file that ends in %s; name the files", p, strings.Join(slices.Sorted(maps.Keys(extensions)), ", "))
		}
	}
	return out, nil
}

// openFile opens one of expand's files.
func openFile(path string) (*os.File, error) {
	if path == Stdin {
		return os.Stdin, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("corpus: %w", err)
	}
	return f, nil
}
