package iam

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/vennel/vennel/internal/durable"
	"github.com/vennel/vennel/service/iam/internal/rows"
	"github.com/vennel/vennel/store"
)

// administrator is the user that the first start makes.
const administrator = "admin"

// administratorPolicy is what it may do.
const administratorPolicy = "arn:aws:iam::aws:policy/AdministratorAccess"

// CheckKey says whether what the database holds was sealed with this server's key. A server with
// another key would refuse everybody.
func (i *IAM) CheckKey(ctx context.Context) error {
	return i.db.View(ctx, func(tx *store.Tx) error {
		row, err := rows.New(tx).GetAnyAccessKey(ctx)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		} else if err != nil {
			return err
		}
		if _, err := i.keys.Open(row.Secret, row.ID); err != nil {
			return errors.New("the database was made with another key than this server has")
		}
		return nil
	})
}

// OpenAdministrator makes sure that a credentials file in AWS's format exists, with a key of the
// user admin of the account. Where the file is missing it makes the user, if need be, and a new
// key: whoever lost the key deletes the file and starts the server again.
func (i *IAM) OpenAdministrator(ctx context.Context, account, file string) error {
	if _, err := os.Stat(file); err == nil {
		return nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	now := time.Now().UnixMilli()
	user := entity{
		ID: newID(kinds[kindUser].prefix, 17), Account: account, Kind: kindUser, Key: key(administrator), Name: administrator, Path: "/", Created: now,
	}
	keyID, secret := newID(prefixKey, 16), newSecret()
	sealed := i.keys.Seal([]byte(secret), keyID)
	err := i.db.Update(ctx, func(tx *store.Tx) error {
		q := rows.New(tx)
		if _, err := q.PutEntity(ctx, rows.PutEntityParams(user)); err != nil {
			return err
		}
		e, err := must(ctx, tx, account, kindUser, administrator) // it may have been there
		if err != nil {
			return err
		}
		if err := q.Attach(ctx, rows.AttachParams{Owner: e.ID, Policy: administratorPolicy, Account: account}); err != nil {
			return err
		}
		tx.Notify(topic, account)
		return q.PutAccessKey(ctx, rows.PutAccessKeyParams{
			ID: keyID, Owner: e.ID, Secret: sealed, Status: "Active", Created: now,
		})
	})
	if err != nil {
		return fmt.Errorf("making the administrator's key: %w", err)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n", keyID, secret)
	return durable.WriteFile(file, b.Bytes(), 0o600)
}
