package machine

import (
	"encoding/binary"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The codes of a child's end, from the kernel's siginfo.h.
const (
	cldKilled = 2
	cldDumped = 3
)

// siginfoStatus is si_status of a child's end, which golang.org/x/sys leaves in a union: behind pid and uid.
func siginfoStatus(info *unix.Siginfo) int32 {
	raw := (*[unsafe.Sizeof(*info)]byte)(unsafe.Pointer(info))
	const union = 12 + (unsafe.Sizeof(uintptr(0)) - 4) // after three numbers, aligned as a pointer
	return int32(binary.NativeEndian.Uint32(raw[union+8:]))
}
