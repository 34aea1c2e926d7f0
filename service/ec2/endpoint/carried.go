package endpoint

import (
	"context"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// carried gives an interface endpoint that a gateway carries into another network, with its policy of this moment. ok is false when
// there is none of that id any more.
func (e *Endpoints) carried(ctx context.Context, id string) (_ api.Endpoint, ok bool, err error) {
	var r *record
	err = e.db.View(ctx, func(tx *store.Tx) (err error) {
		r, err = resource.Endpoints.Get(ctx, tx, id)
		return err
	})
	if err != nil || r == nil || isGateway(r) {
		return nil, false, err
	}
	w, err := e.wayOf(ctx, r.VPC)
	if err != nil || w.all[id] == nil {
		return nil, false, err
	}
	return w.all[id].ByGateway(), true, nil
}
