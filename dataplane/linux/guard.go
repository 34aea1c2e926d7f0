package linux

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/vennel/vennel/dataplane"
	"github.com/vennel/vennel/dataplane/linux/netns"
	"github.com/vennel/vennel/dataplane/linux/nft"
)

// filter is what is known of the packet filter in a namespace.
type filter struct {
	conn       *nft.Conn
	current    atomic.Pointer[nft.Table] // a VPC's
	vpc        *dataplane.VPC            // that it is of
	beside     []nft.Link                // and what is beside that
	text       string                    // another's
	generation uint32                    // of the kernel's, when that was put there
}

// close ends the line to the packet filter.
func (f *filter) close() error {
	if f.conn == nil {
		return nil
	}
	return f.conn.Close()
}

// guard makes the packet filter of a space what it should be. Until it is, nothing new is let in.
func (h *Host) guard(ctx context.Context, w *work, fail failing) {
	var err error
	switch w.kind {
	case kindVPC:
		f := &w.kernel.filter
		err = f.set(ctx, w, f.plan(w.space), "")
		f.vpc, f.beside = w.vpc, w.beside
	case kindNAT, kindSite:
		err = w.kernel.filter.set(ctx, w, nil, w.text)
	case kindInternet, kindGuest, kindLaunched:
	}
	if err != nil {
		w.broken = true
		fail(w, w.id, fmt.Errorf("the packet filter: %w", err))
	}
}

// plan is the table of a VPC. What is the same as last time is not thought about again.
func (f *filter) plan(s *space) *nft.Table {
	if t := f.current.Load(); t != nil && slices.EqualFunc(f.beside, s.beside, sameLink) {
		if f.vpc == s.vpc {
			return t
		}
		if f.vpc == s.old {
			if t, ok := t.Regroup(s.old, s.vpc); ok {
				return t
			}
		}
	}
	return nft.New(s.vpc, s.beside)
}

// sameLink says whether two links are the same.
func sameLink(a, b nft.Link) bool { return a.Device == b.Device && slices.Equal(a.CIDRs, b.CIDRs) }

// set puts a table or text into the kernel, unless it is there already and nobody has changed anything since. After a start
// nobody knows whether somebody has: what is there is replaced, and that is no change when its marker is the right one.
func (f *filter) set(ctx context.Context, w *work, table *nft.Table, text string) (err error) {
	if f.conn == nil {
		if f.conn, err = nft.Open(w.kernel.ns); err != nil {
			return err
		}
	}
	is := func() bool {
		old := f.current.Load()
		return table != nil && old != nil && old.Revision() == table.Revision() || table == nil && f.text == text
	}
	if is() && !w.doubt {
		return nil
	}
	generation, err := f.conn.Generation()
	if err != nil {
		return err
	}
	if generation != f.generation { // somebody else has been here
		f.current.Store(nil)
		f.text = ""
	}
	commits := uint32(1)
	switch {
	case is():
		return nil
	case table != nil:
		revision := ""
		if f.generation == 0 {
			revision, _, err = f.conn.Read(ctx)
		}
		if err != nil || revision != table.Revision() {
			w.kernel.changes.Add(1)
		}
		commits, err = f.conn.Apply(ctx, f.current.Load(), table)
	default:
		if f.generation != 0 || !loaded(ctx, w.kernel.ns, text) {
			w.kernel.changes.Add(1)
		}
		err = load(ctx, w.kernel.ns, text)
	}
	f.text = ""
	if err != nil {
		f.current.Store(nil)
		return err
	}
	f.current.Store(table)
	f.text = text
	f.generation = generation + commits // and not what it is by now: somebody else may have been here meanwhile, of which there will be news
	return nil
}

// table is the VPC's table that was applied last; an empty one when there is none.
func (f *filter) table() *nft.Table {
	if t := f.current.Load(); t != nil {
		return t
	}
	return new(nft.Table)
}

// marker is the chain that says which text is loaded.
func marker(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "ver_" + hex.EncodeToString(sum[:16])
}

// loaded says whether a text's marker is there.
func loaded(ctx context.Context, ns *os.File, text string) bool {
	return netns.Run(ns, exec.CommandContext(ctx, "nft", "list", "chain", "ip", "guard", marker(text))) == nil
}

// load replaces the packet filter of what is no VPC, in one transaction.
func load(ctx context.Context, ns *os.File, text string) error {
	cmd := exec.CommandContext(ctx, "nft", "-f", "-")
	cmd.Stdin = strings.NewReader("table ip guard\ndelete table ip guard\ntable ip guard {\n\tchain " + marker(text) + " {\n\t}\n" + text + "}\n")
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := netns.Run(ns, cmd); err != nil {
		return fmt.Errorf("nft: %w: %s", err, bytes.TrimSpace(said.Bytes()))
	}
	return nil
}

// natRules is the packet filter of a NAT gateway: it lets out what comes from the VPC, from its own address, and back what
// answers. Nothing is for itself.
func natRules(v *dataplane.VPC) string {
	var from []string
	for _, r := range v.CIDRs {
		from = append(from, r.Masked().String())
	}
	return fmt.Sprintf(`	chain nat_post {
		type nat hook postrouting priority srcnat; policy accept;
		oifname "eth0" masquerade
	}
	chain forward {
		type filter hook forward priority filter; policy drop;
		ct state established,related accept
		ct state invalid drop
		ip saddr { %s } accept
	}
	chain input {
		type filter hook input priority filter; policy drop;
		ct state related,established accept
	}
`, strings.Join(from, ", "))
}

// siteRules is the packet filter of a site's router. What its machines send on the internet comes from its public address;
// from there nothing is let in that answers nothing.
func siteRules(s *dataplane.Site) string {
	to := ""
	if s.Internet.IsValid() {
		to = fmt.Sprintf("oifname %q ip saddr %s snat to %s", nft.InternetDevice, s.CIDR.Masked(), s.Internet)
	}
	return fmt.Sprintf(`	chain nat_post {
		type nat hook postrouting priority srcnat; policy accept;
		%s
	}
	chain forward {
		type filter hook forward priority filter; policy drop;
		ct state established,related accept
		ct state invalid drop
		iifname "h*" ip saddr %s accept
		iifname "t*" oifname "h*" accept
	}
`, to, s.CIDR.Masked())
}
