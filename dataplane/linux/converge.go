package linux

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"regexp"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/vennel/vennel/dataplane"
)

// launch has the launcher start and stop the machines that are its own, and delete those that are gone with their disks. Those that a
// Config says nothing of are stopped and keep theirs. It says which machines have no network namespace.
func (h *Host) launch(ctx context.Context, status *dataplane.Status) map[string]bool {
	c, absent := h.config, map[string]bool{}
	var own []dataplane.Machine
	for i := range c.Machines {
		m := &c.Machines[i]
		if len(m.Init) > 0 {
			own = append(own, *m)
		}
	}
	for _, id := range h.leaving {
		if err := h.machines.Delete(ctx, id); err != nil {
			status.Failures[id] = err.Error()
			status.Machines[id] = dataplane.MachineStatus{Running: true} // it is still there
		}
	}
	if len(own) == 0 && len(h.machines.Machines()) == 0 {
		return absent
	}
	statuses, failures := h.machines.Set(ctx, own)
	maps.Copy(status.Machines, statuses)
	maps.Copy(status.Failures, failures)
	for i := range own {
		absent[own[i].ID] = !statuses[own[i].ID].Running
	}
	return absent
}

// jobs opens the spaces about which something may have to be done: all that are ours alone, and machines that differ.
func (h *Host) jobs(ctx context.Context, p *plan, said failures) (map[string]*work, error) {
	jobs := map[string]*work{}
	var need []*work
	for _, s := range p.order {
		w := &work{space: s, before: h.applied[s.id]}
		switch {
		case !s.kind.shared():
		case s.kind == kindGuest && w.before.equal(&s.state):
			continue
		case s.kind == kindLaunched:
			ns, err := h.machines.Netns(s.id)
			if err != nil { // it has ended just now: its interfaces fail, and the next Set knows
				said.add(s.id, "%v", err)
				continue
			}
			if h.inodes[s.id] == inode(ns) && w.before.equal(&s.state) {
				if err := ns.Close(); err != nil {
					return nil, err
				}
				continue
			}
			if w.kernel, err = openKernel(s.kind, ns, &h.changes); err != nil {
				return nil, errors.Join(err, ns.Close())
			}
		}
		need = append(need, w)
	}
	errs := make([]error, len(need))
	indexes := make([]int, len(need))
	for i := range indexes {
		indexes[i] = i
	}
	err := parallel(ctx, indexes, func(i int) { errs[i] = h.open(need[i]) })
	for i, w := range need {
		if errs[i] != nil {
			said.add(w.id, "%v", errs[i])
			continue
		}
		if h.inodes[w.id] != w.kernel.inode {
			w.before = nil
			h.inodes[w.id] = w.kernel.inode
		}
		if !w.kind.shared() {
			h.look.Lock()
			h.kernels[w.id] = w.kernel
			h.look.Unlock()
		}
		w.doubt = w.before == nil
		jobs[w.id] = w
		delete(h.applied, w.id) // until it is done
	}
	return jobs, err
}

// open opens a space's namespace, and makes it or gives it its name when it has to.
func (h *Host) open(w *work) error {
	if w.kernel != nil {
		return nil
	}
	if k := h.kernels[w.id]; k != nil {
		w.kernel = k
		if h.names.named(w.id, k.ns) {
			return nil
		}
		return h.names.name(w.id, k.ns)
	}
	ns, err := h.names.create(w.id)
	if err != nil {
		return err
	}
	if w.kernel, err = openKernel(w.kind, ns, &h.changes); err != nil {
		return errors.Join(err, ns.Close())
	}
	return nil
}

// doubted opens one more space because a cable of it is gone.
func (h *Host) doubted(p *plan, jobs map[string]*work, id string, fail failing) *work {
	s := p.spaces[id]
	if s == nil {
		return nil
	}
	w := &work{space: s, doubt: true}
	delete(h.applied, id)
	var err error
	if s.kind == kindLaunched {
		var ns *os.File
		if ns, err = h.machines.Netns(id); err == nil {
			w.kernel, err = openKernel(w.kind, ns, &h.changes)
		}
	} else {
		err = h.open(w)
	}
	if err != nil {
		fail(w, id, err)
		return nil
	}
	h.inodes[id] = w.kernel.inode
	jobs[id] = w
	w.observe(fail)
	return w
}

// done closes the machines' namespaces.
func (h *Host) done(jobs map[string]*work) {
	for _, w := range jobs {
		if w.kind.shared() {
			if err := w.kernel.close(); err != nil {
				h.o.Log.Error("a network namespace is not closed", "machine", w.id, "error", err)
			}
		}
	}
}

// failures says what is not there, by id, and why.
type failures map[string]string

// add adds a failure. The first reason stays.
func (f failures) add(id, format string, args ...any) {
	if f[id] == "" {
		f[id] = fmt.Sprintf(format, args...)
	}
}

// failing takes what went wrong: about which space, with whose object, and why.
type failing func(w *work, id string, err error)

// about says what was being done when something went wrong with a device.
func (f failing) about(w *work, dev, what string, err error) {
	if err == nil {
		return
	}
	id := w.blame[dev]
	if id == "" {
		id = w.id
	}
	f(w, id, fmt.Errorf("%s: %w", what, err))
}

// observe takes stock of what is in a space: from memory, or of the kernel when that is in doubt.
func (w *work) observe(fail failing) {
	if !w.doubt {
		w.have = &seen{state: *w.before, up: map[string]bool{}}
		for _, l := range w.have.links {
			w.have.up[l.Name] = true
		}
		return
	}
	have, err := w.kernel.observe(w.space)
	if err != nil {
		fail.about(w, "", "looking at it", err)
		have = &seen{up: map[string]bool{}}
		w.broken = true
	}
	w.have = have
}

// compare says which cables have to be made, and forgets what hung on them.
func (h *Host) compare(p *plan, jobs map[string]*work, said failures, fail failing) []cable {
	wanted := make(map[cable]bool, len(p.cables))
	for _, c := range p.cables {
		wanted[c] = true
	}
	for c := range h.cables {
		if !wanted[c] {
			delete(h.cables, c)
		}
	}
	var lost []cable
	for _, c := range p.cables {
		if said[c.b.space] != "" && jobs[c.b.space] == nil { // there is nothing to plug it into
			continue
		}
		if far, ok := h.plugged(c, jobs); ok {
			h.cables[c] = far
			continue
		}
		delete(h.cables, c)
		lost = append(lost, c)
		for _, e := range []end{c.a, c.b} {
			w := jobs[e.space]
			if w == nil {
				w = h.doubted(p, jobs, e.space, fail)
			}
			if w != nil {
				w.have.forget(e.dev)
			}
		}
	}
	return lost
}

// plugged says whether a cable is there, and how its first end sees it.
func (h *Host) plugged(c cable, jobs map[string]*work) (far, bool) {
	was, known := h.cables[c]
	a, b := jobs[c.a.space], jobs[c.b.space]
	if b != nil && b.doubt && !b.have.has(c.b.dev) {
		return far{}, false
	}
	if a == nil || !a.doubt {
		return was, known
	}
	is, ok := a.have.peers[c.a.dev]
	if known || !ok {
		return is, ok && is == was
	}
	if b == nil || !b.doubt {
		return far{}, false
	}
	id, err := a.kernel.handle.GetNetNsIdByFd(int(b.kernel.ns.Fd()))
	return is, err == nil && is == far{id, b.kernel.indexes[c.b.dev]}
}

// ours are the names that this package gives to the ends of cables.
var ours = regexp.MustCompile(`^(e[0-9a-f]{1,14}|[ptu][0-9]+|[hs][0-9a-f]{14}|igw0|eth[0-9]+)$`)

// retire takes away what should not be there. What leads elsewhere now is replaced at once when it leads nowhere, so that no
// packet takes a wider route in between; other changes wait until what they need is there.
func (w *work) retire(fail failing) {
	want := &w.state
	if w.have.state.equal(want) {
		return
	}
	routes := make(map[key]route, len(want.routes))
	for _, r := range want.routes {
		routes[r.key()] = r
	}
	var kept []route
	for _, r := range w.have.routes {
		now, wanted := routes[r.key()]
		switch {
		case !wanted:
			fail.about(w, r.Dev, "removing the route to "+r.To.String(), w.kernel.deleteRoute(r))
		case now != r && now.Type == unix.RTN_BLACKHOLE:
			fail.about(w, r.Dev, "closing the route to "+r.To.String(), w.kernel.replaceRoute(now))
			kept = append(kept, now)
		default:
			kept = append(kept, r)
		}
	}
	w.have.routes = kept
	for _, r := range missing(w.have.rules, want.rules) {
		fail.about(w, "", "removing a routing rule", w.kernel.deleteRule(r))
	}
	w.have.rules = common(w.have.rules, want.rules)
	devices := map[string]bool{}
	for _, l := range want.links {
		devices[l.Name] = true
	}
	var extra []string
	for _, l := range w.have.links {
		if !devices[l.Name] && !w.kind.shared() && ours.MatchString(l.Name) {
			extra = append(extra, l.Name)
		}
	}
	fail.about(w, "", "removing links", w.kernel.deleteLinks(extra))
	for _, dev := range extra {
		w.have.forget(dev)
	}
	for _, n := range missing(w.have.neighbours, want.neighbours) {
		fail.about(w, n.Dev, "removing a neighbour", w.kernel.deleteNeighbour(n))
	}
	w.have.neighbours = common(w.have.neighbours, want.neighbours)
	if !w.kind.shared() || !w.doubt { // a machine's root may have addresses of its own
		for _, a := range missing(w.have.addresses, want.addresses) {
			fail.about(w, a.Dev, "removing the address "+a.Prefix.String(), w.kernel.deleteAddress(a))
		}
	}
	w.have.addresses = common(w.have.addresses, want.addresses)
}

// found lays the ground: settings, the loopback and the router's own addresses.
func (w *work) found(fail failing) {
	if w.kind.shared() {
		return
	}
	if !slices.Equal(w.have.settings, w.state.settings) {
		fail.about(w, "", "a setting", w.kernel.set(w.state.settings))
	}
	if !w.have.up["lo"] {
		fail.about(w, "", "the loopback", w.kernel.up("lo"))
		w.have.up["lo"] = true
	}
	w.address(fail, func(dev string) bool { return dev == "lo" })
}

// address adds the addresses that are missing on some links.
func (w *work) address(fail failing, on func(dev string) bool) {
	if slices.Equal(w.have.addresses, w.state.addresses) {
		return
	}
	for _, a := range missing(w.state.addresses, w.have.addresses) {
		if on(a.Dev) {
			fail.about(w, a.Dev, "the address "+a.Prefix.String(), w.kernel.addAddress(a))
		}
	}
}

// plug makes cables.
func (h *Host) plug(ctx context.Context, jobs map[string]*work, lost []cable, fail failing) error {
	if len(lost) == 0 {
		return nil
	}
	by := map[string][]cable{}
	for _, c := range lost {
		by[c.a.space] = append(by[c.a.space], c)
	}
	made := make(chan struct {
		cable
		far
	}, len(lost))
	err := parallel(ctx, slices.Collect(maps.Values(by)), func(list []cable) {
		for _, c := range list {
			a, b := jobs[c.a.space], jobs[c.b.space]
			if a == nil || b == nil || a.broken || b.broken || ctx.Err() != nil {
				continue
			}
			seen, err := makeCable(a.kernel, b.kernel, a.wants(c.a.dev), b.wants(c.b.dev))
			if err != nil {
				fail.about(a, c.a.dev, "its cable", err)
				fail.about(b, c.b.dev, "its cable", err)
				continue
			}
			made <- struct {
				cable
				far
			}{c, seen}
		}
	})
	close(made)
	for m := range made {
		h.cables[m.cable] = m.far
		for _, e := range []end{m.a, m.b} {
			w := jobs[e.space]
			l := w.wants(e.dev)
			l.Alias, l.Quick = "", false
			w.have.links = append(w.have.links, l)
			w.fresh = append(w.fresh, e.dev)
		}
	}
	return err
}

// wants is what a link should be.
func (w *work) wants(dev string) link {
	for _, l := range w.state.links {
		if l.Name == dev {
			return l
		}
	}
	return link{Name: dev}
}

// complete brings links up and adds what leads to them.
func (w *work) complete(fail failing) {
	want := &w.state
	if w.broken || len(w.fresh) == 0 && w.have.state.equal(want) && w.allUp() {
		return
	}
	if w.kind.shared() && len(w.fresh) > 0 {
		fail.about(w, "", "a setting", w.kernel.set(want.settings))
	}
	have := make(map[string]link, len(w.have.links))
	for _, l := range w.have.links {
		have[l.Name] = l
	}
	var slow []string
	for _, l := range want.links {
		is, there := have[l.Name]
		if !there { // its cable has failed, and that is known
			continue
		}
		fail.about(w, l.Name, l.Name, w.kernel.setLink(l, is))
		if l.Quick && !is.Quick {
			slow = append(slow, l.Name)
		}
	}
	fail.about(w, "", "a link's delay", w.kernel.hasten(slow))
	reachable := func(dev string) bool {
		_, there := have[dev]
		return dev == "" || there
	}
	for _, l := range want.links {
		if reachable(l.Name) && !w.have.up[l.Name] {
			fail.about(w, l.Name, "bringing up "+l.Name, w.kernel.up(l.Name))
		}
	}
	w.address(fail, func(dev string) bool { return dev != "lo" && reachable(dev) })
	for _, n := range missing(want.neighbours, w.have.neighbours) {
		if reachable(n.Dev) {
			fail.about(w, n.Dev, "a neighbour", w.kernel.addNeighbour(n))
		}
	}
	for _, r := range missing(want.routes, w.have.routes) {
		if reachable(r.Dev) {
			fail.about(w, r.Dev, "the route to "+r.To.String(), w.kernel.replaceRoute(r))
		}
	}
	for _, r := range missing(want.rules, w.have.rules) {
		fail.about(w, "", "a routing rule", w.kernel.addRule(r))
	}
}

// settle waits until what comes through new cables is not lost: the kernel wakes a link some time after its other end is up.
func (w *work) settle(ctx context.Context, fail failing) {
	for _, dev := range w.fresh {
		for deadline := time.Now().Add(settling); ; {
			ready, err := w.kernel.ready(dev)
			if err != nil || ready || time.Now().After(deadline) {
				fail.about(w, dev, dev, err)
				break
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(time.Millisecond):
			}
		}
	}
}

// settling is how long a link may take to wake.
const settling = 2 * time.Second

// allUp says whether every link that should be there is up.
func (w *work) allUp() bool {
	return !slices.ContainsFunc(w.state.links, func(l link) bool { return !w.have.up[l.Name] })
}

// release lets machines go on whose network is complete.
func (h *Host) release(p *plan, said failures) {
	for _, s := range p.order {
		if s.kind != kindLaunched || h.released[s.id] == h.inodes[s.id] {
			continue
		}
		if h.applied[s.id] == nil {
			said.add(s.id, "its network is not complete")
			continue
		}
		if err := h.machines.Release(s.id); err != nil {
			said.add(s.id, "%v", err)
			continue
		}
		h.released[s.id] = h.inodes[s.id]
	}
}

// sweep removes the namespaces that should not be there.
func (h *Host) sweep(p *plan) error {
	if h.swept && h.plan == p {
		return nil
	}
	if h.swept && h.plan != nil && len(h.plan.spaces) == len(p.spaces) {
		same := true
		for id, s := range p.spaces {
			was := h.plan.spaces[id]
			same = same && was != nil && was.kind == s.kind
		}
		if same {
			return nil
		}
	}
	ids, err := h.names.list()
	if err != nil {
		return err
	}
	err = h.discard(slices.DeleteFunc(ids, func(id string) bool { s := p.spaces[id]; return s != nil && s.kind != kindLaunched }))
	for id := range h.inodes {
		if p.spaces[id] == nil {
			delete(h.inodes, id)
			delete(h.applied, id)
			delete(h.released, id)
		}
	}
	h.swept = err == nil
	h.look.Lock()
	defer h.look.Unlock()
	close(h.changed)
	h.changed = make(chan struct{})
	return err
}

// discard removes namespaces: first the cables in them, because the kernel would take its time over them. Those of VPCs come
// first, in which many cables end, and which the ids put last.
func (h *Host) discard(ids []string) error {
	slices.Sort(ids)
	slices.Reverse(ids)
	var failed error
	var rest []string
	for _, id := range ids {
		k := h.kernels[id]
		if k == nil {
			rest = append(rest, id)
			continue
		}
		h.look.Lock()
		delete(h.kernels, id)
		h.look.Unlock()
		failed = errors.Join(failed, k.unplug(), k.close())
	}
	for _, id := range rest {
		ns, err := h.names.open(id)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		k, err := openKernel(kindGuest, ns, &h.changes)
		if err != nil {
			failed = errors.Join(failed, err, ns.Close())
			continue
		}
		failed = errors.Join(failed, k.unplug(), k.close())
	}
	var g errgroup.Group
	g.SetLimit(unmounts)
	for _, id := range ids {
		g.Go(func() error { return h.names.remove(id) })
	}
	return errors.Join(failed, g.Wait())
}

// unmounts is how many names are removed at once: each waits for the whole machine, and does nothing meanwhile.
const unmounts = 32

// unplug deletes the cables that end in a namespace.
func (k *kernel) unplug() error {
	links, err := dump(k.handle.LinkList)
	var names []string
	for _, l := range links {
		if l.Type() == "veth" {
			names = append(names, l.Attrs().Name)
		}
	}
	return errors.Join(err, k.deleteLinks(names))
}
