package linux_test

import (
	"os"

	"github.com/vennel/vennel/dataplane/linux/netns"
)

// forward makes a guest forward packets, as a middlebox does.
func forward(l *lab, id string) {
	l.t.Helper()
	err := netns.Do(l.netns(id), func() error {
		if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0); err != nil {
			return err
		}
		return os.WriteFile("/proc/sys/net/ipv4/conf/all/send_redirects", []byte("0"), 0)
	})
	if err != nil {
		l.t.Fatal(err)
	}
}
