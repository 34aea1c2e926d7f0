package relay_test

import (
	"reflect"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/service/ssm/session/relay"
)

// FuzzRelay has two peers say anything in any order, come and go, and answer pings or not: the relay's books stay right,
// nothing is held that is not to be, no peer is sent what the other has not said, and nothing is left when it is over.
func FuzzRelay(f *testing.F) {
	f.Add([]byte{0})
	f.Add([]byte("\x00\x01\x10\x00\x20\x00\x11\x01\x08\x00"))
	f.Add([]byte{0, 0, 1, 0, 3, 1, 2, 0, 4, 0, 5, 0, 3, 1, 1, 0, 6, 0, 7, 9, 3, 2})
	f.Add([]byte{3, 5, 3, 4, 3, 3, 3, 2, 3, 1, 3, 0, 0, 0, 1, 0, 4, 5, 4, 0, 0, 0, 5, 0, 6, 0})
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(text) > 400 {
			return
		}
		synctest.Test(t, func(t *testing.T) { fuzz(t, text) })
	})
}

// fuzz does what a text says, two bytes at a time.
func fuzz(t *testing.T, text []byte) {
	r := relay.New("s", "t", new(news), relay.Options{Begins: len(text)%2 == 0, Window: 4 << 10})
	r.Watch(0, func(int64, []byte) {})
	var sockets [2]*socket
	var served sync.WaitGroup
	said := map[uuid.UUID]*api.Message{}
	down := func(role relay.Role) (pings int) { // what an end was sent
		s := sockets[role]
		if s == nil {
			return 0
		}
		s.down.mu.Lock()
		defer s.down.mu.Unlock()
		for _, i := range s.down.items {
			switch {
			case i.m == nil:
				pings++
			case i.m.Type == data(1-role) && !reflect.DeepEqual(i.m, said[i.m.ID]):
				t.Errorf("%d was sent %+v, which nobody said", role, i.m)
			}
		}
		return pings
	}
	say := func(role relay.Role, m *api.Message) {
		said[m.ID] = m
		if s := sockets[role]; s != nil {
			_ = s.up.put(item{m: m})
		}
	}
	for ; len(text) >= 2; text = text[2:] {
		role, n := relay.Role(text[0]&1), int64(int8(text[1]))
		switch text[0] >> 1 & 15 {
		case 0: // it connects
			down(role)
			sockets[role] = newSocket(1 << 30)
			s := sockets[role]
			served.Go(func() { _ = r.Serve(s, role) })
		case 1:
			say(role, frame(data(role), n, 1, string(make([]byte, text[1]))))
		case 2:
			say(role, frame("acknowledge", 0, 0, `{"AcknowledgedMessageSequenceNumber":`+strconv.FormatInt(n, 10)+`}`))
		case 3: // many frames
			for i := range n {
				say(role, frame(data(role), i, 11, string(make([]byte, 100))))
			}
		case 4: // many acknowledgements
			for i := range n {
				say(role, frame("acknowledge", 0, 0, `{"AcknowledgedMessageSequenceNumber":`+strconv.FormatInt(i, 10)+`}`))
			}
		case 5: // it answers what it was asked
			if s := sockets[role]; s != nil {
				s.down.mu.Lock()
				items := s.down.items
				s.down.items, s.down.bytes = nil, 0
				s.down.mu.Unlock()
				for _, i := range items {
					if i.pong {
						_ = s.up.put(item{answered: i.answered})
					}
				}
			}
		case 6: // it is cut off
			if s := sockets[role]; s != nil {
				down(role)
				s.kill()
				sockets[role] = nil
			}
		case 7:
			time.Sleep(time.Duration(text[1]) * 100 * time.Millisecond)
			r.Tick(time.Now())
		case 8:
			say(role, frame(data(role), n, uint32(text[1]%14), `{"RequestedClientActions":[],"ProcessedClientActions":[{"ActionType":"VennelExtensions","ActionStatus":1}]}`))
		case 9:
			say(role, frame("agent_session_state", 0, 0, `{"SessionState":"Terminating"}`))
		case 10:
			say(role, frame(data(role), n<<uint(text[1]%60), 1, "far"))
		case 11:
			if n == 11 {
				r.Close("closed")
			}
		case 12:
			if n == 12 {
				r.Finish("finished", time.Minute)
			}
		}
		synctest.Wait()
		if err := r.Check(); err != nil {
			t.Fatal(err)
		}
		down(role)
		if pings := down(1 - role); pings > 1000 {
			t.Errorf("%d pings", pings)
		}
	}
	r.Close("over")
	for _, s := range sockets {
		if s != nil {
			s.kill()
		}
	}
	served.Wait()
	for role := range sockets {
		if bytes, frames, _, _ := r.Held(relay.Role(role)); bytes != 0 || frames != 0 {
			t.Errorf("%d bytes of %d frames are held when it is over", bytes, frames)
		}
	}
}
