package instance

import (
	"context"
	"encoding/base64"
	"errors"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// errNoHost is the error of asking machines something where nothing carries any.
var errNoHost = errors.New("there is no host")

// GetConsoleOutput gives the last of what an instance's machine has written to its console, as it is now.
func (s *Instances) GetConsoleOutput(ctx context.Context, in *ec2.GetConsoleOutputInput) (*ec2.GetConsoleOutputOutput, error) {
	out := &ec2.GetConsoleOutputOutput{InstanceId: &in.InstanceId, Timestamp: new(api.CallFrom(ctx).Time)}
	over := false
	err := s.db.View(ctx, func(tx *store.Tx) error {
		r, err := findFor(ctx, tx, "ec2:GetConsoleOutput", in.InstanceId)
		if err != nil {
			return err
		}
		over = is(r, ec2.InstanceStateNameTerminated)
		return resource.DryRun(in.DryRun)
	})
	if err != nil || over {
		return out, err
	}
	if s.host == nil {
		return nil, unreachable(errNoHost)
	}
	text, err := s.host.Console(ctx, in.InstanceId)
	if err != nil {
		return nil, unreachable(err)
	}
	if len(text) > 0 {
		out.Output = new(base64.StdEncoding.EncodeToString(text))
	}
	return out, nil
}

// unreachable is the error of a host that does not answer. source: userguide, "Error codes for the Amazon EC2 API"
func unreachable(cause error) error {
	return &api.Error{Code: "Unavailable", Status: 503, Fault: true, Message: "The server is overloaded and can't handle the request.", Cause: cause}
}
