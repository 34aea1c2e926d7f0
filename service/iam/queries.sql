-- name: GetEntity :one
SELECT * FROM iam_entity WHERE account = @account AND kind = @kind AND key = @key;

-- name: GetEntityByID :one
SELECT * FROM iam_entity WHERE account = @account AND kind = @kind AND id = @id;

-- name: PutEntity :execrows
INSERT INTO iam_entity (account, kind, key, name, path, id, created, description, boundary, trust, max_session, version, versions, updated)
VALUES (@account, @kind, @key, @name, @path, @id, @created, @description, @boundary, @trust, @max_session, @version, @versions, @updated)
ON CONFLICT (account, kind, key) DO NOTHING;

-- name: UpdateEntity :execrows
UPDATE iam_entity
SET description = @description, boundary = @boundary, trust = @trust, max_session = @max_session,
    version = @version, versions = @versions, updated = @updated
WHERE account = @account AND kind = @kind AND key = @key;

-- name: DeleteEntity :execrows
DELETE FROM iam_entity WHERE account = @account AND kind = @kind AND key = @key;

-- name: ListEntities :many
-- Pages go by key: after is the last key of the page before.
SELECT * FROM iam_entity
WHERE account = @account AND kind = @kind AND key > @after AND path >= @path_from AND path < @path_to
ORDER BY key LIMIT @most;

-- name: GetPolicyVersion :one
SELECT * FROM iam_policy_version WHERE account = @account AND policy = @policy AND version = @version;

-- name: PutPolicyVersion :exec
INSERT INTO iam_policy_version (account, policy, version, document, created)
VALUES (@account, @policy, @version, @document, @created);

-- name: DeletePolicyVersion :execrows
DELETE FROM iam_policy_version WHERE account = @account AND policy = @policy AND version = @version;

-- name: ListPolicyVersions :many
SELECT * FROM iam_policy_version WHERE account = @account AND policy = @policy ORDER BY version DESC;

-- name: DeletePolicyVersions :exec
DELETE FROM iam_policy_version WHERE account = @account AND policy = @policy;

-- name: GetInlinePolicy :one
SELECT * FROM iam_inline_policy WHERE account = @account AND kind = @kind AND owner = @owner AND name = @name;

-- name: PutInlinePolicy :exec
INSERT INTO iam_inline_policy (account, kind, owner, name, document)
VALUES (@account, @kind, @owner, @name, @document)
ON CONFLICT (account, kind, owner, name) DO UPDATE SET document = excluded.document;

-- name: DeleteInlinePolicy :execrows
DELETE FROM iam_inline_policy WHERE account = @account AND kind = @kind AND owner = @owner AND name = @name;

-- name: ListInlinePolicies :many
SELECT * FROM iam_inline_policy WHERE account = @account AND kind = @kind AND owner = @owner ORDER BY name;

-- name: Attach :execrows
INSERT INTO iam_attachment (account, kind, owner, policy, attached)
VALUES (@account, @kind, @owner, @policy, @attached)
ON CONFLICT (account, kind, owner, policy) DO NOTHING;

-- name: Detach :execrows
DELETE FROM iam_attachment WHERE account = @account AND kind = @kind AND owner = @owner AND policy = @policy;

-- name: ListAttachments :many
SELECT * FROM iam_attachment WHERE account = @account AND kind = @kind AND owner = @owner ORDER BY policy;

-- name: ListAttached :many
SELECT * FROM iam_attachment WHERE account = @account AND policy = @policy ORDER BY kind, owner;

-- name: CountBoundaryUse :one
SELECT count(*) FROM iam_entity WHERE account = @account AND boundary = @boundary;

-- name: AddMember :execrows
INSERT INTO iam_member (account, kind, container, member)
VALUES (@account, @kind, @container, @member)
ON CONFLICT (account, kind, container, member) DO NOTHING;

-- name: RemoveMember :execrows
DELETE FROM iam_member WHERE account = @account AND kind = @kind AND container = @container AND member = @member;

-- name: ListMembers :many
SELECT member FROM iam_member WHERE account = @account AND kind = @kind AND container = @container ORDER BY member;

-- name: ListContainers :many
SELECT container FROM iam_member WHERE account = @account AND kind = @kind AND member = @member ORDER BY container;

-- name: PutTag :exec
INSERT INTO iam_tag (account, kind, owner, name, value)
VALUES (@account, @kind, @owner, @name, @value)
ON CONFLICT (account, kind, owner, name) DO UPDATE SET value = excluded.value;

-- name: DeleteTag :exec
DELETE FROM iam_tag WHERE account = @account AND kind = @kind AND owner = @owner AND name = @name;

-- name: DeleteTags :exec
DELETE FROM iam_tag WHERE account = @account AND kind = @kind AND owner = @owner;

-- name: ListTags :many
SELECT name, value FROM iam_tag WHERE account = @account AND kind = @kind AND owner = @owner ORDER BY name;

-- name: GetAccessKey :one
SELECT * FROM iam_access_key WHERE id = @id;

-- name: PutAccessKey :exec
INSERT INTO iam_access_key (id, account, owner, secret, status, created, used, used_service, used_region)
VALUES (@id, @account, @owner, @secret, @status, @created, 0, '', '');

-- name: SetAccessKeyStatus :execrows
UPDATE iam_access_key SET status = @status WHERE account = @account AND owner = @owner AND id = @id;

-- name: SetAccessKeyUse :exec
UPDATE iam_access_key SET used = @used, used_service = @used_service, used_region = @used_region WHERE id = @id;

-- name: DeleteAccessKey :execrows
DELETE FROM iam_access_key WHERE account = @account AND owner = @owner AND id = @id;

-- name: ListAccessKeys :many
SELECT * FROM iam_access_key WHERE account = @account AND owner = @owner ORDER BY created, id;

-- name: GetServerSecret :one
SELECT value FROM server_secret WHERE name = @name;

-- name: PutServerSecret :execrows
INSERT INTO server_secret (name, value) VALUES (@name, @value) ON CONFLICT (name) DO NOTHING;
