// Package tag keeps the operations on tags of all resources.
//
// It uses no sibling.
package tag

import "github.com/vennel/vennel/store"

// Tags is the capability.
type Tags struct {
	db *store.DB
}

// New gives the capability.
func New(db *store.DB) *Tags { return &Tags{db} }
