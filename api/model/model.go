// Package model holds the service models: AWS's own description of every operation, shape, name
// and constraint, as data. The generator makes Go types from them and the codecs read them at run
// time, so that no fact of the API is written twice.
package model

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

//go:embed *.json
var files embed.FS

// Service is the model of one service.
type Service struct {
	Metadata   Metadata              `json:"metadata"`
	Operations map[string]*Operation `json:"operations"`
	Shapes     map[string]*Shape     `json:"shapes"`
	// Secrets are further shapes whose values may not be repeated or recorded; only overlays have it.
	Secrets []string `json:"secrets"`
}

// Metadata says how the service speaks.
type Metadata struct {
	APIVersion       string `json:"apiVersion"`
	EndpointPrefix   string `json:"endpointPrefix"`
	JSONVersion      string `json:"jsonVersion"`
	Protocol         string `json:"protocol"`         // json, query, ec2, rest-xml or rest-json
	ResponseProtocol string `json:"responseProtocol"` // where answers differ from requests
	ServiceFullName  string `json:"serviceFullName"`
	ServiceID        string `json:"serviceId"`
	TargetPrefix     string `json:"targetPrefix"` // of the X-Amz-Target header
	XMLNamespace     string `json:"xmlNamespace"`
}

// Operation is one call.
type Operation struct {
	Name      string `json:"name"`
	HTTP      HTTP   `json:"http"`
	Input     *Ref   `json:"input"`
	Output    *Ref   `json:"output"`
	Errors    []Ref  `json:"errors"`
	AuthType  string `json:"authtype"`  // "" = signed; README.md lists the others
	WebSocket bool   `json:"websocket"` // upgraded to a stream of messages
}

// HTTP is where an operation of a REST protocol is found.
type HTTP struct {
	Method       string `json:"method"`
	RequestURI   string `json:"requestUri"`
	ResponseCode int    `json:"responseCode"` // 0 = 200
}

// Ref is the use of a shape: by an operation, a member, a list or a map.
type Ref struct {
	Shape         string     `json:"shape"`
	LocationName  string     `json:"locationName"`
	Location      string     `json:"location"` // header, headers, uri, querystring, statusCode; "" = the body
	QueryName     string     `json:"queryName"`
	ResultWrapper string     `json:"resultWrapper"`
	Flattened     bool       `json:"flattened"`
	Streaming     bool       `json:"streaming"`
	XMLAttribute  bool       `json:"xmlAttribute"`
	XMLNamespace  *Namespace `json:"xmlNamespace"`
	Idempotency   bool       `json:"idempotencyToken"`
	Timestamp     string     `json:"timestampFormat"`
}

// Namespace is an XML namespace and the prefix it is declared with. Some models give the URI alone.
type Namespace struct {
	URI    string `json:"uri"`
	Prefix string `json:"prefix"`
}

// UnmarshalJSONFrom takes both forms.
func (n *Namespace) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	if d.PeekKind() == '"' {
		return json.UnmarshalDecode(d, &n.URI)
	}
	type plain Namespace
	return json.UnmarshalDecode(d, (*plain)(n))
}

// Shape is one type with its constraints.
type Shape struct {
	Type         string     `json:"type"`
	Members      Members    `json:"members"`
	Required     []string   `json:"required"`
	Member       *Ref       `json:"member"` // of a list
	Key          *Ref       `json:"key"`    // of a map
	Value        *Ref       `json:"value"`  // of a map
	Min          *float64   `json:"min"`    // length or value
	Max          *float64   `json:"max"`
	Pattern      string     `json:"pattern"`
	Enum         []string   `json:"enum"`
	Sensitive    bool       `json:"sensitive"`
	Flattened    bool       `json:"flattened"`
	LocationName string     `json:"locationName"` // XML root of a structure
	XMLNamespace *Namespace `json:"xmlNamespace"`
	Timestamp    string     `json:"timestampFormat"` // iso8601, rfc822, unixTimestamp
	Payload      string     `json:"payload"`
	Union        bool       `json:"union"`
	EventStream  bool       `json:"eventstream"`
	Exception    bool       `json:"exception"`
	Fault        bool       `json:"fault"`
	Error        Error      `json:"error"`
}

// Error is what an exception says of its wire form.
type Error struct {
	Code           string `json:"code"`
	HTTPStatusCode int    `json:"httpStatusCode"`
	SenderFault    bool   `json:"senderFault"`
}

// Member is one member of a structure.
type Member struct {
	Name string
	Ref
}

// Members are a structure's members in the model's order, which is also the order of answers.
type Members []Member

// UnmarshalJSONFrom reads an object without losing its order.
func (m *Members) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	if _, err := d.ReadToken(); err != nil {
		return err
	}
	for d.PeekKind() != '}' {
		name, err := d.ReadToken()
		if err != nil {
			return err
		}
		member := Member{Name: name.String()}
		if err := json.UnmarshalDecode(d, &member.Ref); err != nil {
			return err
		}
		*m = append(*m, member)
	}
	_, err := d.ReadToken()
	return err
}

// ErrorCode is the code of an exception on the wire.
func (s *Shape) ErrorCode(name string) string {
	if s.Error.Code != "" {
		return s.Error.Code
	}
	return name
}

// Requires says whether a member of that name must be given.
func (s *Shape) Requires(name string) bool { return slices.Contains(s.Required, name) }

// loaded keeps the models that have been read, by service name.
var loaded sync.Map

// Load returns the model of a service ("ssm", "ec2", …) with its overlay, read once. A service
// without a model is a mistake of the program, so it panics.
func Load(service string) *Service {
	once, _ := loaded.LoadOrStore(service, sync.OnceValue(func() *Service {
		s, err := read(service)
		if err != nil {
			panic(fmt.Sprintf("api/model: %s: %v", service, err))
		}
		return s
	}))
	return once.(func() *Service)()
}

// secrets are the shapes of AWS's models that hold secrets and are not marked as sensitive: whoever
// reads an activation's code can register a machine, and whoever reads a token can use its session.
var secrets = map[string][]string{
	"ssm": {"ActivationCode", "TokenValue"},
	"sts": {"tokenType"},
}

// read parses a model, adds its overlay, and marks what is secret.
func read(service string) (*Service, error) {
	s, err := readFiles(service)
	if err != nil {
		return nil, err
	}
	for _, name := range secrets[service] {
		if s.Shapes[name] == nil {
			return nil, fmt.Errorf("there is no shape %s to keep secret", name)
		}
		s.Shapes[name].Sensitive = true
	}
	return s, nil
}

// readFiles parses a model and adds its overlay.
func readFiles(service string) (*Service, error) {
	text, err := files.ReadFile(service + ".json")
	if err != nil {
		return nil, err
	}
	s := new(Service)
	if err := json.Unmarshal(text, s); err != nil {
		return nil, err
	}
	text, err = files.ReadFile(service + ".overlay.json")
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	} else if err != nil {
		return nil, err
	}
	var overlay Service
	if err := json.Unmarshal(text, &overlay); err != nil {
		return nil, fmt.Errorf("overlay: %w", err)
	}
	for name, o := range overlay.Operations {
		if s.Operations[name] != nil {
			return nil, fmt.Errorf("overlay replaces operation %s", name)
		}
		s.Operations[name] = o
	}
	for name, sh := range overlay.Shapes {
		if s.Shapes[name] != nil {
			return nil, fmt.Errorf("overlay replaces shape %s", name)
		}
		s.Shapes[name] = sh
	}
	for _, name := range overlay.Secrets {
		if s.Shapes[name] == nil {
			return nil, fmt.Errorf("overlay hides shape %s, which is absent", name)
		}
		s.Shapes[name].Sensitive = true
	}
	for _, name := range overlay.Secrets {
		if s.Shapes[name] == nil {
			return nil, fmt.Errorf("overlay hides shape %s, which is absent", name)
		}
		s.Shapes[name].Sensitive = true
	}
	return s, nil
}
