// Package networkacl keeps network ACLs.
//
// It uses no sibling.
package networkacl

import "github.com/vennel/vennel/store"

// NetworkAcls is the capability.
type NetworkAcls struct {
	db *store.DB
}

// New gives the capability.
func New(db *store.DB) *NetworkAcls { return &NetworkAcls{db} }
