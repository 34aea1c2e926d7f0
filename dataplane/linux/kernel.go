package linux

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/vennel/vennel/dataplane/linux/netns"
)

// protocol marks routes and rules as ours. It has no name in /etc/iproute2/rt_protos.
const protocol = 201

// kernel is a network namespace as it is.
type kernel struct {
	kind    kind
	ns      *os.File
	inode   uint64
	handle  *netlink.Handle
	filter  filter
	changes *atomic.Int64  // counts what is done
	mu      sync.Mutex     // guards indexes
	indexes map[string]int // of links, by name; emptied when in doubt
}

// openKernel opens what a namespace is configured with: one socket of netlink's.
func openKernel(kind kind, ns *os.File, changes *atomic.Int64) (*kernel, error) {
	k := &kernel{kind: kind, ns: ns, changes: changes, inode: inode(ns), indexes: map[string]int{}}
	err := netns.Do(ns, func() (err error) {
		k.handle, err = netlink.NewHandle(unix.NETLINK_ROUTE)
		return err
	})
	if err != nil {
		return nil, err
	}
	return k, nil
}

// close lets go of the namespace, which stays.
func (k *kernel) close() error {
	k.handle.Close()
	return errors.Join(k.filter.close(), k.ns.Close())
}

// index is a link's number.
func (k *kernel) index(name string) (int, error) {
	k.mu.Lock()
	i, ok := k.indexes[name]
	k.mu.Unlock()
	if ok {
		return i, nil
	}
	l, err := k.handle.LinkByName(name)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", name, err)
	}
	k.remember(name, l.Attrs().Index)
	return l.Attrs().Index, nil
}

// remember keeps a link's number; 0 forgets it.
func (k *kernel) remember(name string, index int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.indexes[name] = index; index == 0 {
		delete(k.indexes, name)
	}
}

// far is the other end of a virtual Ethernet device: what the kernel calls its namespace, and its number there.
type far struct{ ns, index int }

// seen is what is in a namespace.
type seen struct {
	state
	up    map[string]bool
	peers map[string]far // by the name of a link
}

// dump repeats a listing that was interrupted by changes.
func dump[T any](list func() ([]T, error)) ([]T, error) {
	for tries := 0; ; tries++ {
		found, err := list()
		if !errors.Is(err, netlink.ErrDumpInterrupted) || tries == 20 {
			return found, err
		}
	}
}

// observe looks at everything in a namespace that is ours. In a shared one that is what the wanted state is about. Settings
// that are wanted are compared: those that differ are left out of what is seen.
func (k *kernel) observe(want *space) (*seen, error) {
	k.mu.Lock()
	clear(k.indexes)
	k.mu.Unlock()
	s := &seen{up: map[string]bool{}, peers: map[string]far{}}
	shared := want.kind.shared()
	links, err := dump(k.handle.LinkList)
	if err != nil {
		return nil, fmt.Errorf("listing links: %w", err)
	}
	names := map[int]string{}
	for _, l := range links {
		a := l.Attrs()
		names[a.Index] = a.Name
		k.remember(a.Name, a.Index)
		found := link{Name: a.Name, MTU: a.MTU, Alias: a.Alias}
		copy(found.MAC[:], a.HardwareAddr)
		s.links = append(s.links, found)
		s.up[a.Name] = a.RawFlags&unix.IFF_UP != 0
		if l.Type() == "veth" {
			s.peers[a.Name] = far{a.NetNsID, a.ParentIndex}
		}
	}
	addresses, err := dump(func() ([]netlink.Addr, error) { return k.handle.AddrList(nil, netlink.FAMILY_V4) })
	if err != nil {
		return nil, fmt.Errorf("listing addresses: %w", err)
	}
	for _, a := range addresses {
		p := prefixOf(a.IPNet)
		if !p.Addr().IsLoopback() {
			s.addresses = append(s.addresses, address{names[a.LinkIndex], p})
		}
	}
	if !shared {
		neighbours, err := dump(func() ([]netlink.Neigh, error) { return k.handle.NeighList(0, netlink.FAMILY_V4) })
		if err != nil {
			return nil, fmt.Errorf("listing neighbours: %w", err)
		}
		for _, n := range neighbours {
			if n.State&netlink.NUD_PERMANENT == 0 {
				continue
			}
			found := neighbour{Dev: names[n.LinkIndex], IP: addrOf(n.IP)}
			copy(found.MAC[:], n.HardwareAddr)
			s.neighbours = append(s.neighbours, found)
		}
	}
	s.routes, err = dump(func() (list []route, err error) {
		every := &netlink.Route{Table: unix.RT_TABLE_UNSPEC}
		err = k.handle.RouteListFilteredIter(netlink.FAMILY_V4, every, netlink.RT_FILTER_TABLE, func(r netlink.Route) bool {
			if r.Table != unix.RT_TABLE_LOCAL && r.Protocol != unix.RTPROT_KERNEL && (!shared || r.Protocol == protocol) {
				list = append(list, route{Table: r.Table, To: prefixOf(r.Dst), Type: r.Type, Via: addrOf(r.Gw), Dev: names[r.LinkIndex], Prio: r.Priority})
			}
			return true
		})
		return list, err
	})
	if err != nil {
		return nil, fmt.Errorf("listing routes: %w", err)
	}
	rules, err := dump(func() ([]netlink.Rule, error) { return k.handle.RuleList(netlink.FAMILY_V4) })
	if err != nil {
		return nil, fmt.Errorf("listing rules: %w", err)
	}
	for _, r := range rules {
		if shared && r.Protocol != protocol {
			continue
		}
		s.rules = append(s.rules, rule{Pref: r.Priority, From: prefixOf(r.Src), To: prefixOf(r.Dst), Iif: r.IifName, Mark: int(r.Mark), Table: r.Table})
	}
	if shared {
		s.settings = want.state.settings
		return s, nil
	}
	return s, netns.Do(k.ns, func() error {
		for _, w := range want.state.settings {
			have, err := os.ReadFile(filepath.Join("/proc/sys", w.Path))
			if err == nil && string(bytes.TrimSpace(have)) == w.Value || w.Maybe && errors.Is(err, fs.ErrNotExist) {
				s.settings = append(s.settings, w)
			}
		}
		for i, l := range s.links {
			have, err := os.ReadFile(quick(l.Name))
			s.links[i].Quick = err == nil && string(bytes.TrimSpace(have)) == "0" && l.Name != "lo"
		}
		return nil
	})
}

// quick is the setting that says how long a link waits before it answers for others' addresses.
func quick(dev string) string { return filepath.Join("/proc/sys/net/ipv4/neigh", dev, "proxy_delay") }

// set writes settings.
func (k *kernel) set(list []setting) error {
	if len(list) == 0 {
		return nil
	}
	k.changes.Add(1)
	return netns.Do(k.ns, func() error {
		var failed error
		for _, w := range list {
			err := os.WriteFile(filepath.Join("/proc/sys", w.Path), []byte(w.Value), 0)
			if err != nil && (!w.Maybe || !errors.Is(err, fs.ErrNotExist)) {
				failed = errors.Join(failed, err)
			}
		}
		return failed
	})
}

// hasten makes links answer for others' addresses at once.
func (k *kernel) hasten(devs []string) error {
	if len(devs) == 0 {
		return nil
	}
	k.changes.Add(1)
	return netns.Do(k.ns, func() error {
		var failed error
		for _, d := range devs {
			failed = errors.Join(failed, os.WriteFile(quick(d), []byte("0"), 0))
		}
		return failed
	})
}

// attrs names a link to netlink.
func attrs(index int) netlink.Link { return &netlink.Dummy{LinkAttrs: netlink.LinkAttrs{Index: index}} }

// deleteLink deletes a link, and with it its other end. One that is not there is deleted.
func (k *kernel) deleteLink(name string) error {
	l, err := k.handle.LinkByName(name)
	k.remember(name, 0)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return nil
	}
	if err == nil {
		k.changes.Add(1)
		err = k.handle.LinkDel(l)
	}
	if errors.Is(err, unix.ENODEV) {
		return nil
	}
	return err
}

// doomed is the group of links that are about to be deleted.
const doomed = 0x76e6

// deleteLinks deletes links together: the kernel waits once for all.
func (k *kernel) deleteLinks(names []string) error {
	if len(names) < 2 {
		for _, name := range names {
			return k.deleteLink(name)
		}
		return nil
	}
	for _, name := range names {
		i, err := k.index(name)
		if err == nil {
			err = k.handle.LinkSetGroup(attrs(i), doomed)
		}
		if gone(err) != nil {
			return err
		}
		k.remember(name, 0)
	}
	k.changes.Add(1)
	return gone(netns.Do(k.ns, func() error {
		req := nl.NewNetlinkRequest(unix.RTM_DELLINK, unix.NLM_F_ACK)
		req.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
		req.AddData(nl.NewRtAttr(unix.IFLA_GROUP, nl.Uint32Attr(doomed)))
		_, err := req.Execute(unix.NETLINK_ROUTE, 0)
		return err
	}))
}

// makeCable makes a pair of virtual Ethernet devices, each born in its own namespace, down.
func makeCable(a, b *kernel, la, lb link) (far, error) {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU, attrs.HardwareAddr = la.Name, la.MTU, net.HardwareAddr(la.MAC[:])
	v := &netlink.Veth{
		LinkAttrs: attrs, PeerName: lb.Name, PeerMTU: uint32(lb.MTU), PeerHardwareAddr: net.HardwareAddr(lb.MAC[:]),
		PeerNamespace: netlink.NsFd(int(b.ns.Fd())),
	}
	for tries := 0; ; tries++ {
		a.changes.Add(1)
		err := a.handle.LinkAdd(v)
		if err == nil {
			break
		}
		if !errors.Is(err, unix.EEXIST) || tries == 3 {
			return far{}, err
		}
		// What is left of another cable: the kernel frees it late unless it is told to.
		if err := errors.Join(a.deleteLink(la.Name), b.deleteLink(lb.Name)); err != nil {
			return far{}, err
		}
	}
	l, err := a.handle.LinkByName(la.Name)
	if err != nil {
		return far{}, err
	}
	a.remember(la.Name, l.Attrs().Index)
	b.remember(lb.Name, l.Attrs().ParentIndex)
	return far{l.Attrs().NetNsID, l.Attrs().ParentIndex}, nil
}

// setLink makes a link have its attributes, but being up.
func (k *kernel) setLink(want, have link) error {
	i, err := k.index(want.Name)
	if err != nil {
		return err
	}
	l := attrs(i)
	if want.MTU != 0 && want.MTU != have.MTU {
		k.changes.Add(1)
		if err := k.handle.LinkSetMTU(l, want.MTU); err != nil {
			return err
		}
	}
	if want.MAC != (mac{}) && want.MAC != have.MAC {
		k.changes.Add(1)
		if err := k.handle.LinkSetHardwareAddr(l, net.HardwareAddr(want.MAC[:])); err != nil {
			return err
		}
	}
	if want.Alias != "" && want.Alias != have.Alias {
		k.changes.Add(1)
		if err := k.handle.LinkSetAlias(l, want.Alias); err != nil {
			return err
		}
	}
	return nil
}

// up brings a link up.
func (k *kernel) up(name string) error {
	k.changes.Add(1)
	i, err := k.index(name)
	if err != nil {
		return err
	}
	return k.handle.LinkSetUp(attrs(i))
}

// ready says whether a link carries packets. Being asked wakes it, in newer kernels.
func (k *kernel) ready(name string) (bool, error) {
	i, err := k.index(name)
	if err != nil {
		return false, err
	}
	l, err := k.handle.LinkByIndex(i)
	if err != nil {
		return false, err
	}
	return l.Attrs().OperState == netlink.OperUp, nil
}

// addAddress adds an address to a link.
func (k *kernel) addAddress(a address) error {
	k.changes.Add(1)
	i, err := k.index(a.Dev)
	if err != nil {
		return err
	}
	return k.handle.AddrReplace(attrs(i), &netlink.Addr{IPNet: ipNet(a.Prefix)})
}

// deleteAddress removes an address.
func (k *kernel) deleteAddress(a address) error {
	k.changes.Add(1)
	i, err := k.index(a.Dev)
	if err == nil {
		err = k.handle.AddrDel(attrs(i), &netlink.Addr{IPNet: ipNet(a.Prefix)})
	}
	return gone(err)
}

// neigh says a neighbour entry in netlink's words.
func (k *kernel) neigh(n neighbour) (*netlink.Neigh, error) {
	i, err := k.index(n.Dev)
	return &netlink.Neigh{
		LinkIndex: i, Family: netlink.FAMILY_V4, State: netlink.NUD_PERMANENT, IP: n.IP.AsSlice(), HardwareAddr: net.HardwareAddr(n.MAC[:]),
	}, err
}

// addNeighbour adds or changes a neighbour entry.
func (k *kernel) addNeighbour(n neighbour) error {
	k.changes.Add(1)
	entry, err := k.neigh(n)
	if err != nil {
		return err
	}
	return k.handle.NeighSet(entry)
}

// deleteNeighbour removes a neighbour entry.
func (k *kernel) deleteNeighbour(n neighbour) error {
	k.changes.Add(1)
	entry, err := k.neigh(n)
	if err == nil {
		err = k.handle.NeighDel(entry)
	}
	return gone(err)
}

// route says a route in netlink's words.
func (k *kernel) route(r route) (*netlink.Route, error) {
	out := &netlink.Route{Table: r.Table, Dst: ipNet(r.To), Type: r.Type, Protocol: protocol, Priority: r.Prio}
	switch {
	case r.Via.IsValid():
		out.Gw, out.Flags = r.Via.AsSlice(), int(netlink.FLAG_ONLINK)
	case r.Type == unix.RTN_LOCAL:
		out.Scope = netlink.SCOPE_HOST
	case r.Type == unix.RTN_UNICAST:
		out.Scope = netlink.SCOPE_LINK
	}
	if r.Dev == "" {
		return out, nil
	}
	var err error
	out.LinkIndex, err = k.index(r.Dev)
	return out, err
}

// replaceRoute adds a route, in place of the one to the same destination if there is one.
func (k *kernel) replaceRoute(r route) error {
	k.changes.Add(1)
	out, err := k.route(r)
	if err != nil {
		return err
	}
	return k.handle.RouteReplace(out)
}

// deleteRoute removes a route.
func (k *kernel) deleteRoute(r route) error {
	k.changes.Add(1)
	// A route is told by its table, destination and priority; its link may be gone.
	return gone(k.handle.RouteDel(&netlink.Route{Table: r.Table, Dst: ipNet(r.To), Type: r.Type, Priority: r.Prio, Scope: netlink.SCOPE_NOWHERE}))
}

// policy says a routing rule in netlink's words.
func policy(r rule) *netlink.Rule {
	out := netlink.NewRule()
	out.Family, out.Priority, out.Table, out.IifName, out.Mark = netlink.FAMILY_V4, r.Pref, r.Table, r.Iif, uint32(r.Mark)
	out.Protocol = protocol
	if r.From.IsValid() {
		out.Src = ipNet(r.From)
	}
	if r.To.IsValid() {
		out.Dst = ipNet(r.To)
	}
	if r.Mark != 0 {
		mask := uint32(markMask)
		out.Mask = &mask
	}
	if r.Table == 0 {
		out.Type = unix.RTN_BLACKHOLE
	}
	return out
}

// addRule adds a routing rule.
func (k *kernel) addRule(r rule) error {
	k.changes.Add(1)
	if err := k.handle.RuleAdd(policy(r)); !errors.Is(err, unix.EEXIST) {
		return err
	}
	return nil
}

// deleteRule removes a routing rule, whoever made it.
func (k *kernel) deleteRule(r rule) error {
	k.changes.Add(1)
	out := policy(r)
	out.Protocol = 0
	return gone(k.handle.RuleDel(out))
}

// gone takes an error that says that what was to be deleted is not there for success.
func gone(err error) error {
	for _, no := range []error{unix.ESRCH, unix.ENOENT, unix.ENODEV, unix.EADDRNOTAVAIL} {
		if errors.Is(err, no) {
			return nil
		}
	}
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return nil
	}
	return err
}

// ipNet says a range in the standard library's old words.
func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), 32)}
}

// prefixOf says a range in its new words; none is the zero one.
func prefixOf(n *net.IPNet) netip.Prefix {
	if n == nil {
		return netip.Prefix{}
	}
	bits, _ := n.Mask.Size()
	return netip.PrefixFrom(addrOf(n.IP), bits)
}

// addrOf does so with an address.
func addrOf(ip net.IP) netip.Addr {
	a, _ := netip.AddrFromSlice(ip)
	return a.Unmap()
}
