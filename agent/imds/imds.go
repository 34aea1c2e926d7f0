// Package imds asks the instance metadata service, from which an EC2 instance learns who it is and gets its credentials. It speaks version 2
// alone, as the SSM Agent does.
package imds

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Default is where the service is on every EC2 instance.
const Default = "http://169.254.169.254"

// The limits of a request.
const (
	dialTime  = time.Second
	callTime  = 5 * time.Second
	mostBytes = 64 << 10
)

// tokenSeconds is for how long tokens are asked. source: agent
const tokenSeconds = 21600

// ErrNone says that the service has nothing of a name.
var ErrNone = errors.New("the instance has none")

// Refusal is the service's word that it cannot have the credentials of a role.
type Refusal struct{ Code, Message string }

// Error is the code and the message.
func (r *Refusal) Error() string { return r.Code + ": " + r.Message }

// Client asks the service.
type Client struct {
	endpoint string
	http     *http.Client

	mu    sync.Mutex
	token string    // guarded by mu
	until time.Time // when another token is to be asked for; guarded by mu
}

// New makes a client; endpoint is Default when it is empty. No proxy is asked: the service knows who asks by the address.
func New(endpoint string) *Client {
	if endpoint == "" {
		endpoint = Default
	}
	dialer := &net.Dialer{Timeout: dialTime}
	return &Client{
		endpoint: strings.TrimSuffix(endpoint, "/"),
		http:     &http.Client{Timeout: callTime, Transport: &http.Transport{DialContext: dialer.DialContext, DisableKeepAlives: true}},
	}
}

// Endpoint is where the service is.
func (c *Client) Endpoint() string { return c.endpoint }

// do makes one request.
func (c *Client) do(ctx context.Context, method, path, header, value string) (status int, body string, err error) {
	r, err := http.NewRequestWithContext(ctx, method, c.endpoint+"/latest/"+path, http.NoBody)
	if err != nil {
		return 0, "", err
	}
	r.Header.Set(header, value)
	answer, err := c.http.Do(r)
	if err != nil {
		return 0, "", err
	}
	b, err := io.ReadAll(io.LimitReader(answer.Body, mostBytes))
	return answer.StatusCode, string(b), errors.Join(err, answer.Body.Close())
}

// session gives a token, a new one if it is time or fresh is set.
func (c *Client) session(ctx context.Context, fresh bool) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !fresh && time.Now().Before(c.until) {
		return c.token, nil
	}
	status, body, err := c.do(ctx, http.MethodPut, "api/token", "X-aws-ec2-metadata-token-ttl-seconds", strconv.Itoa(tokenSeconds))
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("the instance metadata service gives no token: %s", http.StatusText(status))
	}
	if err != nil {
		return "", err
	}
	c.token, c.until = body, time.Now().Add(tokenSeconds*time.Second/2)
	return body, nil
}

// Get gives what the service has under a path, such as meta-data/instance-id. The error is ErrNone where there is nothing.
func (c *Client) Get(ctx context.Context, path string) (string, error) {
	for fresh := false; ; fresh = true {
		token, err := c.session(ctx, fresh)
		if err != nil {
			return "", err
		}
		status, body, err := c.do(ctx, http.MethodGet, path, "X-aws-ec2-metadata-token", token)
		switch {
		case err != nil:
			return "", err
		case status == http.StatusOK:
			return body, nil
		case status == http.StatusNotFound:
			return "", fmt.Errorf("%s: %w", path, ErrNone)
		case status != http.StatusUnauthorized || fresh:
			return "", fmt.Errorf("the instance metadata service: %s: %d %s", path, status, http.StatusText(status))
		}
	}
}

// Identity gives the instance's id and Region.
func (c *Client) Identity(ctx context.Context) (id, region string, err error) {
	if id, err = c.Get(ctx, "meta-data/instance-id"); err != nil {
		return "", "", err
	}
	text, err := c.Get(ctx, "dynamic/instance-identity/document")
	if err != nil {
		return "", "", err
	}
	var document struct {
		Region string `json:"region"`
	}
	err = json.Unmarshal([]byte(text), &document)
	return id, document.Region, err
}

// Credentials are what the service gives.
type Credentials struct {
	AccessKeyID     string `json:"AccessKeyId"`
	SecretAccessKey string
	Token           string
	Expiration      time.Time
}

// credentials reads the credentials under a path. The error is a *Refusal when the service cannot have them.
func (c *Client) credentials(ctx context.Context, path string) (*Credentials, error) {
	text, err := c.Get(ctx, path)
	if err != nil {
		return nil, err
	}
	var document struct {
		Credentials
		Refusal
	}
	if err := json.Unmarshal([]byte(text), &document); err != nil {
		return nil, errors.New("the instance metadata service gives credentials that are no JSON") // the library's error would tell parts of them
	}
	if document.Code != "Success" {
		return nil, &document.Refusal
	}
	if document.AccessKeyID == "" || document.SecretAccessKey == "" || !document.Expiration.After(time.Now()) {
		return nil, errors.New("the instance metadata service gives no credentials that are valid")
	}
	return &document.Credentials, nil
}

// Role gives the credentials of the role in the instance's profile.
func (c *Client) Role(ctx context.Context) (*Credentials, error) {
	const path = "meta-data/iam/security-credentials/"
	list, err := c.Get(ctx, path)
	if err != nil {
		return nil, err
	}
	role, _, _ := strings.Cut(strings.TrimSpace(list), "\n")
	if role == "" {
		return nil, fmt.Errorf("%s: %w", path, ErrNone)
	}
	return c.credentials(ctx, path+role)
}

// Identified gives the credentials that say which instance this is.
func (c *Client) Identified(ctx context.Context) (*Credentials, error) {
	return c.credentials(ctx, "meta-data/identity-credentials/ec2/security-credentials/ec2-instance")
}
