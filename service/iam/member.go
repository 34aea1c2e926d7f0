package iam

import (
	"context"

	"github.com/vennel/vennel/service/iam/internal/rows"
	"github.com/vennel/vennel/store"
)

// members are the users of a group or the roles of an instance profile, by key.
func members(ctx context.Context, tx *store.Tx, container string, p pager) ([]entity, error) {
	return rows.New(tx).ListMembers(ctx, rows.ListMembersParams{Container: container, After: p.after, Most: p.limit()})
}

// containers are the groups of a user or the instance profiles of a role, by key.
func containers(ctx context.Context, tx *store.Tx, member string, p pager) ([]entity, error) {
	return rows.New(tx).ListContainers(ctx, rows.ListContainersParams{Member: member, After: p.after, Most: p.limit()})
}

// join adds a member to a container; one that is in it stays so.
func join(ctx context.Context, tx *store.Tx, container, member *entity) error {
	return rows.New(tx).AddMember(ctx, rows.AddMemberParams{Container: container.ID, Member: member.ID})
}

// leave takes a member out of a container, and says whether it was in it.
func leave(ctx context.Context, tx *store.Tx, container, member *entity) (was bool, err error) {
	n, err := rows.New(tx).RemoveMember(ctx, rows.RemoveMemberParams{Container: container.ID, Member: member.ID})
	return n > 0, err
}
