// Package setting keeps Systems Manager's service settings: values that change how the service works for an account in a Region, each with
// a default. The capability that acts on a setting says what it can be, and reads it inside its own transaction; a setting that nothing
// acts on there is not.
//
// It uses no sibling.
package setting

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"time"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/service/ssm/setting/internal/rows"
	"github.com/vennel/vennel/store"
)

// Kind is what a setting can be.
type Kind struct {
	Default string
	Check   func(ctx context.Context, tx *store.Tx, value string) error // refuses a value; the default is never asked about
}

// Settings is the capability.
type Settings struct {
	db    *store.DB
	kinds map[string]Kind // by id
}

// New gives the capability for the settings that there are.
func New(db *store.DB, kinds map[string]Kind) *Settings { return &Settings{db, kinds} }

// Value is what a setting has been changed to, inside the caller's transaction; ok is false while it is the default.
func Value(ctx context.Context, tx *store.Tx, account, region, id string) (value string, ok bool, err error) {
	row, err := rows.New(tx).GetSetting(ctx, rows.GetSettingParams{Account: account, Region: region, ID: id})
	if errors.Is(err, sql.ErrNoRows) {
		return "", false, nil
	}
	return row.Value, err == nil, err
}

// The values of a setting's status. source: userguide, "ServiceSetting"
const (
	byDefault  = "Default"
	customized = "Customized"
)

// resource begins the resource part of a setting's ARN.
const resource = "servicesetting/"

// name takes the id of a request apart, which is a path or an ARN: the id that settings have here, the ARN, and whether both are about the
// caller's account and Region.
func name(call *api.Call, given string) (id, arn string, own bool) {
	if service, region, account, rest, ok := api.SplitARN(given); ok {
		id, found := strings.CutPrefix(rest, resource)
		return "/" + id, given, found && service == "ssm" && region == call.Region && account == call.Account
	}
	return given, api.ARN("ssm", call.Region, call.Account, resource+strings.TrimPrefix(given, "/")), true
}

// find finds the kind of the setting that a request names.
func (s *Settings) find(id string, own bool) (Kind, error) {
	kind, ok := s.kinds[id]
	if !ok || !own { // source: model
		return kind, ssm.ErrServiceSettingNotFound(
			"The specified service setting wasn't found. Either the service name or the setting hasn't been provisioned by the Amazon Web Services service team.")
	}
	return kind, nil
}

// describe writes a setting as answers have it.
func describe(ctx context.Context, tx *store.Tx, kind Kind, id, arn string) (*ssm.ServiceSetting, error) {
	call := api.CallFrom(ctx)
	row, err := rows.New(tx).GetSetting(ctx, rows.GetSettingParams{Account: call.Account, Region: call.Region, ID: id})
	if errors.Is(err, sql.ErrNoRows) {
		return &ssm.ServiceSetting{SettingId: &id, SettingValue: &kind.Default, LastModifiedUser: new("System"), ARN: &arn, Status: new(byDefault)}, nil
	}
	return &ssm.ServiceSetting{
		SettingId: &id, SettingValue: &row.Value, LastModifiedDate: new(time.UnixMilli(row.Modified).UTC()), LastModifiedUser: &row.ModifiedBy,
		ARN: &arn, Status: new(customized),
	}, err
}
