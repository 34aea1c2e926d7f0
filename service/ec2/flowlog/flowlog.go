// Package flowlog keeps flow logs and their records.
//
// It uses no sibling.
package flowlog

import "github.com/vennel/vennel/store"

// FlowLogs is the capability.
type FlowLogs struct {
	db *store.DB
}

// New gives the capability.
func New(db *store.DB) *FlowLogs { return &FlowLogs{db} }
