package agenttest

import (
	"context"
	"fmt"
	"strings"

	"github.com/google/uuid"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ssm"
)

// ssmServer answers the calls of ssm that nodes make.
type ssmServer struct {
	ssm.Unimplemented
	*Plane
}

// RegisterManagedInstance makes a node.
func (s *ssmServer) RegisterManagedInstance(ctx context.Context, in *ssm.RegisterManagedInstanceInput) (out *ssm.RegisterManagedInstanceOutput, err error) {
	_, leave, err := s.enter(ctx, "RegisterManagedInstance")
	if err != nil {
		return nil, err
	}
	defer leave(&err)
	if p, ok := api.CallFrom(ctx).Principal.(nodePrincipal); ok {
		return s.registerInstance(p, in)
	}
	if code := s.codes[api.Or(in.ActivationId, "")]; code == "" || code != api.Or(in.ActivationCode, "") {
		return nil, ssm.ErrInvalidActivation("")
	}
	key, err := publicKey(in.PublicKey)
	if err != nil || api.Or(in.PublicKeyType, "") != "Rsa" {
		return nil, ssm.ErrInvalidPublicKey("%v", err)
	}
	n := &Node{ID: "mi-" + strings.ReplaceAll(uuid.NewString(), "-", "")[:17], plane: s.Plane, key: key, Fingerprint: in.Fingerprint, Commands: map[string]*Command{}, Sessions: map[string]*Session{}}
	s.nodes[n.ID] = n
	return &ssm.RegisterManagedInstanceOutput{InstanceId: &n.ID}, nil
}

// registerInstance keeps the key of an EC2 instance.
func (s *ssmServer) registerInstance(p nodePrincipal, in *ssm.RegisterManagedInstanceInput) (*ssm.RegisterManagedInstanceOutput, error) {
	n := s.nodes[p.id]
	if n == nil || p.kind != Identity || in.Fingerprint != n.ID || in.ActivationId != nil {
		return nil, Denied
	}
	key, err := publicKey(in.PublicKey)
	if err != nil {
		return nil, ssm.ErrInvalidPublicKey("%v", err)
	}
	if n.key != nil && !n.key.Equal(key) {
		return nil, ssm.ErrInstanceAlreadyRegistered("")
	}
	n.key = key
	return &ssm.RegisterManagedInstanceOutput{InstanceId: &n.ID}, nil
}

// RequestManagedInstanceRoleToken gives credentials.
func (s *ssmServer) RequestManagedInstanceRoleToken(ctx context.Context, in *ssm.RequestManagedInstanceRoleTokenInput) (out *ssm.RequestManagedInstanceRoleTokenOutput, err error) {
	n, leave, err := s.enter(ctx, "RequestManagedInstanceRoleToken")
	if err != nil {
		return nil, err
	}
	defer leave(&err)
	if in.Fingerprint != n.Fingerprint {
		return nil, ssm.ErrMachineFingerprintDoesNotMatch("")
	}
	if call := api.CallFrom(ctx); strings.HasPrefix(n.ID, "i-") {
		if n.key == nil || call.Principal.(nodePrincipal).kind != Identity || !n.HostManaged {
			return nil, Denied
		}
		if err := call.Countersigned(n.key); err != nil {
			return nil, err
		}
	}
	n.Tokens++
	id, key := s.session(n, Managed)
	update := n.UpdateKeyPair
	n.UpdateKeyPair = false
	return &ssm.RequestManagedInstanceRoleTokenOutput{
		AccessKeyId: id, SecretAccessKey: key.secret, SessionToken: key.token, TokenExpirationDate: key.expires, UpdateKeyPair: update,
	}, nil
}

// UpdateManagedInstancePublicKey replaces a node's key.
func (s *ssmServer) UpdateManagedInstancePublicKey(ctx context.Context, in *ssm.UpdateManagedInstancePublicKeyInput) (out *ssm.UpdateManagedInstancePublicKeyOutput, err error) {
	n, leave, err := s.enter(ctx, "UpdateManagedInstancePublicKey")
	if err != nil {
		return nil, err
	}
	defer leave(&err)
	key, err := publicKey(in.NewPublicKey)
	if err != nil {
		return nil, ssm.ErrInvalidPublicKey("%v", err)
	}
	n.key = key
	n.KeyUpdates++
	return &ssm.UpdateManagedInstancePublicKeyOutput{}, nil
}

// UpdateInstanceInformation remembers a heartbeat.
func (s *ssmServer) UpdateInstanceInformation(ctx context.Context, in *ssm.UpdateInstanceInformationInput) (out *ssm.UpdateInstanceInformationOutput, err error) {
	n, leave, err := s.enter(ctx, "UpdateInstanceInformation")
	if err != nil {
		return nil, err
	}
	defer leave(&err)
	if err := mustBe(n, in.InstanceId); err != nil {
		return nil, err
	}
	if p, ok := api.CallFrom(ctx).Principal.(nodePrincipal); ok && (p.kind == Identity || p.kind == Role && n.RoleDenied) {
		return nil, Denied
	}
	n.Heartbeats = append(n.Heartbeats, *in)
	return &ssm.UpdateInstanceInformationOutput{}, nil
}

// GetParameters gives parameters.
func (s *ssmServer) GetParameters(ctx context.Context, in *ssm.GetParametersInput) (out *ssm.GetParametersOutput, err error) {
	_, leave, err := s.enter(ctx, "GetParameters")
	if err != nil {
		return nil, err
	}
	defer leave(&err)
	out = new(ssm.GetParametersOutput)
	for _, name := range in.Names {
		if p, ok := s.parameters[name]; ok {
			out.Parameters = append(out.Parameters, p)
		} else {
			out.InvalidParameters = append(out.InvalidParameters, name)
		}
	}
	return out, nil
}

// GetDocument gives a document.
func (s *ssmServer) GetDocument(ctx context.Context, in *ssm.GetDocumentInput) (out *ssm.GetDocumentOutput, err error) {
	_, leave, err := s.enter(ctx, "GetDocument")
	if err != nil {
		return nil, err
	}
	defer leave(&err)
	content, ok := s.documents[in.Name]
	if !ok {
		return nil, ssm.ErrInvalidDocument("%s", fmt.Sprintf("no document %s", in.Name))
	}
	return &ssm.GetDocumentOutput{Name: &in.Name, Content: &content, Status: api.Given(ssm.DocumentStatusActive), DocumentFormat: api.Given("JSON")}, nil
}
