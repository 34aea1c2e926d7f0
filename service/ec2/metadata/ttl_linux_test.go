package metadata_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"syscall"
	"testing"

	"github.com/vennel/vennel/service/ec2/metadata"
)

// TestHopLimit reads the hop limit of the connection on which each answer goes: only a token's is the instance's. source: userguide
func TestHopLimit(t *testing.T) {
	w := newWorld()
	w.list[netip.MustParseAddr("127.0.0.1")] = bare
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := serve(t, w).Handler("vpc-1")
	type key struct{}
	limits := make(chan int, 1)
	server := &http.Server{
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return metadata.ConnContext(context.WithValue(ctx, key{}, c), c)
		},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			h.ServeHTTP(w, r)
			raw, err := r.Context().Value(key{}).(*net.TCPConn).SyscallConn()
			if err == nil {
				err = raw.Control(func(fd uintptr) {
					n, err := syscall.GetsockoptInt(int(fd), syscall.IPPROTO_IP, syscall.IP_TTL)
					if err != nil {
						t.Error(err)
					}
					limits <- n
				})
			}
			if err != nil {
				t.Error(err)
			}
		}),
	}
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	defer func() {
		_ = server.Close()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	}()
	do := func(method, path string, headers ...string) int {
		r, err := http.NewRequestWithContext(t.Context(), method, "http://"+l.Addr().String()+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(headers); i += 2 {
			r.Header.Set(headers[i], headers[i+1])
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		if strings.Contains(answer.Status, "50") {
			t.Error(answer.Status)
		}
		return <-limits
	}
	if n := do(http.MethodPut, "/latest/api/token", lifeHeader, "60"); n != 2 {
		t.Errorf("a token travels %d hops", n)
	}
	if n := do(http.MethodPut, "/latest/api/token"); n != 2 {
		t.Errorf("the refusal of a token travels %d hops", n)
	}
	if n := do(http.MethodGet, "/latest/meta-data/"); n < 32 {
		t.Errorf("another answer travels %d hops", n)
	}
}
