// Package resource keeps EC2's resources, of all kinds alike: a record has an id, an owner, a VPC, tags, and data, which is
// AWS's own shape of the resource and what else must be remembered of it. The kinds are listed in kinds.go; what follows from
// other resources is not kept but worked out when it is asked for.
//
// It has what the operations share: finding a resource or saying that it is not there, authorization with the resource's ARN
// and tags, DryRun, filters and pages, tags in a request, client tokens. It uses iam.
//
// Whatever is put or deleted wakes those who carry the network: see [Topic].
package resource

import (
	"cmp"
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/service/ec2/resource/internal/rows"
	"github.com/vennel/vennel/service/iam"
	"github.com/vennel/vennel/store"
)

// Topic is notified with the VPC's id, or the resource's where it belongs to none, when a record changes.
const Topic = "ec2"

// Record is a resource. T is its data.
type Record[T any] struct {
	ID, Account, Region string
	VPC                 string            // "" for none
	Tags                map[string]string // read with it; written by SetTags
	Data                T
}

// Kind is what all resources of one kind have in common.
type Kind[T any] struct {
	Name   string // in ARNs and tags: vpc, security-group, …
	Prefix string // of ids, without the hyphen
	Noun   string // in messages: vpc ID

	Code      string // before .NotFound and .Malformed in errors: InvalidVpcID
	NotFound  string // the whole code, where it is another
	Malformed string // the same of what cannot be an id

	Quota  Quota // how many an account may have in a Region; the zero value for no limit
	PerVPC Quota // how many a VPC may have
}

// Quota is a limit, its error, and what the error calls those that there may be so many of.
type Quota struct {
	Most  int
	Code  string
	Nouns string
}

// Check refuses one more than n of what the quota limits. source: aws
func (q Quota) Check(n int) error {
	if q.Most > 0 && n >= q.Most {
		return Errorf(q.Code, "The maximum number of %s has been reached.", q.Nouns)
	}
	return nil
}

// NewID makes an id with a prefix. It is random, so it is made outside of closures.
func NewID(prefix string) string {
	var b [9]byte
	rand.Read(b[:])
	return prefix + "-" + hex.EncodeToString(b[:])[:17]
}

// NewID makes an id of the kind.
func (k *Kind[T]) NewID() string { return NewID(k.Prefix) }

// idForm is what follows the hyphen of an id.
var idForm = regexp.MustCompile(`^[0-9a-f]{8}([0-9a-f]{9})?$`)

// Check refuses what cannot be an id of the kind. source: aws
func (k *Kind[T]) Check(id string) error {
	if n := len(k.Prefix) + 1; len(id) < n || id[:n] != k.Prefix+"-" || !idForm.MatchString(id[n:]) {
		return Errorf(cmp.Or(k.Malformed, k.Code+".Malformed"), "Invalid id: %q (expecting \"%s-...\")", id, k.Prefix)
	}
	return nil
}

// Missing is the error for a resource that is not there. source: aws
func (k *Kind[T]) Missing(id string) error {
	return Errorf(cmp.Or(k.NotFound, k.Code+".NotFound"), "The %s '%s' does not exist", k.Noun, id)
}

// ARN is the name of a resource as policies know it.
func (k *Kind[T]) ARN(region, account, id string) string {
	return api.ARN("ec2", region, account, k.Name+"/"+id)
}

// Errorf makes one of EC2's errors, which no model lists.
func Errorf(code, format string, args ...any) *api.Error {
	return api.NewError(code, 400, false, format, args)
}

// Find gives a resource of the caller's account and Region, or the error for one that is not there.
func (k *Kind[T]) Find(ctx context.Context, tx *store.Tx, id string) (*Record[T], error) {
	if err := k.Check(id); err != nil {
		return nil, err
	}
	call := api.CallFrom(ctx)
	r, err := k.Get(ctx, tx, id)
	if err == nil && (r == nil || r.Account != call.Account || r.Region != call.Region) {
		err = k.Missing(id)
	}
	if err != nil {
		return nil, err
	}
	return r, nil
}

// Get gives a resource, whoever's it is, or nil.
func (k *Kind[T]) Get(ctx context.Context, tx *store.Tx, id string) (*Record[T], error) {
	row, err := rows.New(tx).GetResource(ctx, id)
	if errors.Is(err, sql.ErrNoRows) || err == nil && row.Kind != k.Name {
		return nil, nil //nolint:nilnil // nothing is an answer
	} else if err != nil {
		return nil, err
	}
	r, err := k.read(&row)
	if err != nil {
		return nil, err
	}
	r.Tags, err = tagsOf(ctx, tx, id)
	return r, err
}

// read makes a record of its row.
func (k *Kind[T]) read(row *rows.Ec2Resource) (*Record[T], error) {
	r := &Record[T]{ID: row.ID, Account: row.Account, Region: row.Region, VPC: row.Vpc, Tags: map[string]string{}}
	if err := json.Unmarshal([]byte(row.Body), &r.Data); err != nil {
		return nil, fmt.Errorf("reading %s: %w", row.ID, err)
	}
	return r, nil
}

// Put writes a record; its tags are written by SetTags.
func (k *Kind[T]) Put(ctx context.Context, tx *store.Tx, r *Record[T]) error {
	body, err := json.Marshal(&r.Data, json.OmitZeroStructFields(true), json.Deterministic(true))
	if err != nil {
		return fmt.Errorf("writing %s: %w", r.ID, err)
	}
	notify(tx, r.VPC, r.ID)
	return rows.New(tx).PutResource(ctx, rows.PutResourceParams{
		ID: r.ID, Account: r.Account, Region: r.Region, Kind: k.Name, Vpc: r.VPC, Body: string(body),
	})
}

// notify wakes those who carry the network.
func notify(tx *store.Tx, vpc, id string) {
	if vpc == "" {
		vpc = id
	}
	tx.Notify(Topic, vpc)
}

// New makes a record of the caller's account and Region. What it is made of is put and tagged by Create.
func (k *Kind[T]) New(ctx context.Context, id, vpc string, data T) *Record[T] {
	call := api.CallFrom(ctx)
	return &Record[T]{ID: id, Account: call.Account, Region: call.Region, VPC: vpc, Data: data}
}

// Create puts a new record with its tags, within the quotas.
func (k *Kind[T]) Create(ctx context.Context, tx *store.Tx, r *Record[T]) error {
	if k.Quota.Most > 0 {
		n, err := rows.New(tx).CountResources(ctx, rows.CountResourcesParams{Account: r.Account, Region: r.Region, Kind: k.Name})
		if err == nil {
			err = k.Quota.Check(int(n))
		}
		if err != nil {
			return err
		}
	}
	if k.PerVPC.Most > 0 {
		others, err := k.Of(ctx, tx, r.VPC)
		if err == nil {
			err = k.PerVPC.Check(len(others))
		}
		if err != nil {
			return err
		}
	}
	if err := k.Put(ctx, tx, r); err != nil {
		return err
	}
	return SetTags(ctx, tx, r.ID, r.Tags)
}

// Delete removes a record and its tags.
func (k *Kind[T]) Delete(ctx context.Context, tx *store.Tx, r *Record[T]) error {
	notify(tx, r.VPC, r.ID)
	q := rows.New(tx)
	if _, err := q.DeleteResource(ctx, r.ID); err != nil {
		return err
	}
	return q.DeleteResourceTags(ctx, r.ID)
}

// Of lists the resources of the kind that belong to a VPC, whoever's they are, in order of their ids, without tags.
func (k *Kind[T]) Of(ctx context.Context, tx *store.Tx, vpc string) ([]*Record[T], error) {
	list, err := rows.New(tx).ListResourcesOfVPC(ctx, rows.ListResourcesOfVPCParams{Vpc: vpc, Kind: k.Name})
	return k.readAll(list, err)
}

// List lists the resources of the kind of the caller's account and Region, in order of their ids, with tags.
func (k *Kind[T]) List(ctx context.Context, tx *store.Tx) ([]*Record[T], error) {
	call, q := api.CallFrom(ctx), rows.New(tx)
	list, err := q.ListResources(ctx, rows.ListResourcesParams{Account: call.Account, Region: call.Region, Kind: k.Name})
	records, err := k.readAll(list, err)
	if err != nil || len(records) == 0 {
		return records, err
	}
	tags, err := q.ListTagsOfKind(ctx, rows.ListTagsOfKindParams{Account: call.Account, Region: call.Region, Kind: k.Name})
	byID := make(map[string]*Record[T], len(records))
	for _, r := range records {
		byID[r.ID] = r
	}
	for _, t := range tags {
		byID[t.ID].Tags[t.Name] = t.Value
	}
	return records, err
}

// everything is how many records All reads at a time.
const everything = 1000

// All lists all resources of the kind there are, in order of their ids, without tags.
func (k *Kind[T]) All(ctx context.Context, tx *store.Tx) ([]*Record[T], error) {
	var all []*Record[T]
	for after := ""; ; after = all[len(all)-1].ID {
		list, err := rows.New(tx).ListAllResources(ctx, rows.ListAllResourcesParams{Kind: k.Name, After: after, Most: everything})
		records, err := k.readAll(list, err)
		if err != nil {
			return nil, err
		}
		all = append(all, records...)
		if len(records) < everything {
			return all, nil
		}
	}
}

// readAll reads rows.
func (k *Kind[T]) readAll(list []rows.Ec2Resource, err error) ([]*Record[T], error) {
	if err != nil {
		return nil, err
	}
	records := make([]*Record[T], len(list))
	for i := range list {
		if records[i], err = k.read(&list[i]); err != nil {
			return nil, err
		}
	}
	return records, nil
}

// Allow asks whether the caller may do an action to a resource.
func (k *Kind[T]) Allow(ctx context.Context, action string, r *Record[T], about ...iam.About) error {
	if r.VPC != "" {
		about = append(about, iam.Key("ec2:vpc", api.ARN("ec2", r.Region, r.Account, "vpc/"+r.VPC)))
	}
	about = append(about, iam.ResourceTags(r.Tags), iam.Key("ec2:region", r.Region), iam.Key(k.idKey(), r.ID))
	return iam.Allow(ctx, action, k.ARN(r.Region, r.Account, r.ID), about...)
}

// idKey is the condition key that holds a resource's id: ec2:SecurityGroupID, …
func (k *Kind[T]) idKey() string { return "ec2:" + strings.ReplaceAll(k.Name, "-", "") + "id" }

// FindFor is Find and Allow: it gives a resource to which the caller may do an action. Whoever may not is not told whether
// there is such a resource.
func (k *Kind[T]) FindFor(ctx context.Context, tx *store.Tx, action, id string, about ...iam.About) (*Record[T], error) {
	r, err := k.Find(ctx, tx, id)
	if err != nil {
		call := api.CallFrom(ctx)
		nothing := &Record[T]{ID: id, Account: call.Account, Region: call.Region}
		if denied := k.Allow(ctx, action, nothing, about...); denied != nil {
			return nil, denied
		}
		return nil, err
	}
	return r, k.Allow(ctx, action, r, about...)
}

// AllowNew asks whether the caller may make a resource of the kind, with those tags: the tags need ec2:CreateTags too.
func (k *Kind[T]) AllowNew(ctx context.Context, action string, tags map[string]string, about ...iam.About) error {
	call := api.CallFrom(ctx)
	all := k.ARN(call.Region, call.Account, "*")
	about = append(about, iam.RequestTags(tags), iam.Key("ec2:region", call.Region))
	if err := iam.Allow(ctx, action, all, about...); err != nil || len(tags) == 0 {
		return err
	}
	_, operation, _ := cutColon(action)
	return iam.Allow(ctx, "ec2:CreateTags", all, append(about, iam.Key("ec2:createaction", operation))...)
}

// DryRun ends an operation that was only to be tried, after it has been authorized. source: aws
func DryRun(flag *bool) error {
	if !api.Or(flag, false) {
		return nil
	}
	return &api.Error{Code: "DryRunOperation", Status: 412, Message: "Request would have succeeded, but DryRun flag is set."}
}
