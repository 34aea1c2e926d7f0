// Package linux makes a [dataplane.Config] true on one Linux host, with real packets: a network namespace for each VPC, which is
// its implicit router, and one for each NAT gateway, on-premises network and machine, and for the internet's side; virtual
// Ethernet devices between them; routing by mark for the route tables; a packet filter for security groups and network ACLs; and
// the listening sockets on which the services, resolvers and the instance metadata are answered by whoever asks for them.
//
// What is in the kernel stays there when the process ends, and the next Host with the same names takes it over. Nothing is
// changed that is right already, so connections go on. What is not ours in the kernel is not touched: ours are namespaces whose
// names begin with the prefix, and everything in them but in machines, whose root may add what it likes.
//
// The layers, from the top: plan.go says what a Config comes to; linux.go finds the differences and puts them in order;
// kernel.go and names.go talk to the kernel; nft and machine are packages of their own.
package linux

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/vennel/vennel/dataplane"
	"github.com/vennel/vennel/dataplane/linux/machine"
)

// Options says where a Host keeps what is not in the kernel.
type Options struct {
	Dir    string // of machines, and of the names of network namespaces when they are in no folder of the system's
	Prefix string // how the names of network namespaces begin: letters and digits and a hyphen; another one for each Host
	Log    *slog.Logger

	// Names is the folder of the names of network namespaces: "" for the one that `ip netns` reads where this process may
	// write it, otherwise for one in Dir.
	Names string

	Self string // what machines' first process executes; "" for the program that runs
	CA   []byte // PEM certificates that machines trust, too
	Base uint32 // the first user id of machines; 0 for a default
}

// Host makes Configs true.
type Host struct {
	o        Options
	names    *names
	machines *machine.Launcher
	id       string // another one for each Host

	look     sync.RWMutex // guards kernels, sockets and changed against those who only look, whom a change must not keep waiting
	mu       sync.Mutex   // one change at a time; guards what follows
	changes  atomic.Int64 // of the kernel, ever
	reading  atomic.Bool  // somebody reads the flows
	closed   bool
	config   *dataplane.Config  // that was set last, without the machines that are to end
	leaving  []string           // those
	memory   *memory            // of the one that was planned last
	plan     *plan              // that was made true last
	swept    bool               // nothing of ours is there that should not be
	kernels  map[string]*kernel // of the spaces that are ours alone
	inodes   map[string]uint64  // of every space's namespace
	applied  map[string]*state  // what is in a space; without one it is in doubt
	cables   map[cable]far      // what is plugged in; as seen from the first end
	sockets  map[dataplane.Socket]*socket
	changed  chan struct{}     // closed and made anew when namespaces come and go
	released map[string]uint64 // machines that were let go on, by namespace
}

// folder is where `ip netns` keeps names.
const folder = "/run/netns"

// New opens a host. It changes nothing of the network.
func New(o Options) (*Host, error) {
	if !regexp.MustCompile(`^[a-z][a-z0-9]{0,15}-$`).MatchString(o.Prefix) {
		return nil, fmt.Errorf("the prefix %q is not letters and digits and a hyphen", o.Prefix)
	}
	if o.Dir == "" || o.Log == nil {
		return nil, errors.New("a host needs a folder and a log")
	}
	shared := false
	if o.Names == "" {
		o.Names = filepath.Join(o.Dir, "netns")
		if shared = privileged(); shared {
			o.Names = folder
		}
	}
	at, err := newNames(o.Names, o.Prefix, shared)
	if err != nil {
		return nil, err
	}
	l, err := machine.New(machine.Options{Dir: filepath.Join(o.Dir, "machines"), Log: o.Log, Self: o.Self, CA: o.CA, Base: o.Base})
	if err != nil {
		return nil, err
	}
	return &Host{
		o: o, names: at, machines: l, id: rand.Text(),
		kernels: map[string]*kernel{}, inodes: map[string]uint64{}, applied: map[string]*state{},
		cables: map[cable]far{}, sockets: map[dataplane.Socket]*socket{}, changed: make(chan struct{}), released: map[string]uint64{},
	}, nil
}

// privileged says whether this process is root, and not only in a user namespace.
func privileged() bool {
	all, err := os.ReadFile("/proc/self/uid_map")
	return err == nil && os.Geteuid() == 0 && slices.Equal(strings.Fields(string(all)), []string{"0", "0", "4294967295"})
}

// errClosed is the error of whatever is asked of a Host that has been closed.
var errClosed = errors.New("the host is closed")

// Set makes a Config true, as far as it can, and says how far.
func (h *Host) Set(ctx context.Context, c *dataplane.Config) (dataplane.Status, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return dataplane.Status{}, errClosed
	}
	h.config, h.leaving = parted(c)
	return h.converge(ctx)
}

// parted takes the machines that are to end out of a Config.
func parted(c *dataplane.Config) (*dataplane.Config, []string) {
	var leaving []string
	rest := *c
	rest.Machines = slices.DeleteFunc(slices.Clone(c.Machines), func(m dataplane.Machine) bool {
		if m.Gone {
			leaving = append(leaving, m.ID)
		}
		return m.Gone
	})
	return &rest, leaving
}

// work is what is done about one space.
type work struct {
	*space
	kernel *kernel
	before *state // what was in it when it was left alone; nil when that is in doubt
	doubt  bool
	have   *seen // what is there, and as work goes on, what is left of it
	broken bool  // its packet filter is not what it should be: nothing new is let in
	failed bool
	fresh  []string // links that have just been made
}

// converge makes the Config that was set last true.
func (h *Host) converge(ctx context.Context) (dataplane.Status, error) {
	status := dataplane.Status{Failures: map[string]string{}, Machines: map[string]dataplane.MachineStatus{}, Sockets: map[string]string{}}
	p := h.think(h.launch(ctx, &status))
	if err := ctx.Err(); err != nil {
		return status, err
	}
	for i := range h.config.Machines {
		if m := &h.config.Machines[i]; len(m.Init) == 0 {
			status.Machines[m.ID] = dataplane.MachineStatus{Running: p.spaces[m.ID] != nil, Boot: m.Boot}
		}
	}
	maps.Copy(status.Failures, p.failures)
	said := failures(status.Failures)
	jobs, err := h.jobs(ctx, p, said)
	defer func() { h.done(jobs) }()
	if err != nil {
		return status, err
	}
	var mu sync.Mutex
	fail := failing(func(w *work, id string, err error) {
		mu.Lock()
		defer mu.Unlock()
		w.failed = true
		said.add(id, "%v", err)
	})
	sockets := p.config.Sockets()
	h.closeSockets(sockets)
	each := func(do func(*work)) error { return parallel(ctx, slices.Collect(maps.Values(jobs)), do) }
	if err := each(func(w *work) { w.observe(fail) }); err != nil {
		return status, err
	}
	var lost []cable
	if p != h.plan || h.doubtful(jobs) {
		lost = h.compare(p, jobs, said, fail)
	}
	if err := each(func(w *work) { w.retire(fail) }); err != nil {
		return status, err
	}
	if err := each(func(w *work) { w.found(fail); h.guard(ctx, w, fail) }); err != nil {
		return status, err
	}
	if err := h.plug(ctx, jobs, lost, fail); err != nil {
		return status, err
	}
	if err := each(func(w *work) { w.complete(fail) }); err != nil {
		return status, err
	}
	if err := each(func(w *work) { w.settle(ctx, fail) }); err != nil {
		return status, err
	}
	for id, w := range jobs {
		if !w.failed && !w.broken {
			h.applied[id] = &w.state
		}
	}
	if err := h.sweep(p); err != nil {
		return status, err
	}
	h.plan = p
	h.openSockets(sockets, said)
	for at, s := range h.sockets {
		status.Sockets[at.VPC] = h.id + " " + strconv.FormatUint(s.inode, 10)
	}
	h.release(p, said)
	return status, nil
}

// think plans the Config that was set last; when only groups are different from before, it changes the plan.
func (h *Host) think(absent map[string]bool) *plan {
	if m := h.memory; m != nil {
		if groups, ok := m.same(h.config, absent); ok {
			for _, i := range groups {
				was := m.config.VPCs[i].Groups
				m.config.VPCs[i].Groups = cloneGroups(h.config.VPCs[i].Groups)
				m.plan.regroup(&m.config.VPCs[i], was)
			}
			return m.plan
		}
	}
	c := clone(h.config)
	h.memory = &memory{c, absent, newPlan(c, absent)}
	return h.memory.plan
}

// doubtful says whether it is in doubt what is in some space.
func (h *Host) doubtful(jobs map[string]*work) bool {
	for _, w := range jobs {
		if w.doubt {
			return true
		}
	}
	return false
}

// parallel does something for every element, a few at a time. It ends early when the context does, between two elements.
func parallel[T any](ctx context.Context, list []T, do func(T)) error {
	var g errgroup.Group
	g.SetLimit(2 * runtime.GOMAXPROCS(0))
	for _, e := range list {
		if ctx.Err() != nil {
			break
		}
		g.Go(func() error { do(e); return nil })
	}
	return errors.Join(g.Wait(), ctx.Err())
}
