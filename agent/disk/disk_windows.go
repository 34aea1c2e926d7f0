package disk

import (
	"errors"
	"os"
	"syscall"
	"unsafe"
)

// Sync does nothing: NTFS keeps its own journal of names.
func Sync(string) error { return nil }

// The flags and the error of LockFileEx.
const (
	failImmediately = 1
	exclusive       = 2
	lockViolation   = syscall.Errno(33)
)

// lock takes a lock that goes with the open file.
func lock(f *os.File) error {
	call := syscall.NewLazyDLL("kernel32.dll").NewProc("LockFileEx")
	var at syscall.Overlapped
	if ok, _, err := call.Call(f.Fd(), failImmediately|exclusive, 0, 1, 0, uintptr(unsafe.Pointer(&at))); ok == 0 {
		if errors.Is(err, lockViolation) || errors.Is(err, syscall.ERROR_IO_PENDING) {
			return ErrLocked
		}
		return err
	}
	return nil
}

// unlock leaves it to the end of the open file, which nobody shares.
func unlock(*os.File) {}
