//go:build !linux

package kernel

func currentCPU() int { return -1 }

func leaveCPU(int) {}
