package instance

import (
	"context"
	"slices"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// keySearch is DescribeKeyPairs. source: model, "DescribeKeyPairsRequest"
func keySearch(names []string) *resource.Search[resource.KeyPair] {
	return &resource.Search[resource.KeyPair]{
		Kind: resource.KeyPairs, Operation: "DescribeKeyPairs",
		Only: func(r *keyPair) bool { return len(names) == 0 || slices.Contains(names, *r.Data.KeyName) },
		Complete: func(_ context.Context, _ *store.Tx, list []*keyPair) error {
			for _, r := range list {
				r.Data.Tags = resource.TagList(r.Tags)
			}
			return nil
		},
		Filters: resource.Filters[resource.KeyPair]{
			"key-pair-id": func(r *keyPair) []string { return []string{r.ID} },
			"key-name":    func(r *keyPair) []string { return resource.One(r.Data.KeyName) },
			"fingerprint": func(r *keyPair) []string { return resource.One(r.Data.KeyFingerprint) },
		},
	}
}

// DescribeKeyPairs describes key pairs.
func (s *Instances) DescribeKeyPairs(ctx context.Context, in *ec2.DescribeKeyPairsInput) (*ec2.DescribeKeyPairsOutput, error) {
	list, _, err := keySearch(in.KeyNames).Run(ctx, s.db, resource.Query{DryRun: in.DryRun, IDs: in.KeyPairIds, Filters: in.Filters})
	if err != nil {
		return nil, err
	}
	out := &ec2.DescribeKeyPairsOutput{KeyPairs: []ec2.KeyPairInfo{}}
	for _, r := range list {
		if !api.Or(in.IncludePublicKey, false) {
			r.Data.PublicKey = nil
		}
		out.KeyPairs = append(out.KeyPairs, r.Data.KeyPairInfo)
	}
	for _, name := range in.KeyNames {
		if len(in.Filters) == 0 && !slices.ContainsFunc(out.KeyPairs, func(k ec2.KeyPairInfo) bool { return *k.KeyName == name }) {
			return nil, noKey(name)
		}
	}
	return out, nil
}
