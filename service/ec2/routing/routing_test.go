package routing_test

import (
	"sync"
	"testing"

	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/internal/awstest"
)

// TestScripts runs the operation scripts.
func TestScripts(t *testing.T) { awstest.Script(t, "testdata") }

// TestAllocateAddressAtOnce takes addresses at the same time: nobody has another's, and nobody more than the quota allows.
func TestAllocateAddressAtOnce(t *testing.T) {
	w := awstest.New(t)
	const callers = 9
	errs := make([]error, callers)
	outs := make([]ec2.AllocateAddressOutput, callers)
	var group sync.WaitGroup
	for i := range callers {
		group.Go(func() {
			errs[i] = w.Client("ec2", w.Admin).Call(t.Context(), "AllocateAddress", new(ec2.AllocateAddressInput), &outs[i])
		})
	}
	group.Wait()
	addresses := map[string]bool{}
	for i, err := range errs {
		switch {
		case err == nil:
			addresses[*outs[i].PublicIp] = true
		case awstest.Code(err) != "AddressLimitExceeded":
			t.Error(err)
		}
	}
	if len(addresses) != 5 {
		t.Errorf("there are %d addresses", len(addresses))
	}
}
