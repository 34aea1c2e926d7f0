package memnet_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vennel/vennel/internal/memnet"
)

// TestHTTP serves and calls over the network in memory, for an hour that takes no time.
func TestHTTP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := memnet.Listen()
		server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(time.Hour)
			_, _ = io.WriteString(w, r.RemoteAddr+" "+r.Host)
		})}
		served := make(chan error, 1)
		go func() { served <- server.Serve(l) }()
		client := &http.Client{Transport: &http.Transport{DialContext: l.Dial}}
		r, err := http.NewRequestWithContext(t.Context(), "GET", "http://anything.example/", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		if body, err := io.ReadAll(answer.Body); err != nil || string(body) != "127.0.0.1:1 anything.example" {
			t.Errorf("%s, %v", body, err)
		}
		client.CloseIdleConnections()
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
}

// TestClose ends whoever waits, on both sides, and may be called again.
func TestClose(t *testing.T) {
	l := memnet.Listen()
	var all sync.WaitGroup
	for range 10 {
		all.Go(func() {
			if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
				t.Errorf("Accept gave %v", err)
			}
		})
	}
	for range 2 {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
	all.Wait()
	if _, err := l.Dial(t.Context(), "", ""); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Dial gave %v", err)
	}
}

// TestDial gives up with its context when nobody accepts.
func TestDial(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := memnet.Listen().Dial(ctx, "", ""); !errors.Is(err, context.Canceled) {
		t.Errorf("Dial gave %v", err)
	}
}
