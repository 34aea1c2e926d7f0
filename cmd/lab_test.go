package cmd

import (
	"context"
	"errors"
	"testing"
)

// TestUntil says that it was told to stop, not that something took long.
func TestUntil(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	asked := 0
	err := until(ctx, func() (bool, error) {
		if asked++; asked == 2 {
			stop()
		}
		return false, ctx.Err()
	})
	if !errors.Is(err, context.Canceled) || asked != 2 {
		t.Errorf("asked %d times: %v", asked, err)
	}
	refused := errors.New("refused")
	if err := until(t.Context(), func() (bool, error) { return false, refused }); !errors.Is(err, refused) {
		t.Errorf("%v", err)
	}
}
