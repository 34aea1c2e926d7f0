package document_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/cmd"
	"github.com/vennel/vennel/internal/awstest"
	"github.com/vennel/vennel/internal/seal"
	"github.com/vennel/vennel/service/iam"
	"github.com/vennel/vennel/service/ssm/document"
	"github.com/vennel/vennel/service/ssm/document/internal/rows"
	"github.com/vennel/vennel/store"
	"github.com/vennel/vennel/store/storetest"
)

// TestScripts runs the operation scripts.
func TestScripts(t *testing.T) { awstest.Script(t, "testdata") }

// The accounts of these tests: one has documents, the others may use some of them.
const (
	owner    = "111111111111"
	friend   = "222222222222"
	stranger = "333333333333"
)

// one and two are contents of a document.
const (
	one = `{"schemaVersion": "2.2", "mainSteps": [{"action": "aws:runShellScript", "name": "a", "inputs": {"runCommand": ["echo one"]}}]}`
	two = `{"schemaVersion": "2.2", "mainSteps": [{"action": "aws:runShellScript", "name": "a", "inputs": {"runCommand": ["echo two"]}}]}`
)

// world is the capability with administrators of several accounts.
type world struct {
	*document.Documents
	db     *store.DB
	admins map[string]context.Context
}

// newWorld makes one.
func newWorld(t *testing.T) *world {
	t.Helper()
	folder := t.TempDir()
	w := &world{db: storetest.New(t), admins: map[string]context.Context{}}
	w.Documents = document.New(w.db)
	master, err := seal.OpenMaster(folder)
	if err != nil {
		t.Fatal(err)
	}
	identity := iam.New(w.db, master, slog.New(slog.DiscardHandler))
	for _, account := range []string{owner, friend, stranger} {
		file := filepath.Join(folder, account)
		if err := identity.OpenAdministrator(t.Context(), account, file); err != nil {
			t.Fatal(err)
		}
		keys, err := cmd.ReadCredentials(file)
		if err != nil {
			t.Fatal(err)
		}
		_, principal, err := identity.Lookup(t.Context(), keys.AccessKeyID, "")
		if err != nil {
			t.Fatal(err)
		}
		w.admins[account] = api.WithCall(t.Context(), &api.Call{
			Time: time.Unix(1e9, 0), Service: "ssm", Region: awstest.Region, Account: account, Principal: principal,
		})
	}
	return w
}

// do does an operation as the administrator of an account; it must not fail.
func do[In, Out any](t *testing.T, w *world, account string, operation func(context.Context, *In) (*Out, error), in *In) *Out {
	t.Helper()
	out, err := operation(w.admins[account], in)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// code gives the code of an error.
func code(err error) string {
	if e, ok := errors.AsType[*api.Error](err); ok {
		return e.Code
	}
	return fmt.Sprint(err)
}

// share lets accounts use a document of the owner.
func (w *world) share(t *testing.T, name, version string, accounts ...string) {
	t.Helper()
	do(t, w, owner, w.ModifyDocumentPermission, &ssm.ModifyDocumentPermissionInput{
		Name: name, PermissionType: "Share", AccountIdsToAdd: accounts, SharedDocumentVersion: api.Given(version),
	})
}

// names lists what an account sees of an owner's documents.
func (w *world) names(t *testing.T, account, of string) (out []string) {
	t.Helper()
	list := do(t, w, account, w.ListDocuments, &ssm.ListDocumentsInput{Filters: []ssm.DocumentKeyValuesFilter{{Key: new("Owner"), Values: []string{of}}}})
	for _, d := range list.DocumentIdentifiers {
		if *d.Owner != "Amazon" {
			out = append(out, *d.Name)
		}
	}
	return out
}

// TestShare lets other accounts use what is shared with them, and nothing else. source: model,
// userguide ("Using shared SSM documents"); how the shared version limits the others is a guess
func TestShare(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"Own", "Lent", "Open", "Newest", "Whole"} {
		do(t, w, owner, w.CreateDocument, &ssm.CreateDocumentInput{Name: name, Content: one, VersionName: new("one"), Tags: []ssm.Tag{{Key: "secret", Value: "tag"}}})
		do(t, w, owner, w.UpdateDocument, &ssm.UpdateDocumentInput{Name: name, Content: two, VersionName: new("two")})
	}
	w.share(t, "Lent", "", friend)
	w.share(t, "Open", "", "All")
	w.share(t, "Newest", "$LATEST", friend)
	w.share(t, "Whole", "$ALL", friend)

	arn := func(name string) string { return document.ARN(awstest.Region, owner, name) }
	tests := []struct{ account, name, version, want string }{
		{friend, arn("Own"), "", "InvalidDocument"},
		{friend, "Lent", "", "InvalidDocument"},
		{friend, arn("Lent"), "", "1"},
		{friend, arn("Lent"), "$DEFAULT", "1"},
		{friend, arn("Lent"), "1", "1"},
		{friend, arn("Lent"), "2", "InvalidDocumentVersion"},
		{friend, arn("Lent"), "$LATEST", "InvalidDocumentVersion"},
		{stranger, arn("Lent"), "", "InvalidDocument"},
		{stranger, arn("Open"), "", "1"},
		{friend, arn("Newest"), "", "2"},
		{friend, arn("Newest"), "$LATEST", "2"},
		{friend, arn("Newest"), "1", "InvalidDocumentVersion"},
		{friend, arn("Whole"), "", "1"},
		{friend, arn("Whole"), "2", "2"},
		{friend, arn("Whole"), "3", "InvalidDocumentVersion"},
		{owner, arn("Lent"), "2", "2"},
		{friend, document.ARN("eu-west-1", owner, "Lent"), "", "InvalidDocument"},
		{friend, document.ARN(awstest.Region, owner, "AWS-Noop"), "", "InvalidDocument"},
		{friend, document.ARN(awstest.Region, "", "AWS-Noop"), "", "1"},
		{friend, "AWS-Noop", "$LATEST", "1"},
		{friend, document.ARN(awstest.Region, "", "Lent"), "", "InvalidDocument"},
		{friend, "arn:aws:ssm:us-east-1", "", "InvalidDocument"},
		{friend, "arn:aws-cn:ssm:us-east-1:" + owner + ":document/Lent", "", "InvalidDocument"},
	}
	for _, tt := range tests {
		got := ""
		out, err := w.GetDocument(w.admins[tt.account], &ssm.GetDocumentInput{Name: tt.name, DocumentVersion: api.Given(tt.version)})
		if got = code(err); err == nil {
			got = *out.DocumentVersion
		}
		if got != tt.want {
			t.Errorf("GetDocument %s %q as %s gives %s, want %s", tt.name, tt.version, tt.account, got, tt.want)
		}
		err = w.db.View(t.Context(), func(tx *store.Tx) error {
			c, err := document.Resolve(t.Context(), tx, tt.account, awstest.Region, tt.name, tt.version)
			if got = code(err); err == nil {
				got = c.Version
			}
			return nil
		})
		if err != nil || got != tt.want {
			t.Errorf("Resolve %s %q as %s gives %s (%v), want %s", tt.name, tt.version, tt.account, got, err, tt.want)
		}
	}

	// A version's name is held to the same.
	if _, err := w.GetDocument(w.admins[friend], &ssm.GetDocumentInput{Name: arn("Lent"), VersionName: new("two")}); code(err) != "InvalidDocumentVersion" {
		t.Errorf("the version named two of what is lent: %v", err)
	}
	// Others see the document under its ARN, without the owner's tags.
	description := do(t, w, friend, w.DescribeDocument, &ssm.DescribeDocumentInput{Name: arn("Lent")}).Document
	if *description.Name != arn("Lent") || *description.Owner != owner || len(description.Tags) != 0 {
		t.Errorf("%s of %s with the tags %v", *description.Name, *description.Owner, description.Tags)
	}
	for name, want := range map[string][]string{"Lent": {"1"}, "Newest": {"2"}, "Whole": {"2", "1"}} {
		var got []string
		for _, v := range do(t, w, friend, w.ListDocumentVersions, &ssm.ListDocumentVersionsInput{Name: arn(name)}).DocumentVersions {
			got = append(got, *v.DocumentVersion)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("versions of %s (-want +got)\n%s", name, diff)
		}
	}
	lists := []struct {
		account, owner string
		want           []string
	}{
		{owner, "Self", []string{"Lent", "Newest", "Open", "Own", "Whole"}},
		{owner, "Private", nil},
		{owner, "Public", []string{"Open"}},
		{friend, "Self", nil},
		{friend, "Private", []string{arn("Lent"), arn("Newest"), arn("Whole")}},
		{friend, "Public", []string{arn("Open")}},
		{friend, "All", []string{arn("Lent"), arn("Newest"), arn("Open"), arn("Whole")}},
		{stranger, "all", []string{arn("Open")}},
	}
	for _, tt := range lists {
		if diff := cmp.Diff(tt.want, w.names(t, tt.account, tt.owner)); diff != "" {
			t.Errorf("documents of %s as %s sees them (-want +got)\n%s", tt.owner, tt.account, diff)
		}
	}

	// Whoever may use it may not change it, not even under its ARN.
	if _, err := w.DeleteDocument(w.admins[friend], &ssm.DeleteDocumentInput{Name: arn("Whole")}); code(err) != "InvalidDocumentOperation" {
		t.Errorf("deleting what is shared: %v", err)
	}
	// What is no longer shared is gone for the others.
	do(t, w, owner, w.ModifyDocumentPermission, &ssm.ModifyDocumentPermissionInput{Name: "Lent", PermissionType: "Share", AccountIdsToRemove: []string{friend}})
	if _, err := w.GetDocument(w.admins[friend], &ssm.GetDocumentInput{Name: arn("Lent")}); code(err) != "InvalidDocument" {
		t.Errorf("what is no longer shared: %v", err)
	}
}

// TestResolve gives what a command needs.
func TestResolve(t *testing.T) {
	w := newWorld(t)
	do(t, w, owner, w.CreateDocument, &ssm.CreateDocumentInput{Name: "Mine", DocumentFormat: new("YAML"), Tags: []ssm.Tag{{Key: "a", Value: "b"}},
		Content: "schemaVersion: '2.2'\nmainSteps:\n- action: aws:runShellScript\n  name: a\n  inputs:\n    runCommand: [echo]\n"})
	do(t, w, owner, w.CreateDocument, &ssm.CreateDocumentInput{Name: "Port", DocumentType: new("Session"),
		Content: `{"schemaVersion":"1.0","sessionType":"Port","properties":{"portNumber":"22"}}`})
	err := w.db.View(t.Context(), func(tx *store.Tx) error {
		c, err := document.Resolve(t.Context(), tx, owner, awstest.Region, "Mine", "")
		if err != nil {
			return err
		}
		if c.Name != "Mine" || c.Version != "1" || c.Type != "Command" || c.Format != "YAML" || c.Owner != owner || c.Tags["a"] != "b" ||
			c.ARN != "arn:aws:ssm:us-east-1:111111111111:document/Mine" || len(c.Hash) != 64 || len(c.Parsed.Steps) != 1 || !strings.HasPrefix(string(c.Text), "{") {
			t.Errorf("%+v %s", c, c.Text)
		}
		if c, err = document.Resolve(t.Context(), tx, owner, awstest.Region, "Port", "1"); err != nil {
			return err
		}
		if c.Type != "Session" || len(c.Parsed.Parameters) != 0 || c.Format != "JSON" {
			t.Errorf("%+v", c)
		}
		if c, err = document.Resolve(t.Context(), tx, owner, awstest.Region, "AWS-RunShellScript", ""); err != nil {
			return err
		}
		if c.Owner != "Amazon" || c.ARN != "arn:aws:ssm:us-east-1::document/AWS-RunShellScript" || c.Parsed == nil || c.Tags != nil {
			t.Errorf("%+v", c)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// TestName tells of documents whether they exist or not.
func TestName(t *testing.T) {
	for _, tt := range []struct{ given, name, arn string }{
		{"Mine", "Mine", "arn:aws:ssm:us-east-1:111111111111:document/Mine"},
		{"AWS-RunShellScript", "AWS-RunShellScript", "arn:aws:ssm:us-east-1::document/AWS-RunShellScript"},
		{"AmazonCloudWatch-ManageAgent", "AmazonCloudWatch-ManageAgent", "arn:aws:ssm:us-east-1::document/AmazonCloudWatch-ManageAgent"},
		{"arn:aws:ssm:us-east-1::document/AWS-Noop", "AWS-Noop", "arn:aws:ssm:us-east-1::document/AWS-Noop"},
		{"arn:aws:ssm:eu-west-1:222222222222:document/Theirs", "Theirs", "arn:aws:ssm:eu-west-1:222222222222:document/Theirs"},
		{"arn:aws:s3:::bucket", "arn:aws:s3:::bucket", "arn:aws:s3:::bucket"},
	} {
		if name, arn := document.Name(owner, awstest.Region, tt.given); name != tt.name || arn != tt.arn {
			t.Errorf("%s is %s, %s; want %s, %s", tt.given, name, arn, tt.name, tt.arn)
		}
	}
}

// TestLimits fills an account and a document. source: userguide, quotas; model (the words)
func TestLimits(t *testing.T) {
	w := newWorld(t)
	do(t, w, owner, w.CreateDocument, &ssm.CreateDocumentInput{Name: "Full", Content: one})
	err := w.db.Update(t.Context(), func(tx *store.Tx) error {
		q := rows.New(tx)
		for i := range int64(498) {
			if _, err := q.PutDocument(t.Context(), rows.PutDocumentParams{Account: owner, Region: awstest.Region, Name: fmt.Sprint("Doc", i), Type: "Command"}); err != nil {
				return err
			}
		}
		for i := range int64(998) {
			if err := q.PutVersion(t.Context(), rows.PutVersionParams{Account: owner, Region: awstest.Region, Document: "Full", Version: i + 2}); err != nil {
				return err
			}
		}
		for i := range int64(1000) {
			err := q.PutShare(t.Context(), rows.PutShareParams{Account: owner, Region: awstest.Region, Document: "Full", Grantee: fmt.Sprintf("9%011d", i), Version: "$DEFAULT"})
			if err != nil {
				return err
			}
		}
		return q.SetVersions(t.Context(), rows.SetVersionsParams{Account: owner, Region: awstest.Region, Name: "Full", DefaultVersion: 1, LatestVersion: 999, Versions: 999})
	})
	if err != nil {
		t.Fatal(err)
	}
	do(t, w, owner, w.CreateDocument, &ssm.CreateDocumentInput{Name: "Last", Content: one})
	if _, err := w.CreateDocument(w.admins[owner], &ssm.CreateDocumentInput{Name: "More", Content: one}); code(err) != "DocumentLimitExceeded" {
		t.Errorf("the 501st document: %v", err)
	}
	do(t, w, friend, w.CreateDocument, &ssm.CreateDocumentInput{Name: "More", Content: one})
	do(t, w, owner, w.UpdateDocument, &ssm.UpdateDocumentInput{Name: "Full", Content: two})
	if _, err := w.UpdateDocument(w.admins[owner], &ssm.UpdateDocumentInput{Name: "Full", Content: one}); code(err) != "DocumentVersionLimitExceeded" {
		t.Errorf("the 1001st version: %v", err)
	}
	if _, err := w.ModifyDocumentPermission(w.admins[owner], &ssm.ModifyDocumentPermissionInput{Name: "Full", PermissionType: "Share", AccountIdsToAdd: []string{friend}}); code(err) != "DocumentPermissionLimit" {
		t.Errorf("the 1001st account: %v", err)
	}
	// The size is that of the text, to the byte.
	pad := func(size int) string { return one + strings.Repeat(" ", size-len(one)) }
	if _, err := w.CreateDocument(w.admins[friend], &ssm.CreateDocumentInput{Name: "Huge", Content: pad(64<<10 + 1)}); code(err) != "MaxDocumentSizeExceeded" {
		t.Errorf("a byte more than 64 KB: %v", err)
	}
	do(t, w, friend, w.CreateDocument, &ssm.CreateDocumentInput{Name: "Big", Content: pad(64 << 10)})
	if out := do(t, w, friend, w.GetDocument, &ssm.GetDocumentInput{Name: "Big"}); *out.Content != pad(64<<10) {
		t.Error("it came back as something else")
	}
}

// TestAtOnce lets many make the same document and its versions at the same time.
func TestAtOnce(t *testing.T) {
	w := newWorld(t)
	const many = 8
	codes := make([]string, many)
	each := func(f func(i int) error) map[string]int {
		var all sync.WaitGroup
		for i := range many {
			all.Go(func() { codes[i] = code(f(i)) })
		}
		all.Wait()
		count := map[string]int{}
		for _, c := range codes {
			count[c]++
		}
		return count
	}
	content := func(i int) string { return strings.Replace(one, "echo one", fmt.Sprint("echo ", i), 1) }
	created := each(func(i int) error {
		_, err := w.CreateDocument(w.admins[owner], &ssm.CreateDocumentInput{Name: "Race", Content: content(i)})
		return err
	})
	if diff := cmp.Diff(map[string]int{"<nil>": 1, "DocumentAlreadyExists": many - 1}, created); diff != "" {
		t.Errorf("creating (-want +got)\n%s", diff)
	}
	updated := each(func(i int) error {
		_, err := w.UpdateDocument(w.admins[owner], &ssm.UpdateDocumentInput{Name: "Race", Content: content(many + i)})
		return err
	})
	if diff := cmp.Diff(map[string]int{"<nil>": many}, updated); diff != "" {
		t.Errorf("updating (-want +got)\n%s", diff)
	}
	var versions []string
	for _, v := range do(t, w, owner, w.ListDocumentVersions, &ssm.ListDocumentVersionsInput{Name: "Race"}).DocumentVersions {
		versions = append(versions, *v.DocumentVersion)
	}
	if diff := cmp.Diff([]string{"9", "8", "7", "6", "5", "4", "3", "2", "1"}, versions); diff != "" {
		t.Errorf("versions (-want +got)\n%s", diff)
	}
}
