package command

import (
	"strconv"
	"strings"

	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/service/ssm/command/internal/rows"
)

// Details that are not also the names of statuses. source: userguide, "Understanding command statuses"
const (
	detailDeliveryTimedOut  = "DeliveryTimedOut"
	detailExecutionTimedOut = "ExecutionTimedOut"
	detailUndeliverable     = "Undeliverable"
	detailTerminated        = "Terminated"
	detailInvalidPlatform   = "InvalidPlatform"
	detailAccessDenied      = "AccessDenied"
	detailIncomplete        = "Incomplete"
	detailNoInstancesInTag  = "NoInstancesInTag"
)

// The short names of an invocation's statuses.
const (
	pending    = ssm.CommandInvocationStatusPending
	delayed    = ssm.CommandInvocationStatusDelayed
	inProgress = ssm.CommandInvocationStatusInProgress
	cancelling = ssm.CommandInvocationStatusCancelling
	cancelled  = ssm.CommandInvocationStatusCancelled
	success    = ssm.CommandInvocationStatusSuccess
	failed     = ssm.CommandInvocationStatusFailed
	timedOut   = ssm.CommandInvocationStatusTimedOut
)

// share reads a limit that is a number or a percentage of the targets.
func share(limit string, targets int64, least int64) int64 {
	percent, isPercent := strings.CutSuffix(limit, "%")
	n, err := strconv.ParseInt(percent, 10, 64)
	if err != nil {
		return least
	}
	if isPercent {
		n = targets * n / 100
	}
	return max(n, least)
}

// room is how many more nodes may work on a command now, of so many targets.
func room(c *rows.SsmCommand, targets int64) int64 {
	return share(c.MaxConcurrency, targets, 1) - c.Active
}

// failing says whether so many invocations have failed that no more are to begin. With a limit of
// three the fourth error stops the command. source: userguide
func failing(c *rows.SsmCommand) bool { return c.Errors > share(c.MaxErrors, c.Targets, 0) }

// settle works out a command's status from its counters. source: userguide, "Understanding command
// statuses"
func settle(c *rows.SsmCommand) {
	if c.Expanding || c.Active > 0 || c.Waiting > 0 {
		switch {
		case c.Cancelled:
			c.Status, c.Details = cancelling, cancelling
		case c.Targets > c.Waiting && c.Status == pending && c.Completed > 0:
			c.Status, c.Details = inProgress, inProgress
		}
		return
	}
	switch {
	case failing(c):
		c.Status, c.Details = failed, failed
	case c.Cancelled:
		c.Status, c.Details = cancelled, cancelled
	case c.Targets == 0:
		c.Status, c.Details = failed, detailNoInstancesInTag
	case c.Succeeded == c.Targets:
		c.Status, c.Details = success, success
	case c.DeliveryTimeouts > share(c.MaxErrors, c.Targets, 0):
		c.Status, c.Details = timedOut, detailDeliveryTimedOut
	default:
		c.Status, c.Details = failed, detailIncomplete
	}
}
