package awstest

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/internal/seal"
	"github.com/vennel/vennel/service/iam"
	"github.com/vennel/vennel/store"
)

// As gives the context of a call of an account's administrator, for tests that call a capability's methods on a database of
// their own.
func As(t testing.TB, db *store.DB, account, region string) context.Context {
	t.Helper()
	folder := t.TempDir()
	master, err := seal.OpenMaster(folder)
	if err != nil {
		t.Fatal(err)
	}
	identity, file := iam.New(db, master, slog.New(slog.DiscardHandler)), filepath.Join(folder, "credentials")
	if err := identity.OpenAdministrator(t.Context(), account, file); err != nil {
		t.Fatal(err)
	}
	_, p, err := identity.Lookup(t.Context(), readKeys(t, file).ID, "")
	if err != nil {
		t.Fatal(err)
	}
	return api.WithCall(t.Context(), &api.Call{Account: account, Region: region, Time: time.Now(), Principal: p})
}
