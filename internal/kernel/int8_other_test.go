//go:build !amd64 || noasm

package kernel

import "testing"

func eachInt8(t *testing.T, f func(t *testing.T)) { f(t) }
