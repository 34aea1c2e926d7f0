-- name: GetEntity :one
SELECT * FROM iam_entity WHERE account = @account AND kind = @kind AND key = @key;

-- name: GetEntityByID :one
SELECT * FROM iam_entity WHERE id = @id;

-- name: PutEntity :execrows
INSERT INTO iam_entity (id, account, kind, key, name, path, created, updated, description, boundary, trust, max_session, version, versions, used, used_region)
VALUES (@id, @account, @kind, @key, @name, @path, @created, @updated, @description, @boundary, @trust, @max_session, @version, @versions, @used, @used_region)
ON CONFLICT (account, kind, key) DO NOTHING;

-- name: UpdateEntity :exec
UPDATE iam_entity
SET key = @key, name = @name, path = @path, updated = @updated, description = @description, boundary = @boundary, trust = @trust,
    max_session = @max_session, version = @version, versions = @versions
WHERE id = @id;

-- name: SetEntityUse :exec
UPDATE iam_entity SET used = @used, used_region = @used_region WHERE id = @id;

-- name: DeleteEntity :exec
DELETE FROM iam_entity WHERE id = @id;

-- name: ListEntities :many
-- Pages go by key: after is the last key of the page before.
SELECT * FROM iam_entity
WHERE account = @account AND kind = @kind AND key > @after AND path >= @path_from AND path < @path_to
ORDER BY key LIMIT @most;

-- name: CountEntities :many
SELECT kind, count(*) AS n FROM iam_entity WHERE account = @account GROUP BY kind;

-- name: CountVersions :one
SELECT count(*) FROM iam_policy_version v JOIN iam_entity e ON e.id = v.policy WHERE e.account = @account;

-- name: CountHeld :one
-- What stands against the deletion of an entity.
SELECT (SELECT count(*) FROM iam_attachment a WHERE a.owner = @id) AS attached,
       (SELECT count(*) FROM iam_inline_policy p WHERE p.owner = @id) AS inline,
       (SELECT count(*) FROM iam_access_key k WHERE k.owner = @id) AS keys,
       (SELECT count(*) FROM iam_member m WHERE m.container = @id OR m.member = @id) AS members;

-- name: GetPolicyVersion :one
SELECT * FROM iam_policy_version WHERE policy = @policy AND version = @version;

-- name: PutPolicyVersion :exec
INSERT INTO iam_policy_version (policy, version, document, created) VALUES (@policy, @version, @document, @created);

-- name: DeletePolicyVersion :exec
DELETE FROM iam_policy_version WHERE policy = @policy AND version = @version;

-- name: ListPolicyVersions :many
SELECT * FROM iam_policy_version WHERE policy = @policy ORDER BY version DESC;

-- name: DeletePolicyVersions :exec
DELETE FROM iam_policy_version WHERE policy = @policy;

-- name: PutInlinePolicy :exec
INSERT INTO iam_inline_policy (owner, name, document) VALUES (@owner, @name, @document)
ON CONFLICT (owner, name) DO UPDATE SET document = excluded.document;

-- name: DeleteInlinePolicy :execrows
DELETE FROM iam_inline_policy WHERE owner = @owner AND name = @name;

-- name: ListInlinePolicies :many
SELECT * FROM iam_inline_policy WHERE owner = @owner ORDER BY name;

-- name: Attach :exec
INSERT INTO iam_attachment (owner, policy, account) VALUES (@owner, @policy, @account)
ON CONFLICT (owner, policy) DO NOTHING;

-- name: Detach :execrows
DELETE FROM iam_attachment WHERE owner = @owner AND policy = @policy;

-- name: ListAttachments :many
SELECT policy FROM iam_attachment WHERE owner = @owner ORDER BY policy;

-- name: ListAttached :many
-- The users, groups and roles that a managed policy is attached to.
SELECT e.* FROM iam_attachment a JOIN iam_entity e ON e.id = a.owner
WHERE a.account = @account AND a.policy = @policy ORDER BY e.kind, e.key;

-- name: ListBounded :many
-- The users and roles whose boundary a managed policy is.
SELECT * FROM iam_entity WHERE account = @account AND boundary = @boundary AND boundary <> '' ORDER BY kind, key;

-- name: CountAttachments :many
SELECT policy, count(*) AS n FROM iam_attachment WHERE account = @account GROUP BY policy;

-- name: CountBoundaries :many
SELECT boundary, count(*) AS n FROM iam_entity WHERE account = @account AND boundary <> '' GROUP BY boundary;

-- name: AddMember :exec
INSERT INTO iam_member (container, member) VALUES (@container, @member)
ON CONFLICT (container, member) DO NOTHING;

-- name: RemoveMember :execrows
DELETE FROM iam_member WHERE container = @container AND member = @member;

-- name: ListMembers :many
SELECT e.* FROM iam_member m JOIN iam_entity e ON e.id = m.member
WHERE m.container = @container AND e.key > @after ORDER BY e.key LIMIT @most;

-- name: ListContainers :many
SELECT e.* FROM iam_member m JOIN iam_entity e ON e.id = m.container
WHERE m.member = @member AND e.key > @after ORDER BY e.key LIMIT @most;

-- name: PutTag :exec
INSERT INTO iam_tag (owner, key, name, value) VALUES (@owner, @key, @name, @value)
ON CONFLICT (owner, key) DO UPDATE SET name = excluded.name, value = excluded.value;

-- name: DeleteTag :exec
DELETE FROM iam_tag WHERE owner = @owner AND key = @key;

-- name: DeleteTags :exec
DELETE FROM iam_tag WHERE owner = @owner;

-- name: ListTags :many
SELECT name, value FROM iam_tag WHERE owner = @owner ORDER BY key;

-- name: GetAccessKey :one
SELECT * FROM iam_access_key WHERE id = @id;

-- name: GetAnyAccessKey :one
SELECT * FROM iam_access_key ORDER BY id LIMIT 1;

-- name: PutAccessKey :exec
INSERT INTO iam_access_key (id, owner, secret, status, created, used, used_service, used_region)
VALUES (@id, @owner, @secret, @status, @created, 0, '', '');

-- name: SetAccessKeyStatus :execrows
UPDATE iam_access_key SET status = @status WHERE owner = @owner AND id = @id;

-- name: SetAccessKeyUse :exec
UPDATE iam_access_key SET used = @used, used_service = @used_service, used_region = @used_region WHERE id = @id;

-- name: DeleteAccessKey :execrows
DELETE FROM iam_access_key WHERE owner = @owner AND id = @id;

-- name: ListAccessKeys :many
SELECT * FROM iam_access_key WHERE owner = @owner ORDER BY id;
