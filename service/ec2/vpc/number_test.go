package vpc

import (
	"testing"
	"time"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
	"github.com/vennel/vennel/store/storetest"
)

// TestNumbers makes VPCs of several accounts and Regions, which one host may carry: no two have the same number, and what comes
// with each is there once.
func TestNumbers(t *testing.T) {
	db := storetest.New(t)
	seen := map[int]string{}
	for _, account := range []string{"111111111111", "222222222222"} {
		for _, region := range []string{"us-east-1", "eu-west-1"} {
			for range 2 {
				ctx := api.WithCall(t.Context(), &api.Call{Account: account, Region: region, Time: time.Now()})
				ids := newIDs()
				var made *record
				err := db.Update(ctx, func(tx *store.Tx) (err error) {
					made, err = create(ctx, tx, ids, defaultRange, nil, false)
					return err
				})
				if err != nil {
					t.Fatal(err)
				}
				if other := seen[made.Data.Number]; other != "" || made.Data.Number < 1 {
					t.Errorf("%s has number %d, as %s", made.ID, made.Data.Number, other)
				}
				seen[made.Data.Number] = made.ID
				err = db.View(ctx, func(tx *store.Tx) error {
					groups, err := resource.SecurityGroups.Of(ctx, tx, made.ID)
					if err != nil {
						return err
					}
					acls, err := resource.NetworkAcls.Of(ctx, tx, made.ID)
					if err != nil {
						return err
					}
					tables, err := resource.RouteTables.Of(ctx, tx, made.ID)
					if len(groups) != 1 || len(acls) != 1 || len(tables) != 1 {
						t.Errorf("%d groups, %d ACLs, %d route tables", len(groups), len(acls), len(tables))
					}
					return err
				})
				if err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}
