package platform

import (
	"context"
	"fmt"
	"syscall"
	"unsafe"
)

// system is Windows with its version, as "10.0.20348".
func system(context.Context) (name, version string) {
	var major, minor, build uint32
	call := syscall.NewLazyDLL("ntdll.dll").NewProc("RtlGetNtVersionNumbers")
	if call.Find() != nil {
		return "Microsoft Windows", ""
	}
	_, _, _ = call.Call(uintptr(unsafe.Pointer(&major)), uintptr(unsafe.Pointer(&minor)), uintptr(unsafe.Pointer(&build))) // it returns nothing
	return "Microsoft Windows", fmt.Sprintf("%d.%d.%d", major, minor, build&0xffff)
}

// Machine is a hash that is the same as long as this is the same machine, or "" where nothing
// tells machines apart.
func Machine(context.Context) string {
	key, err := syscall.UTF16PtrFromString(`SOFTWARE\Microsoft\Cryptography`)
	if err != nil {
		return ""
	}
	var h syscall.Handle
	if syscall.RegOpenKeyEx(syscall.HKEY_LOCAL_MACHINE, key, 0, syscall.KEY_READ|syscall.KEY_WOW64_64KEY, &h) != nil {
		return ""
	}
	defer func() { _ = syscall.RegCloseKey(h) }()
	value, err := syscall.UTF16PtrFromString("MachineGuid")
	if err != nil {
		return ""
	}
	var text [64]uint16
	size := uint32(unsafe.Sizeof(text))
	if syscall.RegQueryValueEx(h, value, nil, nil, (*byte)(unsafe.Pointer(&text[0])), &size) != nil {
		return ""
	}
	return hashed(syscall.UTF16ToString(text[:]))
}
