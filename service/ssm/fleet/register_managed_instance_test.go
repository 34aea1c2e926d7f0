package fleet_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/internal/awstest"
	"github.com/vennel/vennel/service/ssm/fleet"
	"github.com/vennel/vennel/wire/sigv4"
)

// activation makes an activation with a limit.
func activation(w *awstest.World, limit int64, expires *time.Time) *ssm.CreateActivationOutput {
	w.T.Helper()
	return awstest.Call[ssm.CreateActivationOutput](w, "ssm", "CreateActivation", &ssm.CreateActivationInput{
		IamRole: "NodeRole", RegistrationLimit: &limit, ExpirationDate: expires,
	})
}

// register registers a machine with a key, unsigned.
func register(w *awstest.World, code, id, key string) (string, error) {
	w.T.Helper()
	return registerIn(w, awstest.Region, code, id, key)
}

// registerIn registers a machine in a Region.
func registerIn(w *awstest.World, region, code, id, key string) (string, error) {
	w.T.Helper()
	out := new(ssm.RegisterManagedInstanceOutput)
	c := w.Client("ssm", awstest.Keys{})
	c.Endpoint = "http://ssm." + region + ".amazonaws.com"
	err := c.Call(w.T.Context(), "RegisterManagedInstance", &ssm.RegisterManagedInstanceInput{
		ActivationCode: &code, ActivationId: &id, Fingerprint: awstest.Fingerprint, PublicKey: key, PublicKeyType: new("Rsa"),
	}, out)
	if err != nil {
		return "", err
	}
	return *out.InstanceId, nil
}

// newKey makes a key of a size.
func newKey(tb testing.TB, bits int) *rsa.PrivateKey {
	tb.Helper()
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

// TestRegisterManagedInstance walks through what may be wrong with a registration: an agent tries
// once and shows the error. source: agent
func TestRegisterManagedInstance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := awstest.New(t)
		w.Role("NodeRole", "ssm.amazonaws.com", "AmazonSSMManagedInstanceCore")
		a := activation(w, 2, nil)
		code, id := *a.ActivationCode, *a.ActivationId
		key := newKey(t, 2048)
		other := activation(w, 1, new(time.Now().Add(time.Hour)))
		elliptic, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		der, err := x509.MarshalPKIXPublicKey(&elliptic.PublicKey)
		if err != nil {
			t.Fatal(err)
		}
		for what, c := range map[string]struct{ code, id, key, want string }{
			"a wrong code":       {strings.Repeat("x", 20), id, awstest.PublicKey(key), "InvalidActivation"},
			"another's code":     {*other.ActivationCode, id, awstest.PublicKey(key), "InvalidActivation"},
			"an unknown id":      {code, "00000000-0000-4000-8000-000000000000", awstest.PublicKey(key), "InvalidActivation"},
			"a short code":       {"short", id, awstest.PublicKey(key), "ValidationException"},
			"a key of no kind":   {code, id, "bm90IGEga2V5", "InvalidPublicKey"},
			"an elliptic key":    {code, id, base64.StdEncoding.EncodeToString(der), "InvalidPublicKey"},
			"a key that is weak": {code, id, awstest.PublicKey(newKey(t, 1024)), "InvalidPublicKey"},
		} {
			if _, err := register(w, c.code, c.id, c.key); awstest.Code(err) != c.want {
				t.Errorf("%s: %v, want %s", what, err, c.want)
			}
		}
		if _, err := registerIn(w, "eu-central-1", code, id, awstest.PublicKey(key)); awstest.Code(err) != "InvalidActivation" {
			t.Errorf("in another Region: %v", err)
		}
		one, err := register(w, code, id, awstest.PublicKey(key))
		if err != nil || !strings.HasPrefix(one, "mi-") || len(one) != 20 {
			t.Errorf("registered as %q, %v", one, err)
		}
		if _, err := register(w, code, id, awstest.PublicKey(key)); awstest.Code(err) != "PublicKeyAlreadyRegistered" {
			t.Errorf("the same key twice: %v", err)
		}
		two, err := register(w, code, id, awstest.PublicKey(newKey(t, 2048)))
		if err != nil || two == one {
			t.Errorf("the second registers as %q, %v", two, err)
		}
		if _, err := register(w, code, id, awstest.PublicKey(newKey(t, 2048))); awstest.Code(err) != "InvalidActivation" {
			t.Errorf("the third of two: %v", err)
		}
		time.Sleep(2 * time.Hour)
		if _, err := register(w, *other.ActivationCode, *other.ActivationId, awstest.PublicKey(newKey(t, 2048))); awstest.Code(err) != "ActivationExpired" {
			t.Errorf("an expired activation: %v", err)
		}
		count := awstest.Call[ssm.DescribeActivationsOutput](w, "ssm", "DescribeActivations", &ssm.DescribeActivationsInput{})
		for _, a := range count.ActivationList {
			if *a.ActivationId == id && *a.RegistrationsCount != 2 {
				t.Errorf("the activation counts %d registrations, want 2", *a.RegistrationsCount)
			}
		}
	})
}

// TestRegisterManagedInstanceAtOnce lets more machines register at once than the activation has
// places.
func TestRegisterManagedInstanceAtOnce(t *testing.T) {
	w := awstest.New(t)
	w.Role("NodeRole", "ssm.amazonaws.com", "AmazonSSMManagedInstanceCore")
	a := activation(w, 3, nil)
	keys := make([]string, 8)
	for i := range keys {
		keys[i] = awstest.PublicKey(newKey(t, 2048))
	}
	var group sync.WaitGroup
	var mu sync.Mutex
	registered, refused := 0, 0
	for _, key := range keys {
		group.Go(func() {
			_, err := register(w, *a.ActivationCode, *a.ActivationId, key)
			mu.Lock()
			defer mu.Unlock()
			switch awstest.Code(err) {
			case "InvalidActivation":
				refused++
			case "":
				registered++
			default:
				t.Error(err)
			}
		})
	}
	group.Wait()
	if registered != 3 || refused != 5 {
		t.Errorf("%d registered and %d were refused, want 3 and 5", registered, refused)
	}
}

// TestRequestManagedInstanceRoleToken gives credentials to the node alone, for as long as it is
// registered, unchanged, and its role may be assumed. source: agent
func TestRequestManagedInstanceRoleToken(t *testing.T) {
	w := awstest.New(t)
	n := w.Register(awstest.NodeConfig{})
	token := func(fingerprint string) (*ssm.RequestManagedInstanceRoleTokenOutput, error) {
		out := new(ssm.RequestManagedInstanceRoleTokenOutput)
		return out, n.SignedByKey("RequestManagedInstanceRoleToken", &ssm.RequestManagedInstanceRoleTokenInput{Fingerprint: fingerprint}, out)
	}
	out, err := token(awstest.Fingerprint)
	if err != nil || out.AccessKeyId == "" || out.SecretAccessKey == "" || out.SessionToken == "" || out.UpdateKeyPair || time.Until(out.TokenExpirationDate) < 50*time.Minute {
		t.Errorf("the token is %+v, %v", out, err)
	}
	if _, err := token("11111111-2222-4333-8444-000000000000"); awstest.Code(err) != "MachineFingerprintDoesNotMatch" {
		t.Errorf("a machine that has changed: %v", err)
	}
	right := n.Key()
	n.SetKey(newKey(t, 2048))
	if _, err := token(awstest.Fingerprint); awstest.Code(err) != "InvalidSignatureException" {
		t.Errorf("a stranger's key: %v", err)
	}
	n.SetKey(right)

	// Signed by somebody else, or not at all, it is nobody's business.
	for what, keys := range map[string]awstest.Keys{"the administrator": w.Admin, "the node's role": n.Keys(), "nobody": {}} {
		err := w.Client("ssm", keys).Call(t.Context(), "RequestManagedInstanceRoleToken",
			&ssm.RequestManagedInstanceRoleTokenInput{Fingerprint: awstest.Fingerprint}, &ssm.RequestManagedInstanceRoleTokenOutput{})
		if code := awstest.Code(err); code != "AccessDeniedException" && code != "MissingAuthenticationTokenException" {
			t.Errorf("signed by %s: %v", what, err)
		}
	}
	// The node's key opens nothing else.
	if err := n.SignedByKey("DescribeInstanceInformation", &ssm.DescribeInstanceInformationInput{}, &ssm.DescribeInstanceInformationOutput{}); awstest.Code(err) != "UnrecognizedClientException" {
		t.Errorf("another operation with the node's key: %v", err)
	}

	w.Role("Gone", "ssm.amazonaws.com", "AmazonSSMManagedInstanceCore")
	awstest.Call[ssm.UpdateManagedInstanceRoleOutput](w, "ssm", "UpdateManagedInstanceRole", &ssm.UpdateManagedInstanceRoleInput{InstanceId: n.ID, IamRole: "Gone"})
	w.DeleteRole("Gone", "AmazonSSMManagedInstanceCore")
	if _, err := token(awstest.Fingerprint); awstest.Code(err) != "AccessDeniedException" || !strings.Contains(err.Error(), "The role Gone does not exist") {
		t.Errorf("a role that is gone: %v", err)
	}

	awstest.Call[ssm.DeregisterManagedInstanceOutput](w, "ssm", "DeregisterManagedInstance", &ssm.DeregisterManagedInstanceInput{InstanceId: n.ID})
	if _, err := token(awstest.Fingerprint); awstest.Code(err) != "AccessDeniedException" {
		t.Errorf("a node that is not registered: %v; agents wait longest after AccessDenied", err)
	}
}

// TestChunkedAndSignedByKey registers and gets credentials with requests as an agent sends them: the
// body comes in chunks, and no length of it is given or signed. The agent looks into all members of
// the answer, so that none may be left out. source: agent
func TestChunkedAndSignedByKey(t *testing.T) {
	w := awstest.New(t)
	w.Role("NodeRole", "ssm.amazonaws.com", "AmazonSSMManagedInstanceCore")
	a := activation(w, 1, nil)
	key := newKey(t, 2048)
	send := func(operation, body string, sign func(*http.Request)) map[string]json.RawMessage {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://ssm."+awstest.Region+".amazonaws.com/", io.NopCloser(strings.NewReader(body)))
		if err != nil {
			t.Fatal(err)
		}
		r.ContentLength = -1
		r.Header.Set("Content-Type", "application/x-amz-json-1.1")
		r.Header.Set("X-Amz-Target", "AmazonSSM."+operation)
		sign(r)
		answer, err := w.HTTP.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		var members map[string]json.RawMessage
		if err := json.Unmarshal(text, &members); err != nil || answer.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s with %s: %v", operation, answer.Status, text, err)
		}
		return members
	}
	registered := send("RegisterManagedInstance", `{"ActivationCode":"`+*a.ActivationCode+`","ActivationId":"`+*a.ActivationId+
		`","Fingerprint":"`+awstest.Fingerprint+`","PublicKey":"`+awstest.PublicKey(key)+`","PublicKeyType":"Rsa"}`, func(*http.Request) {})
	var id string
	if err := json.Unmarshal(registered["InstanceId"], &id); err != nil {
		t.Fatal(err)
	}

	body := `{"Fingerprint":"` + awstest.Fingerprint + `"}`
	token := send("RequestManagedInstanceRoleToken", body, func(r *http.Request) {
		if err := sigv4.SignRSA(r, sigv4.HashPayload([]byte(body)), id, key, awstest.Region, "ssm", time.Now()); err != nil {
			t.Fatal(err)
		}
		if authorization := r.Header.Get("Authorization"); strings.Contains(authorization, "content-length") {
			t.Errorf("the length is signed: %s", authorization)
		}
	})
	for member, form := range map[string]string{
		"AccessKeyId": `^"ASIA[A-Z0-9]+"$`, "SecretAccessKey": `^"[^"]+"$`, "SessionToken": `^"[^"]+"$`,
		"TokenExpirationDate": `^\d{10}(\.\d+)?$`, "UpdateKeyPair": `^false$`,
	} {
		if !regexp.MustCompile(form).Match(token[member]) {
			t.Errorf("%s is %q in the answer", member, token[member])
		}
	}
}

// TestUpdateManagedInstancePublicKey changes a node's key at once: from then on only the new one is
// good, and of two changes signed with the same old key one wins. source: agent
func TestUpdateManagedInstancePublicKey(t *testing.T) {
	w := awstest.NewWith(t, fleet.Config{RotateKeysAfter: time.Nanosecond})
	n := w.Register(awstest.NodeConfig{})
	out := new(ssm.RequestManagedInstanceRoleTokenOutput)
	if err := n.SignedByKey("RequestManagedInstanceRoleToken", &ssm.RequestManagedInstanceRoleTokenInput{Fingerprint: awstest.Fingerprint}, out); err != nil || !out.UpdateKeyPair {
		t.Errorf("the node is not told to change its key: %+v, %v", out.UpdateKeyPair, err)
	}
	old, next := n.Key(), newKey(t, 2048)
	change := func(to *rsa.PrivateKey) error {
		return n.SignedByKey("UpdateManagedInstancePublicKey", &ssm.UpdateManagedInstancePublicKeyInput{
			NewPublicKey: awstest.PublicKey(to), NewPublicKeyType: "Rsa",
		}, &ssm.UpdateManagedInstancePublicKeyOutput{})
	}
	if err := change(next); err != nil {
		t.Fatal(err)
	}
	if err := change(newKey(t, 2048)); awstest.Code(err) != "InvalidSignatureException" {
		t.Errorf("a change signed with the old key: %v", err)
	}
	n.SetKey(next)
	n.Token()
	if err := change(old); err != nil { // an agent that could not save the new key rolls back
		t.Errorf("rolling back: %v", err)
	}
}

// TestNodeSpeaksForItself refuses a node's credentials for another node, on every call and line.
func TestNodeSpeaksForItself(t *testing.T) {
	w := awstest.New(t)
	n, other := w.Node(awstest.NodeConfig{}), w.Node(awstest.NodeConfig{})
	err := w.Client("ssm", n.Keys()).Call(t.Context(), "UpdateInstanceInformation", &ssm.UpdateInstanceInformationInput{InstanceId: other.ID}, &ssm.UpdateInstanceInformationOutput{})
	if awstest.Code(err) != "AccessDeniedException" || !strings.Contains(err.Error(), "cannot be used for "+other.ID) {
		t.Errorf("a heartbeat for another: %v", err)
	}
	n.Drop()
	if _, err := n.ChannelToken(other.ID); awstest.Code(err) != "AccessDeniedException" {
		t.Errorf("a token for the channel of another: %v", err)
	}
	token, err := other.ChannelToken(other.ID)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Open(other.ID, token); !errors.Is(err, websocket.ErrBadHandshake) {
		t.Errorf("the channel of another, with its token: %v", err)
	}
	n.Connect()
	if err := n.ReplyTo("aws.ssm.00000000-0000-4000-8000-000000000000."+other.ID, []byte(`{"documentStatus":"Success"}`)); err == nil {
		t.Error("a reply for another was acknowledged")
	}
	if err := n.Ended(); err != nil {
		t.Errorf("a node that speaks for another keeps its channel: %v", err)
	}
	if err := w.Client("ssm", w.Admin).Call(t.Context(), "UpdateInstanceInformation", &ssm.UpdateInstanceInformationInput{InstanceId: "mi-0123456789abcdef0"}, &ssm.UpdateInstanceInformationOutput{}); awstest.Code(err) != "InvalidInstanceId" {
		t.Errorf("a heartbeat of a node that is not there: %v", err)
	}
}

// TestEmptyPingForgetsNothing holds the first ping of an agent, which says little, to what the node
// has said before. source: agent
func TestEmptyPingForgetsNothing(t *testing.T) {
	w := awstest.New(t)
	n := w.Node(awstest.NodeConfig{})
	err := w.Client("ssm", n.Keys()).Call(t.Context(), "UpdateInstanceInformation", &ssm.UpdateInstanceInformationInput{
		InstanceId: n.ID, AgentName: new("amazon-ssm-agent"), AgentVersion: new("3.3.1000.0"), PlatformType: new("Linux"), SSMConnectionChannel: new(""),
	}, &ssm.UpdateInstanceInformationOutput{})
	if err != nil {
		t.Fatal(err)
	}
	list := awstest.Call[ssm.DescribeInstanceInformationOutput](w, "ssm", "DescribeInstanceInformation", &ssm.DescribeInstanceInformationInput{})
	got := list.InstanceInformationList[0]
	if *got.AgentVersion != "3.3.1000.0" || *got.ComputerName != "node.test" || *got.PlatformVersion != "12" {
		t.Errorf("after the empty ping the node is %s %s %s", *got.AgentVersion, *got.ComputerName, *got.PlatformVersion)
	}
}

// TestPingsAtOnce lets heartbeats that say different things come at once: everything is kept.
func TestPingsAtOnce(t *testing.T) {
	w := awstest.New(t)
	n := w.Register(awstest.NodeConfig{})
	var group sync.WaitGroup
	for _, in := range []ssm.UpdateInstanceInformationInput{
		{AgentVersion: new("3.3.987.0")}, {AgentStatus: new("Active")}, {AgentName: new("amazon-ssm-agent")}, {PlatformType: new("Linux")},
		{PlatformName: new("Debian GNU/Linux")}, {PlatformVersion: new("12")}, {ComputerName: new("node.test")}, {IPAddress: new("10.0.0.7")},
	} {
		in.InstanceId = n.ID
		group.Go(func() {
			if err := w.Client("ssm", n.Keys()).Call(t.Context(), "UpdateInstanceInformation", &in, &ssm.UpdateInstanceInformationOutput{}); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	got := awstest.Call[ssm.DescribeInstanceInformationOutput](w, "ssm", "DescribeInstanceInformation", &ssm.DescribeInstanceInformationInput{}).InstanceInformationList[0]
	for member, value := range map[string]*string{
		"AgentVersion": got.AgentVersion, "PlatformType": got.PlatformType, "PlatformName": got.PlatformName,
		"PlatformVersion": got.PlatformVersion, "ComputerName": got.ComputerName, "IPAddress": got.IPAddress,
	} {
		if value == nil || *value == "" {
			t.Errorf("%s is lost", member)
		}
	}
}

// TestSecondChannel ends the older of two control channels, so that an agent never waits on one that
// nobody serves, as happens to a machine whose registration was copied.
func TestSecondChannel(t *testing.T) {
	w := awstest.New(t)
	n := w.Node(awstest.NodeConfig{})
	token, err := n.ChannelToken(n.ID)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Open(n.ID, token); err != nil {
		t.Fatal(err)
	}
	if err := n.Ended(); err != nil {
		t.Error(err)
	}
}
