// Package platform finds out what a node tells of the machine it is: name, address and operating
// system, in the words of the SSM Agent.
package platform

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"time"
)

// The types of platform, as preconditions and UpdateInstanceInformation write them.
const (
	Linux   = "Linux"
	MacOS   = "MacOS"
	Windows = "Windows"
)

// Facts are what is known of the machine.
type Facts struct {
	Type    string // Linux, MacOS or Windows
	Name    string // "Debian GNU/Linux"
	Version string // "12"
	Host    string // fully qualified where the resolver knows it
	Address string // the first address that is not a loopback's, IPv4 before IPv6; "" for none
}

// Type is the platform that this program was built for.
func Type() string {
	switch runtime.GOOS {
	case "darwin":
		return MacOS
	case "windows":
		return Windows
	}
	return Linux
}

// System finds out the facts about the operating system alone, which takes no network.
func System(ctx context.Context) Facts {
	f := Facts{Type: Type()}
	f.Name, f.Version = system(ctx)
	return f
}

// nameWait is the patience with the resolver.
const nameWait = 2 * time.Second

// Get finds out the facts. What cannot be found out stays empty.
func Get(ctx context.Context) Facts {
	f := System(ctx)
	f.Address = address()
	f.Host, _ = os.Hostname()
	if !strings.Contains(f.Host, ".") {
		ctx, cancel := context.WithTimeout(ctx, nameWait)
		defer cancel()
		full, err := net.DefaultResolver.LookupCNAME(ctx, f.Host)
		if full = strings.TrimSuffix(full, "."); err == nil && strings.HasPrefix(full, f.Host+".") {
			f.Host = full
		}
	}
	return f
}

// address is the address to show. It is not used to reach the node.
func address() string {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return ""
	}
	other := ""
	for _, a := range all {
		ip, ok := a.(*net.IPNet)
		if !ok || !ip.IP.IsGlobalUnicast() {
			continue
		}
		if ip.IP.To4() != nil {
			return ip.IP.String()
		}
		if other == "" {
			other = ip.IP.String()
		}
	}
	return other
}

// release reads NAME and VERSION_ID of an os-release file.
func release(r io.Reader) (name, version string) {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		key, value, _ := strings.Cut(lines.Text(), "=")
		value = strings.Trim(strings.TrimSpace(value), `"'`)
		switch strings.TrimSpace(key) {
		case "NAME":
			name = value
		case "VERSION_ID":
			version = value
		}
	}
	return name, version
}

// hashed hides an identifier that programs are asked not to send over a network.
func hashed(id string) string {
	if id = strings.TrimSpace(id); id == "" {
		return ""
	}
	sum := sha256.Sum256([]byte("vennel agent " + id))
	return hex.EncodeToString(sum[:])
}
