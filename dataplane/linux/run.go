package linux

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// How long Run waits.
const (
	gather = 10 * time.Millisecond // for more to happen, before it looks
	review = time.Minute           // before it looks at everything, because news may have been lost
	rest   = 10                    // times as long as looking took, before it looks again
)

// groups are the news of routing that Run listens to: links, addresses, routes and rules of IPv4.
const groups = 1<<(unix.RTNLGRP_LINK-1) | 1<<(unix.RTNLGRP_IPV4_IFADDR-1) | 1<<(unix.RTNLGRP_IPV4_ROUTE-1) | 1<<(unix.RTNLGRP_IPV4_RULE-1)

// Run repairs what others change in the namespaces that are ours, as it happens, until the context ends; the Host is closed
// after that. Without it the first Set of a new Host does.
func (h *Host) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	news := make(chan string)
	g.Go(func() error { return h.machines.Run(ctx) })
	g.Go(func() error { return h.watch(ctx, news) })
	g.Go(func() error { return h.repair(ctx, news) })
	if err := g.Wait(); ctx.Err() == nil || !errors.Is(err, ctx.Err()) {
		return err
	}
	return nil
}

// watch keeps somebody listening in every namespace of ours.
func (h *Host) watch(ctx context.Context, news chan<- string) error {
	g, ctx := errgroup.WithContext(ctx)
	type watcher struct {
		inode uint64
		stop  context.CancelFunc
	}
	watchers := map[string]watcher{}
	for ctx.Err() == nil {
		h.look.RLock()
		changed := h.changed
		for id, w := range watchers {
			if k := h.kernels[id]; k == nil || k.inode != w.inode {
				w.stop()
				delete(watchers, id)
			}
		}
		var failed error
		var fresh []string
		for id, k := range h.kernels {
			if watchers[id].stop != nil {
				continue
			}
			fresh = append(fresh, id)
			alone, stop := context.WithCancel(ctx)
			watchers[id] = watcher{k.inode, stop}
			for family, groups := range map[int]uint32{unix.NETLINK_ROUTE: groups, unix.NETLINK_NETFILTER: 1 << (unix.NFNLGRP_NFTABLES - 1)} {
				c, err := netlink.Dial(family, &netlink.Config{Groups: groups, NetNS: int(k.ns.Fd())})
				if err != nil {
					failed = errors.Join(failed, fmt.Errorf("listening in %s: %w", id, err))
					continue
				}
				g.Go(func() error { return hear(alone, c, id, news) })
			}
		}
		h.look.RUnlock()
		if failed != nil {
			g.Go(func() error { return failed })
		}
		for _, id := range fresh { // what has happened before somebody listened is news, too
			select {
			case news <- id:
			case <-ctx.Done():
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
	for _, w := range watchers {
		w.stop()
	}
	return g.Wait()
}

// hear passes on that there is news. What it is does not matter: it may be incomplete.
func hear(ctx context.Context, c *netlink.Conn, id string, news chan<- string) error {
	stop := context.AfterFunc(ctx, func() { _ = c.SetReadDeadline(time.Unix(1, 0)) }) // so that Receive ends
	defer stop()
	for {
		_, err := c.Receive()
		if ctx.Err() != nil {
			return c.Close()
		}
		if err != nil && !errors.Is(err, unix.ENOBUFS) { // news was lost: that is news, too
			return errors.Join(fmt.Errorf("listening in %s: %w", id, err), c.Close())
		}
		select {
		case news <- id:
		case <-ctx.Done():
			return c.Close()
		}
	}
}

// repair looks at what there is news of, and puts it right.
func (h *Host) repair(ctx context.Context, news <-chan string) error {
	full := time.NewTicker(review)
	defer full.Stop()
	wait := time.NewTimer(0)
	if !wait.Stop() {
		<-wait.C
	}
	doubt := map[string]bool{}
	waiting := false
	pause := gather
	look := func(after time.Duration) {
		if !waiting {
			waiting = true
			wait.Reset(after)
		}
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case id := <-news:
			doubt[id] = true
			look(pause)
		case <-h.machines.Wake():
			look(gather)
		case <-full.C:
			if _, err := h.Repair(ctx); err != nil && ctx.Err() == nil {
				h.o.Log.Error("what others have changed is not repaired", "error", err)
			}
		case <-wait.C:
			waiting = false
			began := time.Now()
			if err := h.again(ctx, doubt); err != nil && ctx.Err() == nil {
				h.o.Log.Error("what others have changed is not repaired", "error", err)
			}
			clear(doubt)
			pause = max(gather, rest*time.Since(began))
		}
	}
}

// again makes the last Config true once more, with some spaces in doubt.
func (h *Host) again(ctx context.Context, doubt map[string]bool) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	for id := range doubt {
		delete(h.applied, id)
	}
	_, err := h.once(ctx)
	return err
}

// Repair looks at everything in the kernel, puts right what is not as the last Set wanted it, and says how many changes that
// took.
func (h *Host) Repair(ctx context.Context) (changes int, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	clear(h.applied)
	h.swept = false
	return h.once(ctx)
}

// Changes is how many changes of the kernel the host has made, ever.
func (h *Host) Changes() int { return int(h.changes.Load()) }

// once makes the last Config true and says how many changes that took.
func (h *Host) once(ctx context.Context) (changes int, err error) {
	if h.closed || h.config == nil {
		return 0, nil
	}
	before := h.changes.Load()
	status, err := h.converge(ctx)
	if changes = int(h.changes.Load() - before); changes > 0 {
		h.o.Log.Info("the network is repaired", "changes", changes, "failures", len(status.Failures))
	}
	return changes, err
}

// Netns opens the network namespace of a VPC, NAT gateway, site or machine, by its id; the internet's side is "internet".
func (h *Host) Netns(id string) (*os.File, error) {
	ns, err := h.names.open(id)
	if errors.Is(err, os.ErrNotExist) {
		return h.machines.Netns(id)
	}
	return ns, err
}

// Close lets go of the host. What is in the kernel stays, machines go on, and sockets close.
func (h *Host) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.close(h.machines.Close)
}

// close closes what is open, once.
func (h *Host) close(machines func() error) error {
	if h.closed {
		return nil
	}
	h.closed = true
	h.look.Lock()
	defer h.look.Unlock()
	var failed error
	for _, s := range h.sockets {
		failed = errors.Join(failed, s.file.Close())
	}
	for _, k := range h.kernels {
		failed = errors.Join(failed, k.close())
	}
	clear(h.sockets)
	clear(h.kernels)
	return errors.Join(failed, machines())
}

// Remove removes everything of the host: machines with their disks, and network namespaces. The Host is closed.
func (h *Host) Remove(ctx context.Context) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return errClosed
	}
	failed := h.machines.Remove(ctx)
	h.closeSockets(nil)
	ids, err := h.names.list()
	failed = errors.Join(failed, err, h.discard(ids))
	if h.o.Names != folder { // it is ours, and empty unless somebody else has put something there
		failed = errors.Join(failed, os.Remove(h.o.Names))
	}
	return errors.Join(failed, h.close(func() error { return nil }))
}
