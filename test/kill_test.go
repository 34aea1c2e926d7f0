package test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vennel/vennel/api/iam"
)

// killRounds is how often the server is killed.
const killRounds = 20

// TestKillServer kills the server in a burst of writes, again and again. Whatever it had acknowledged
// is there after the next start.
func TestKillServer(t *testing.T) {
	s, err := startServer(filepath.Join(t.TempDir(), "data"))
	if err != nil {
		t.Fatal(err)
	}
	to := &target{"vennel", strings.TrimPrefix(s.HTTP, "http://"), administrator(t, s), 0}
	acknowledged := map[string]bool{} // names of users, of which an account can have 5,000
	for round := range killRounds {
		ctx, cancel := context.WithCancel(t.Context())
		var mu sync.Mutex
		var writers sync.WaitGroup
		for writer := range 8 {
			client := to.client("iam")
			writers.Go(func() {
				for n := 0; ctx.Err() == nil; n++ {
					name := fmt.Sprintf("kill-%d-%d-%d", round, writer, n)
					if client.Call(ctx, "CreateUser", &iam.CreateUserInput{UserName: name}, &iam.CreateUserOutput{}) == nil {
						mu.Lock()
						acknowledged[name] = true
						mu.Unlock()
					}
				}
			})
		}
		time.Sleep(20*time.Millisecond + rand.N(80*time.Millisecond)) // the moment is to be any
		s.kill()
		cancel()
		writers.Wait()
		if err := s.restart(); err != nil {
			t.Fatal(err)
		}
	}
	found := map[string]bool{}
	in := &iam.ListUsersInput{MaxItems: new(int64(1000))}
	for {
		out := new(iam.ListUsersOutput)
		if err := to.client("iam").Call(t.Context(), "ListUsers", in, out); err != nil {
			t.Fatal(err)
		}
		for _, u := range out.Users {
			found[u.UserName] = true
		}
		if in.Marker = out.Marker; in.Marker == nil {
			break
		}
	}
	for name := range acknowledged {
		if !found[name] {
			t.Errorf("%s was acknowledged and is lost", name)
		}
	}
	t.Logf("%d users were acknowledged in %d rounds, %d are there", len(acknowledged), killRounds, len(found))
	if len(acknowledged) < killRounds {
		t.Error("too few writes for the test to mean anything")
	}
	if err := s.stop(); err != nil {
		t.Error(err)
	}
}
