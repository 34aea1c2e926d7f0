package linux

import (
	"context"
	"errors"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/vennel/vennel/dataplane"
	"github.com/vennel/vennel/dataplane/linux/nft"
)

// A Host is what the vocabulary calls one.
var _ dataplane.Host = (*Host)(nil)

// errRead is the error of a second reader of the flows.
var errRead = errors.New("somebody reads the flows already")

// Flows gives decisions as they are made, until the context ends. There is one reader at a time, because the kernel has one
// place for it.
func (h *Host) Flows(ctx context.Context, f func(flows []dataplane.Flow, lost int)) error {
	if !h.reading.CompareAndSwap(false, true) {
		return errRead
	}
	defer h.reading.Store(false)
	g, ctx := errgroup.WithContext(ctx)
	var mu sync.Mutex // one call at a time
	readers := map[string]reader{}
	for ctx.Err() == nil {
		h.look.RLock()
		changed := h.changed
		for id, r := range readers {
			if k := h.kernels[id]; k == nil || k != r.kernel {
				r.stop()
				delete(readers, id)
			}
		}
		for id, k := range h.kernels {
			if k.kind != kindVPC || readers[id].kernel != nil {
				continue
			}
			ns, err := h.names.open(id)
			if err != nil { // it is about to be put right
				continue
			}
			alone, stop := context.WithCancel(ctx)
			readers[id] = reader{k, stop}
			g.Go(func() error {
				err := nft.Flows(alone, ns, k.filter.table, func(flows []dataplane.Flow, lost int) {
					mu.Lock()
					defer mu.Unlock()
					f(flows, lost)
				})
				if alone.Err() != nil && errors.Is(err, alone.Err()) {
					err = nil
				}
				return errors.Join(err, ns.Close())
			})
		}
		h.look.RUnlock()
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
	for _, r := range readers {
		r.stop()
	}
	return g.Wait()
}

// reader is somebody who reads the flows of one VPC.
type reader struct {
	kernel *kernel
	stop   context.CancelFunc
}
