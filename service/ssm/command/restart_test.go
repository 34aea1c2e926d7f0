package command_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"log/slog"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vennel/vennel/api"
	iamapi "github.com/vennel/vennel/api/iam"
	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/cmd"
	"github.com/vennel/vennel/internal/awstest"
	"github.com/vennel/vennel/internal/seal"
	"github.com/vennel/vennel/service/iam"
	"github.com/vennel/vennel/service/ssm/command"
	"github.com/vennel/vennel/service/ssm/fleet"
	"github.com/vennel/vennel/store"
	"github.com/vennel/vennel/store/storetest"
)

// halting is Run Command with one row per transaction and without Run: it stands still after every
// chunk, and goes on only as far as a restart takes it, which does one chunk for every command.
type halting struct {
	*command.Commands
	t        *testing.T
	folder   string
	db       *store.DB
	identity *iam.IAM
	fleet    *fleet.Fleet
	admin    *api.Call
	nodes    []string // in order; all have the tag role=web
}

// newHalting gives Run Command with three nodes.
func newHalting(t *testing.T) *halting {
	t.Helper()
	h := &halting{t: t, folder: t.TempDir(), db: storetest.New(t)}
	h.open()
	trust := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ssm.amazonaws.com"},"Action":"sts:AssumeRole"}]}`
	_, err := h.identity.CreateRole(h.ctx(), &iamapi.CreateRoleInput{RoleName: "NodeRole", AssumeRolePolicyDocument: trust})
	h.must(err)
	a, err := h.fleet.CreateActivation(h.ctx(), &ssm.CreateActivationInput{
		IamRole: "NodeRole", RegistrationLimit: new(int64(3)), Tags: []ssm.Tag{{Key: "role", Value: "web"}},
	})
	h.must(err)
	for range 3 {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		h.must(err)
		n, err := h.fleet.RegisterManagedInstance(h.ctx(), &ssm.RegisterManagedInstanceInput{
			ActivationCode: a.ActivationCode, ActivationId: a.ActivationId, Fingerprint: awstest.Fingerprint, PublicKey: awstest.PublicKey(key),
		})
		h.must(err)
		h.nodes = append(h.nodes, *n.InstanceId)
	}
	slices.Sort(h.nodes)
	return h
}

// must ends the test when something failed.
func (h *halting) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

// open makes everything anew on what the database has.
func (h *halting) open() {
	h.t.Helper()
	log, plain := slog.New(slog.DiscardHandler), h.t.Context()
	master, err := seal.OpenMaster(h.folder)
	h.must(err)
	h.identity = iam.New(h.db, master, log)
	credentials := filepath.Join(h.folder, "credentials")
	h.must(h.identity.OpenAdministrator(plain, awstest.Account, credentials))
	keys, err := cmd.ReadCredentials(credentials)
	h.must(err)
	_, admin, err := h.identity.Lookup(plain, keys.AccessKeyID, "")
	h.must(err)
	h.admin = &api.Call{Time: time.Now(), Service: "ssm", Region: awstest.Region, Account: awstest.Account, Principal: admin}
	h.fleet = fleet.New(h.db, h.identity, nil, fleet.Config{}, log)
	h.Commands = command.New(h.db, h.identity, h.fleet, log)
	h.SetChunk(1)
}

// ctx is the administrator's.
func (h *halting) ctx() context.Context { return api.WithCall(h.t.Context(), h.admin) }

// restart begins again on what the database has, which does the next chunk.
func (h *halting) restart() {
	h.t.Helper()
	h.open()
	h.must(h.Unfinished(h.t.Context()))
}

// send sends a command to the nodes by their tag.
func (h *halting) send(atOnce, errors string) (id string) {
	h.t.Helper()
	out, err := h.SendCommand(h.ctx(), &ssm.SendCommandInput{
		DocumentName: "AWS-RunShellScript", Parameters: map[string][]string{"commands": {"a"}}, MaxConcurrency: &atOnce, MaxErrors: &errors,
		Targets: []ssm.Target{{Key: new("tag:role"), Values: []string{"web"}}},
	})
	h.must(err)
	return *out.Command.CommandId
}

// said takes what a node says.
func (h *halting) said(id, node, status string) {
	h.t.Helper()
	h.must(h.Said(h.t.Context(), id, node, status))
}

// state is how far a command is: its status, and of each node's invocation the details, "-" while
// the node is not looked up and "waits" while it has not been given its job.
func (h *halting) state(id string) (list []string) {
	h.t.Helper()
	commands, err := h.ListCommands(h.ctx(), &ssm.ListCommandsInput{CommandId: &id})
	h.must(err)
	c := commands.Commands[0]
	invocations, err := h.ListCommandInvocations(h.ctx(), &ssm.ListCommandInvocationsInput{CommandId: &id})
	h.must(err)
	if int(*c.TargetCount) != len(invocations.CommandInvocations) {
		h.t.Errorf("of %d targets %d are listed", *c.TargetCount, len(invocations.CommandInvocations))
	}
	list = []string{*c.Status, "-", "-", "-"}
	for _, i := range invocations.CommandInvocations {
		state := *i.StatusDetails
		given, err := h.Given(h.t.Context(), id, *i.InstanceId)
		h.must(err)
		if state == "Pending" && !given {
			state = "waits"
		}
		list[1+slices.Index(h.nodes, *i.InstanceId)] = state
	}
	return list
}

// want compares how far a command is.
func (h *halting) want(id string, want ...string) {
	h.t.Helper()
	if d := cmp.Diff(want, h.state(id)); d != "" {
		h.t.Errorf("the command is (-want +got):\n%s", d)
	}
}

// TestRestartBetweenChunks crashes after every chunk of work: what is left is done after the next
// start, and nothing twice.
func TestRestartBetweenChunks(t *testing.T) {
	h := newHalting(t)

	all := h.send("100%", "0")
	h.want(all, "Pending", "Pending", "-", "-")
	h.restart()
	h.want(all, "Pending", "Pending", "Pending", "-")
	h.restart()
	h.want(all, "Pending", "Pending", "Pending", "Pending")
	h.restart() // which finds that there are no more
	h.want(all, "Pending", "Pending", "Pending", "Pending")

	// All work on it when it is cancelled. The order reaches one after the other.
	for _, node := range h.nodes {
		h.said(all, node, "")
	}
	h.want(all, "InProgress", "InProgress", "InProgress", "InProgress")
	_, err := h.CancelCommand(h.ctx(), &ssm.CancelCommandInput{CommandId: all})
	h.must(err)
	h.want(all, "Cancelling", "Cancelling", "InProgress", "InProgress")
	h.restart()
	h.want(all, "Cancelling", "Cancelling", "Cancelling", "InProgress")
	h.restart()
	h.want(all, "Cancelling", "Cancelling", "Cancelling", "Cancelling")
	for _, node := range h.nodes {
		h.said(all, node, "Cancelled")
	}
	h.want(all, "Cancelled", "Cancelled", "Cancelled", "Cancelled")

	// One after the other is released.
	turns := h.send("2", "0")
	h.restart()
	h.restart()
	h.restart()
	h.want(turns, "Pending", "Pending", "Pending", "waits")
	h.said(turns, h.nodes[0], "Success")
	h.want(turns, "InProgress", "Success", "Pending", "waits")
	h.restart()
	h.want(turns, "InProgress", "Success", "Pending", "Pending")
	h.said(turns, h.nodes[1], "Success")
	h.said(turns, h.nodes[2], "Success")
	h.want(turns, "Success", "Success", "Success", "Success")

	// A node fails before all are looked up: the others are targets too, and never begin.
	failed := h.send("1", "0")
	h.said(failed, h.nodes[0], "Failed")
	h.want(failed, "InProgress", "Failed", "-", "-")
	h.restart()
	h.restart()
	h.want(failed, "InProgress", "Failed", "waits", "waits")
	h.restart() // which finds that there are no more
	h.restart()
	h.want(failed, "InProgress", "Failed", "Terminated", "waits")
	h.restart()
	h.want(failed, "Failed", "Failed", "Terminated", "Terminated")

	// A percentage is one of all targets, not of those looked up so far.
	failed = h.send("1", "34%")
	h.said(failed, h.nodes[0], "Failed")
	h.restart()
	h.restart()
	h.restart()
	h.restart()
	h.want(failed, "InProgress", "Failed", "Pending", "waits")
	h.said(failed, h.nodes[1], "Failed")
	h.restart()
	h.want(failed, "Failed", "Failed", "Failed", "Terminated")

	// What waits is cancelled one after the other.
	turns = h.send("1", "0")
	h.restart()
	h.restart()
	h.restart()
	h.want(turns, "Pending", "Pending", "waits", "waits")
	_, err = h.CancelCommand(h.ctx(), &ssm.CancelCommandInput{CommandId: turns})
	h.must(err)
	h.want(turns, "Cancelling", "Cancelled", "waits", "waits")
	h.restart()
	h.want(turns, "Cancelling", "Cancelled", "Cancelled", "waits")
	h.restart()
	h.want(turns, "Cancelled", "Cancelled", "Cancelled", "Cancelled")
}
