// Package routing keeps route tables and what routes lead to: internet gateways, NAT gateways, Elastic IP addresses, prefix lists.
//
// It uses networkinterface.
package routing

import "github.com/vennel/vennel/store"

// Routing is the capability.
type Routing struct {
	db *store.DB
}

// New gives the capability.
func New(db *store.DB) *Routing { return &Routing{db} }
