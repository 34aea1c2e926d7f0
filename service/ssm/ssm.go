// Package ssm is AWS Systems Manager: the sum of its capabilities. Each claims the operations it
// implements; two that claim the same do not compile, and what none claims is unknown to callers.
package ssm

import (
	api "github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/service/ssm/association"
	"github.com/vennel/vennel/service/ssm/command"
	"github.com/vennel/vennel/service/ssm/document"
	"github.com/vennel/vennel/service/ssm/fleet"
	"github.com/vennel/vennel/service/ssm/session"
	"github.com/vennel/vennel/service/ssm/setting"
	"github.com/vennel/vennel/service/ssm/tag"
)

// Service is the sum.
type Service struct {
	*command.Commands        // Run Command
	*document.Documents      // what commands and sessions are
	*fleet.Fleet             // managed nodes and hybrid activations
	*session.Sessions        // Session Manager
	*setting.Settings        // how the service works for an account
	*tag.Tags                // tags of all resources
	association.Associations // State Manager
	unclaimed                // what is not built
}

// unclaimed is one level deeper, so that Go prefers the capabilities' methods.
type unclaimed struct{ api.Unimplemented }

var _ api.Server = (*Service)(nil)
