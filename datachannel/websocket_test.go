package datachannel

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/gorilla/websocket"
)

// TestCloseWrites hands over what was collected, and says goodbye after it.
func TestCloseWrites(t *testing.T) {
	got := make(chan error, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got <- func() error {
			conn, err := (&websocket.Upgrader{}).Upgrade(w, r, nil)
			if err != nil {
				return err
			}
			defer func() { _ = conn.Close() }()              // it is told how it ended
			if _, _, err := conn.ReadMessage(); err != nil { // the opening
				return err
			}
			_, b, err := conn.ReadMessage()
			if err != nil {
				return err
			}
			if _, err := ParseFrame(b); err != nil {
				return err
			}
			_, _, err = conn.ReadMessage()
			return err
		}()
	}))
	defer server.Close()
	conn, err := DialWebsocket(t.Context(), "ws"+strings.TrimPrefix(server.URL, "http"), nil, Opening{}, DialOptions{})
	if err != nil {
		t.Fatal(err)
	}
	w := conn.(*websocketConn)
	if err := w.collect(&Message{Type: typeAck, Schema: 1, Created: time.Now(), ID: uuid.New()}); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if bye, ok := errors.AsType[*websocket.CloseError](<-got); !ok || bye.Code != websocket.CloseNormalClosure {
		t.Errorf("it ended with %v", bye)
	}
}
