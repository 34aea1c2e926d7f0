package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/vennel/vennel/agent/disk"
	"github.com/vennel/vennel/agent/imds"
	"github.com/vennel/vennel/agent/session"
	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/kms"
	"github.com/vennel/vennel/api/ssmmessages"
	"github.com/vennel/vennel/datachannel"
)

// closedLook is the time between two looks whether the service has ended the session. It is a second way: mostly its own channel says so
// first.
const closedLook = 500 * time.Millisecond

// Holder is what the process of a session needs.
type Holder struct {
	State    string        // the state folder
	Session  string        // the session's id
	User     string        // see session.Session
	Metadata string        // see Config
	Patience time.Duration // see session.Session
	Log      *slog.Logger
}

// Hold is the process of a session: it holds the session until it ends, and writes down how. When ctx ends, the session does. The error is
// disk.ErrLocked when another process has the session.
func Hold(ctx context.Context, o Holder) error {
	n, err := readNode(o.State)
	if err != nil {
		return err
	}
	if !goodSessionID(o.Session) {
		return fmt.Errorf("%q is no session's id", o.Session)
	}
	short, cancel := context.WithTimeout(ctx, lockWait)
	lock, err := disk.WaitLock(short, n.sessionPath(o.Session, holderLock))
	cancel()
	if err != nil {
		return fmt.Errorf("the session cannot be taken: %w", err)
	}
	defer lock.Release()
	if disk.Exists(n.sessionPath(o.Session, resultFile)) {
		return errors.New("the session has ended")
	}
	s := &session.Session{NodeID: n.InstanceID, Version: Version, User: o.User, Patience: o.Patience, Log: o.Log}
	if err := disk.ReadJSON(n.sessionPath(o.Session, taskFile), &s.Task); err != nil {
		return err
	}
	if s.Task.SessionID != o.Session {
		return fmt.Errorf("%s is damaged", taskFile)
	}
	calls, err := n.connect()
	if err != nil {
		return err
	}
	defer calls.close()
	s.SSM, s.Keys = calls.kept(n, "ssm"), &keyService{calls.kept(n, "kms")}
	s.Dial = (&dataChannel{node: n, calls: calls, id: o.Session}).dial
	if n.isInstance() {
		s.Reserved = func(ctx context.Context) ([]netip.Addr, error) { return reserved(ctx, imds.New(o.Metadata)) }
	}
	held, end := context.WithCancelCause(ctx)
	defer end(nil)
	go func() {
		for sleep(held, closedLook) {
			if disk.Exists(n.sessionPath(o.Session, closedFile)) {
				end(session.ErrClosed)
			}
		}
	}()
	return disk.WriteJSON(n.sessionPath(o.Session, resultFile), s.Run(held))
}

// dataChannel makes the connections of a session's data channel.
type dataChannel struct {
	node  *node
	calls *calls
	id    string
}

// alreadyTerminated is in a refusal that is final. source: agent
const alreadyTerminated = "Session is already terminated"

// dial creates and opens the data channel.
func (d *dataChannel) dial(ctx context.Context) (datachannel.Conn, error) {
	var created ssmmessages.CreateDataChannelOutput
	create := d.calls.kept(d.node, "ssmmessages")
	create.most = createTime
	err := create.Call(ctx, "CreateDataChannel", &ssmmessages.CreateDataChannelInput{
		SessionId: d.id, MessageSchemaVersion: ssmmessages.SchemaVersion10, RequestId: uuid.NewString(), ClientId: new(string),
	}, &created)
	if e, ok := errors.AsType[*api.Error](err); ok && strings.Contains(e.Message, alreadyTerminated) {
		return nil, fmt.Errorf("%w: %w", datachannel.ErrEnded, err)
	} else if err != nil {
		d.calls.close() // what broke the channel may have broken idle connections, too
		return nil, err
	}
	if created.TokenValue == "" {
		return nil, errors.New("the server has created a data channel without a token")
	}
	url := d.node.endpoint("ssmmessages") + "/v1/data-channel/" + d.id + "?role=publish_subscribe"
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	if err := d.node.signKept(request, nil, "ssmmessages"); err != nil {
		return nil, err
	}
	return datachannel.DialWebsocket(ctx, "ws"+strings.TrimPrefix(url, "http"), request.Header, datachannel.Opening{
		MessageSchemaVersion: ssmmessages.SchemaVersion10, RequestID: uuid.NewString(), TokenValue: created.TokenValue, ClientInstanceID: d.node.InstanceID,
	}, datachannel.DialOptions{TLS: d.calls.tls, UserAgent: userAgent})
}

// keyService is the key service of a node's sessions.
type keyService struct{ kms *caller }

// GenerateDataKey is for clients: nodes only decrypt.
func (*keyService) GenerateDataKey(context.Context, string, int, map[string]string) (plain, encrypted []byte, err error) {
	return nil, nil, errors.New("a node makes no data keys")
}

// Decrypt decrypts a session's data key.
func (k *keyService) Decrypt(ctx context.Context, keyID string, encrypted []byte, encryptionContext map[string]string) ([]byte, error) {
	var out kms.DecryptOutput
	err := k.kms.Call(ctx, "Decrypt", &kms.DecryptInput{CiphertextBlob: encrypted, EncryptionContext: encryptionContext, KeyId: &keyID}, &out)
	if err != nil {
		return nil, fmt.Errorf("Error when decrypting data key %w", err) //nolint:staticcheck,revive // the official agent's words, which the user is shown
	}
	return out.Plaintext, nil
}

// reserved are the addresses that Amazon reserves in the block of the VPC that an instance is in. source: agent
func reserved(ctx context.Context, c *imds.Client) ([]netip.Addr, error) {
	mac, err := c.Get(ctx, "meta-data/mac")
	if err != nil {
		return nil, err
	}
	var all []netip.Addr
	for _, name := range []string{"vpc-ipv4-cidr-block", "vpc-ipv6-cidr-blocks"} {
		text, err := c.Get(ctx, "meta-data/network/interfaces/macs/"+mac+"/"+name)
		if errors.Is(err, imds.ErrNone) {
			continue // a VPC need not have both
		} else if err != nil {
			return all, err
		}
		for block := range strings.FieldsSeq(text) {
			p, err := netip.ParsePrefix(block)
			if err != nil {
				return all, fmt.Errorf("the instance metadata service calls %q a block", block)
			}
			all = append(all, session.Reserved(p)...)
		}
	}
	return all, nil
}
