package datachannel_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"

	"github.com/gorilla/websocket"

	"github.com/vennel/vennel/datachannel"
)

// service is as little of Session Manager as joins the two ends of one session: it passes on what comes, once both are there.
func service() *httptest.Server {
	var mu sync.Mutex
	both := sync.NewCond(&mu)
	ends := map[string]*websocket.Conn{}
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := new(websocket.Upgrader).Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		_, _, err = conn.ReadMessage() // the opening message
		other := map[string]string{"/agent": "/client", "/client": "/agent"}[r.URL.Path]
		mu.Lock()
		ends[r.URL.Path] = conn
		both.Broadcast()
		for ends[other] == nil {
			both.Wait()
		}
		to := ends[other]
		mu.Unlock()
		for err == nil {
			var message []byte
			if _, message, err = conn.ReadMessage(); err == nil {
				err = to.WriteMessage(websocket.BinaryMessage, message)
			}
		}
	}))
}

// node is the node's side of a session that runs a command: it says how many bytes it was given.
func node(ctx context.Context, streamURL string) error {
	session := datachannel.NewAgent(func(ctx context.Context) (datachannel.Conn, error) {
		opening := datachannel.Opening{MessageSchemaVersion: "1.0", RequestID: "1", TokenValue: "token", ClientInstanceID: "mi-0123456789abcdef0"}
		return datachannel.DialWebsocket(ctx, streamURL, nil, opening, datachannel.DialOptions{})
	}, datachannel.AgentOptions{SessionID: "alice-0123456789abcdef0", Kind: datachannel.NonInteractiveCommands})
	go func() { _ = session.Run(ctx) }() // until Finish
	if _, _, err := session.Handshake(ctx); err != nil {
		return err
	}
	input, err := io.ReadAll(session)
	if err != nil {
		return err
	}
	fmt.Fprintf(session, "%d bytes\n", len(input))
	return errors.Join(session.Exit(3), session.Finish(ctx))
}

// A client opens a session with what StartSession has answered, writes to the command's input, reads its output, and learns how
// it ended.
func Example() {
	ctx := context.Background()
	service := service()
	defer service.Close()
	streamURL := "ws" + strings.TrimPrefix(service.URL, "http")
	var nodes sync.WaitGroup
	defer nodes.Wait()
	nodes.Go(func() {
		if err := node(ctx, streamURL+"/agent"); err != nil {
			fmt.Println("node:", err)
		}
	})

	session, err := datachannel.Open(ctx, datachannel.Start{
		SessionID: "alice-0123456789abcdef0", Token: "token", StreamURL: streamURL + "/client", Target: "mi-0123456789abcdef0",
	}, datachannel.ClientOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = session.Close() }()
	_, _ = io.WriteString(session, "hello")
	_ = session.CloseWrite()
	_, _ = io.Copy(os.Stdout, session)
	exit, err := session.Wait(ctx)
	fmt.Println(session.Kind, exit.Code, err)
	// Output:
	// 5 bytes
	// NonInteractiveCommands 3 <nil>
}
