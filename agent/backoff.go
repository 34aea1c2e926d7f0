package agent

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/vennel/vennel/api"
)

// backoff is the wait after the n-th failure in a row: it doubles from one second up to a limit,
// and is drawn from its upper half, so that nodes that failed together do not come back together.
func backoff(n int, most time.Duration) time.Duration {
	d := most
	if n < 20 {
		d = min(most, time.Second<<max(n-1, 0))
	}
	return d/2 + rand.N(d/2+1)
}

// sleep waits, and says whether the time has passed before ctx ended.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// passing says whether an error may go away by itself: the network, a busy server, a server's own
// fault. source: agent
func passing(err error) bool {
	e, ok := errors.AsType[*api.Error](err)
	switch {
	case !ok:
		return err != nil
	case e.Status >= http.StatusInternalServerError:
		return true
	}
	return strings.Contains(e.Code, "Throttl") || e.Code == "TooManyRequestsException" || e.Code == "TooManyUpdates" ||
		e.Code == "RequestLimitExceeded" || strings.HasPrefix(e.Code, "ExpiredToken")
}

// refused says whether a server refuses this node for good, or until somebody changes something.
func refused(err error) bool {
	e, ok := errors.AsType[*api.Error](err)
	return ok && (strings.HasPrefix(e.Code, "AccessDenied") || e.Code == "MachineFingerprintDoesNotMatch")
}
