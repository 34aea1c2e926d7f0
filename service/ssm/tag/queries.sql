-- name: PutTag :exec
INSERT INTO ssm_tag (account, region, kind, id, name, value)
VALUES (@account, @region, @kind, @id, @name, @value)
ON CONFLICT (account, region, kind, id, name) DO UPDATE SET value = excluded.value;

-- name: DeleteTag :exec
DELETE FROM ssm_tag WHERE account = @account AND region = @region AND kind = @kind AND id = @id AND name = @name;

-- name: DeleteTags :exec
DELETE FROM ssm_tag WHERE account = @account AND region = @region AND kind = @kind AND id = @id;

-- name: ListTags :many
SELECT name, value FROM ssm_tag WHERE account = @account AND region = @region AND kind = @kind AND id = @id ORDER BY name;

-- name: ListTagged :many
-- The ids that have a tag with a value, after an id.
SELECT id FROM ssm_tag
WHERE account = @account AND region = @region AND kind = @kind AND name = @name AND value = @value AND id > @after
ORDER BY id LIMIT @most;

-- name: ListTaggedKey :many
-- The ids that have a tag whatever its value, after an id.
SELECT DISTINCT id FROM ssm_tag
WHERE account = @account AND region = @region AND kind = @kind AND name = @name AND id > @after
ORDER BY id LIMIT @most;
