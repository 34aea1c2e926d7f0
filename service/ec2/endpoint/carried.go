package endpoint

import (
	"context"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/service/iam"
	"github.com/vennel/vennel/store"
)

// carried gives an endpoint that a gateway carries into another network, with its policy of this moment. ok is false when there is
// none of that id any more, or it is no interface endpoint.
func (e *Endpoints) carried(ctx context.Context, id string) (_ api.Endpoint, ok bool, err error) {
	var found *iam.Endpoint
	err = e.db.View(ctx, func(tx *store.Tx) error {
		found = nil
		r, err := resource.Endpoints.Get(ctx, tx, id)
		if err != nil || r == nil || isGateway(r) || api.Or(r.Data.State, "") == deleting {
			return err
		}
		s, err := findService(r.Region, *r.Data.ServiceName)
		if err != nil {
			return err
		}
		p, err := e.parse(r)
		found = iam.NewEndpoint(r.ID, r.VPC, r.Account, r.Region, s.name, p)
		return err
	})
	if err != nil || found == nil {
		return nil, false, err
	}
	return found, true, nil
}
