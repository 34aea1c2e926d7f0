-- name: PutResource :exec
INSERT INTO ec2_resource (id, account, region, kind, vpc, body) VALUES (@id, @account, @region, @kind, @vpc, @body)
ON CONFLICT (id) DO UPDATE SET vpc = excluded.vpc, body = excluded.body;

-- name: GetResource :one
SELECT * FROM ec2_resource WHERE id = @id;

-- name: DeleteResource :execrows
DELETE FROM ec2_resource WHERE id = @id;

-- name: ListResources :many
SELECT * FROM ec2_resource WHERE account = @account AND region = @region AND kind = @kind ORDER BY id;

-- name: ListResourcesOfVPC :many
SELECT * FROM ec2_resource WHERE vpc = @vpc AND kind = @kind ORDER BY id;

-- name: ListAllResources :many
-- Those of a kind in all accounts and Regions, after an id.
SELECT * FROM ec2_resource WHERE kind = @kind AND id > @after ORDER BY id LIMIT @most;

-- name: CountResources :one
SELECT count(*) FROM ec2_resource WHERE account = @account AND region = @region AND kind = @kind;

-- name: PutResourceTag :exec
INSERT INTO ec2_tag (id, name, value) VALUES (@id, @name, @value)
ON CONFLICT (id, name) DO UPDATE SET value = excluded.value;

-- name: DeleteResourceTag :exec
DELETE FROM ec2_tag WHERE id = @id AND name = @name;

-- name: DeleteResourceTags :exec
DELETE FROM ec2_tag WHERE id = @id;

-- name: ListResourceTags :many
SELECT name, value FROM ec2_tag WHERE id = @id ORDER BY name;

-- name: ListTagsOfKind :many
SELECT t.id, t.name, t.value FROM ec2_resource r JOIN ec2_tag t ON t.id = r.id
WHERE r.account = @account AND r.region = @region AND r.kind = @kind ORDER BY t.id, t.name;

-- name: ListTagsOfAccount :many
SELECT r.kind, t.id, t.name, t.value FROM ec2_resource r JOIN ec2_tag t ON t.id = r.id
WHERE r.account = @account AND r.region = @region ORDER BY t.id, t.name;

-- name: GetToken :one
SELECT request, id FROM ec2_token WHERE account = @account AND region = @region AND operation = @operation AND token = @token;

-- name: PutToken :exec
INSERT INTO ec2_token (account, region, operation, token, request, id, created)
VALUES (@account, @region, @operation, @token, @request, @id, @created);

-- name: ExpireTokens :exec
DELETE FROM ec2_token WHERE created < @before;

-- name: ListTagged :many
-- The resources of a kind that have a tag of a name.
SELECT t.id, t.value FROM ec2_resource r JOIN ec2_tag t ON t.id = r.id
WHERE r.account = @account AND r.region = @region AND r.kind = @kind AND t.name = @name ORDER BY t.id;
