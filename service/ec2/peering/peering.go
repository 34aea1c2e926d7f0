// Package peering keeps VPC peering connections.
//
// It uses no sibling.
package peering

import "github.com/vennel/vennel/store"

// Peerings is the capability.
type Peerings struct {
	db *store.DB
}

// New gives the capability.
func New(db *store.DB) *Peerings { return &Peerings{db} }
