package endpoint

import (
	"context"
	"strings"

	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// available is the state of an endpoint that answers.
const available = "available"

// OwnName is the Regional name of a VPC's interface endpoint for a service, such as
// vpce-….ssmmessages.us-east-1.vpce.amazonaws.com; empty when it has none.
func (e *Endpoints) OwnName(ctx context.Context, vpc, service string) (name string, err error) {
	err = e.db.View(ctx, func(tx *store.Tx) error {
		name = ""
		list, err := resource.Endpoints.Of(ctx, tx, vpc)
		for _, r := range list {
			if isGateway(r) || *r.Data.State != available || len(r.Data.DnsEntries) == 0 || !strings.HasSuffix(*r.Data.ServiceName, "."+service) {
				continue
			}
			name = *r.Data.DnsEntries[0].DnsName
		}
		return err
	})
	return name, err
}
