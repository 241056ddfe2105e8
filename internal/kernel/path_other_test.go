//go:build (!amd64 && !arm64) || noasm

package kernel

import "testing"

func eachPath(t *testing.T, f func(t *testing.T)) { f(t) }
