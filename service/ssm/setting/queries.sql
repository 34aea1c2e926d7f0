-- name: GetSetting :one
SELECT * FROM ssm_setting WHERE account = @account AND region = @region AND id = @id;

-- name: PutSetting :exec
INSERT INTO ssm_setting (account, region, id, value, modified, modified_by)
VALUES (@account, @region, @id, @value, @modified, @modified_by)
ON CONFLICT (account, region, id) DO UPDATE SET value = excluded.value, modified = excluded.modified, modified_by = excluded.modified_by;

-- name: DeleteSetting :exec
DELETE FROM ssm_setting WHERE account = @account AND region = @region AND id = @id;
