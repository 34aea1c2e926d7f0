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
	"github.com/vennel/vennel/store/storetest"
)

// Desk is a database and who may use it, without a server: for tests of what accounts and Regions have to do with each other,
// and of what becomes of resources when a host carries them.
type Desk struct {
	T  testing.TB
	DB *store.DB

	identity *iam.IAM
	folder   string
}

// NewDesk opens a database for the length of a test. Closures run twice.
func NewDesk(t testing.TB) *Desk {
	t.Helper()
	d := &Desk{T: t, folder: t.TempDir()}
	master, err := seal.OpenMaster(d.folder)
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	if d.DB, err = (store.Options{RunTwice: true}).Open(t.Context(), storetest.URL(t), log); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.DB.Close(); err != nil {
			t.Error(err)
		}
	})
	d.identity = iam.New(d.DB, master, log)
	return d
}

// As is the context of a call that an account's administrator makes in a Region, at a time.
func (d *Desk) As(account, region string, at time.Time) context.Context {
	d.T.Helper()
	file := filepath.Join(d.folder, account)
	if err := d.identity.OpenAdministrator(d.T.Context(), account, file); err != nil {
		d.T.Fatal(err)
	}
	_, p, err := d.identity.Lookup(d.T.Context(), readKeys(d.T, file).ID, "")
	if err != nil {
		d.T.Fatal(err)
	}
	return api.WithCall(d.T.Context(), &api.Call{Time: at, Region: region, Account: account, Principal: p})
}

// Change changes what is kept, as the network's own work does.
func (d *Desk) Change(f func(tx *store.Tx) error) {
	d.T.Helper()
	if err := d.DB.Update(d.T.Context(), f); err != nil {
		d.T.Fatal(err)
	}
}
