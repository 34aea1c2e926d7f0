// Package securitygroup keeps security groups and their rules.
//
// It uses no sibling.
package securitygroup

import "github.com/vennel/vennel/store"

// SecurityGroups is the capability.
type SecurityGroups struct {
	db *store.DB
}

// New gives the capability.
func New(db *store.DB) *SecurityGroups { return &SecurityGroups{db} }
