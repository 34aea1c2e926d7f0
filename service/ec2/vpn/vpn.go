// Package vpn keeps virtual private gateways, customer gateways and the VPN connections between them.
//
// It uses routing.
package vpn

import "github.com/vennel/vennel/store"

// VPNs is the capability.
type VPNs struct {
	db *store.DB
}

// New gives the capability.
func New(db *store.DB) *VPNs { return &VPNs{db} }
