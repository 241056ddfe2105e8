package kernel

import (
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// currentCPU returns the processor that the calling thread runs on, -1 where
// the system does not tell.
func currentCPU() int {
	var cpu uint32
	if _, _, errno := unix.RawSyscall(unix.SYS_GETCPU, uintptr(unsafe.Pointer(&cpu)), 0, 0); errno != 0 {
		return -1
	}
	return int(cpu)
}

// leaveCPU moves the calling thread to another processor, if it may run on one.
// Linux often wakes a thread on the processor of the one that woke it, and sees
// nothing to balance where the two run in turns, waiting for each other.
func leaveCPU(cpu int) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var all unix.CPUSet
	if unix.SchedGetaffinity(0, &all) != nil || all.Count() < 2 || !all.IsSet(cpu) {
		return
	}
	others := all
	others.Clear(cpu)
	if unix.SchedSetaffinity(0, &others) == nil {
		_ = unix.SchedSetaffinity(0, &all) // it may come back when the scheduler likes
	}
}
