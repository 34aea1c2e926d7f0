package instance

import (
	"context"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/service/iam"
	"github.com/vennel/vennel/store"
)

// ImportKeyPair keeps the public half of a key pair. Instances are told of it by their metadata; nothing else is done with it.
func (s *Instances) ImportKeyPair(ctx context.Context, in *ec2.ImportKeyPairInput) (*ec2.ImportKeyPairOutput, error) {
	const action = "ec2:ImportKeyPair"
	tags, err := resource.TagsFor(in.TagSpecifications, resource.KeyPairs.Name)
	if err != nil {
		return nil, err
	}
	call := api.CallFrom(ctx)
	arn, about := api.ARN("ec2", call.Region, call.Account, "key-pair/"+in.KeyName), []iam.About{iam.RequestTags(tags), iam.Key("ec2:region", call.Region)}
	if err := iam.Allow(ctx, action, arn, about...); err != nil {
		return nil, err
	}
	if len(tags) > 0 {
		if err := iam.Allow(ctx, "ec2:CreateTags", arn, append(about, iam.Key("ec2:createaction", "ImportKeyPair"))...); err != nil {
			return nil, err
		}
	}
	if err := resource.DryRun(in.DryRun); err != nil {
		return nil, err
	}
	if n := len(in.KeyName); n == 0 || n > mostKeyName {
		return nil, invalid("Value (%s) for parameter KeyName is invalid. It must have 1 to %d characters.", in.KeyName, mostKeyName) // source: guess
	}
	key, err := parseKey(in.PublicKeyMaterial)
	if err != nil {
		return nil, err
	}
	r := resource.KeyPairs.New(ctx, resource.KeyPairs.NewID(), "", resource.KeyPair{KeyPairInfo: ec2.KeyPairInfo{
		KeyName: &in.KeyName, KeyType: &key.kind, KeyFingerprint: &key.fingerprint, PublicKey: new(key.line + " " + in.KeyName), CreateTime: new(call.Time),
	}})
	r.Tags, r.Data.KeyPairId = tags, &r.ID
	err = s.db.Update(ctx, func(tx *store.Tx) error {
		if other, err := findKey(ctx, tx, in.KeyName); err != nil {
			return err
		} else if other != nil {
			return resource.Errorf("InvalidKeyPair.Duplicate", "The keypair '%s' already exists.", in.KeyName) // source: aws
		}
		return resource.KeyPairs.Create(ctx, tx, r)
	})
	return &ec2.ImportKeyPairOutput{KeyPairId: &r.ID, KeyName: &in.KeyName, KeyFingerprint: &key.fingerprint, Tags: resource.TagList(tags)}, err
}
