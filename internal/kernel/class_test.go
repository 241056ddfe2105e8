package kernel

import "testing"

func TestClass(t *testing.T) {
	if c := Class(); c != "go" && c != "avx2" && c != "neon" {
		t.Errorf("Class() = %q", c)
	}
	t.Log("kernels:", Class())
}
