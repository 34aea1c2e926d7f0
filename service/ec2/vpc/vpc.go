// Package vpc keeps VPCs, their ranges, attributes and DHCP option sets, and their subnets.
//
// It uses securitygroup, networkacl and routing for what comes with a VPC.
package vpc

import "github.com/vennel/vennel/store"

// VPCs is the capability.
type VPCs struct {
	db *store.DB
}

// New gives the capability.
func New(db *store.DB) *VPCs { return &VPCs{db} }
