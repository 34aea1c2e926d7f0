package session

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/vennel/vennel/datachannel"
)

// errSilence says that a session had no connection for too long.
var errSilence = errors.New("The node had no connection to Systems Manager") //nolint:staticcheck,revive // it begins what the user is shown

// line makes the connections of a session, and gives up when there has been none for long.
type line struct {
	dial     datachannel.Dial
	patience time.Duration

	mu   sync.Mutex
	once bool      // there was a connection; guarded by mu
	lost time.Time // when the connection was lost that is sought, or the first was sought; guarded by mu
}

// connected says whether there ever was a connection.
func (l *line) connected() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.once
}

// broken notes that the connection is lost.
func (l *line) broken() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lost = time.Now()
}

// connect makes a connection.
func (l *line) connect(ctx context.Context) (datachannel.Conn, error) {
	conn, err := l.dial(ctx)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		l.once = true
		return conn, nil
	}
	most := l.patience
	if !l.once {
		most = min(most, firstTime)
	}
	if passed := time.Since(l.lost); passed > most && !errors.Is(err, datachannel.ErrEnded) {
		return nil, fmt.Errorf("%w for %v: %w (%w)", errSilence, passed.Round(time.Second), err, datachannel.ErrEnded)
	}
	return nil, err
}
