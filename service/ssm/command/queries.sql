-- name: PutCommand :exec
INSERT INTO ssm_command (id, account, region, requested, expires, document, version, comment, request, steps, platforms, caller,
    timeout, execution, status, details, cancelled, expanding, cursor_node, max_concurrency, max_errors,
    targets, active, waiting, completed, succeeded, errors, delivery_timeouts)
VALUES (@id, @account, @region, @requested, @expires, @document, @version, @comment, @request, @steps, @platforms, @caller,
    @timeout, @execution, 'Pending', 'Pending', FALSE, @expanding, '', @max_concurrency, @max_errors,
    0, 0, 0, 0, 0, 0, 0);

-- name: GetCommand :one
SELECT * FROM ssm_command WHERE id = @id;

-- name: SetCommand :exec
UPDATE ssm_command
SET status = @status, details = @details, cancelled = @cancelled, expanding = @expanding, cursor_node = @cursor_node,
    targets = @targets, active = @active, waiting = @waiting, completed = @completed, succeeded = @succeeded,
    errors = @errors, delivery_timeouts = @delivery_timeouts
WHERE id = @id;

-- name: ListCommands :many
-- Newest first, after a place; empty texts and zeros do not filter.
SELECT * FROM ssm_command
WHERE account = @account AND region = @region
    AND (requested < @before OR requested = @before AND id < @after)
    AND requested >= @since
    AND (CAST(@status AS TEXT) = '' OR status = @status)
    AND (CAST(@document AS TEXT) = '' OR document = @document)
ORDER BY requested DESC, id DESC LIMIT @most;

-- name: ListUnfinished :many
-- Commands that have targets to look up, to release or to cancel, after an id: for the first look after a start.
SELECT id FROM ssm_command
WHERE (expanding = TRUE OR waiting > 0 OR (cancelled = TRUE AND active > 0)) AND id > @after
ORDER BY id LIMIT @most;

-- name: ListOldCommands :many
SELECT id FROM ssm_command WHERE requested < @before ORDER BY requested, id LIMIT @most;

-- name: DeleteCommand :exec
DELETE FROM ssm_command WHERE id = @id;

-- name: PutInvocation :execrows
INSERT INTO ssm_invocation (command, node, account, region, requested, node_name, document, status, details, trace, released, open, due)
VALUES (@command, @node, @account, @region, @requested, @node_name, @document, @status, @details, '', @released, @open, @due)
ON CONFLICT (command, node) DO NOTHING;

-- name: GetInvocation :one
SELECT * FROM ssm_invocation WHERE command = @command AND node = @node;

-- name: SetInvocation :exec
UPDATE ssm_invocation
SET status = @status, details = @details, trace = @trace, released = @released, open = @open, due = @due
WHERE command = @command AND node = @node;

-- name: ListInvocations :many
-- Newest first, after a place; empty texts and zeros do not filter.
SELECT * FROM ssm_invocation
WHERE account = @account AND region = @region
    AND (requested < @before
        OR requested = @before AND (command < @after_command OR command = @after_command AND node > @after_node))
    AND requested >= @since
    AND (CAST(@status AS TEXT) = '' OR status = @status)
    AND (CAST(@document AS TEXT) = '' OR document = @document)
ORDER BY requested DESC, command DESC, node LIMIT @most;

-- name: ListInvocationsOfCommand :many
SELECT * FROM ssm_invocation
WHERE command = @command AND node > @after
    AND requested >= @since AND requested < @until
    AND (CAST(@status AS TEXT) = '' OR status = @status)
    AND (CAST(@document AS TEXT) = '' OR document = @document)
ORDER BY node LIMIT @most;

-- name: ListInvocationsOfNode :many
SELECT * FROM ssm_invocation
WHERE node = @node AND account = @account AND region = @region
    AND (requested < @before OR requested = @before AND command < @after)
    AND requested >= @since
    AND (CAST(@status AS TEXT) = '' OR status = @status)
    AND (CAST(@document AS TEXT) = '' OR document = @document)
ORDER BY requested DESC, command DESC LIMIT @most;

-- name: ListWaiting :many
-- Those that wait for their turn.
SELECT * FROM ssm_invocation WHERE command = @command AND open = TRUE AND released = 0 ORDER BY node LIMIT @most;

-- name: ListOpen :many
SELECT * FROM ssm_invocation WHERE command = @command AND open = TRUE AND node > @after ORDER BY node LIMIT @most;

-- name: ListDue :many
SELECT * FROM ssm_invocation WHERE open = TRUE AND due > 0 AND due <= @now ORDER BY due LIMIT @most;

-- name: NextDue :one
SELECT CAST(coalesce(min(due), 0) AS BIGINT) FROM ssm_invocation WHERE open = TRUE AND due > 0;

-- name: LastOfPage :one
-- The last of the first nodes of a command, or empty.
SELECT CAST(coalesce(max(p.node), '') AS TEXT) FROM (SELECT i.node FROM ssm_invocation i WHERE i.command = @command ORDER BY i.node LIMIT @most) AS p;

-- name: DeleteInvocations :exec
DELETE FROM ssm_invocation WHERE command = @command AND node <= @last;

-- name: DeleteSteps :exec
DELETE FROM ssm_step WHERE command = @command AND node <= @last;

-- name: PutStep :exec
INSERT INTO ssm_step (command, node, name, plugin, status, code, started, ended, output, stdout, stderr, s3_bucket, s3_prefix)
VALUES (@command, @node, @name, @plugin, @status, @code, @started, @ended, @output, @stdout, @stderr, @s3_bucket, @s3_prefix)
ON CONFLICT (command, node, name) DO UPDATE
SET plugin = excluded.plugin, status = excluded.status, code = excluded.code, started = excluded.started, ended = excluded.ended,
    output = excluded.output, stdout = excluded.stdout, stderr = excluded.stderr, s3_bucket = excluded.s3_bucket,
    s3_prefix = excluded.s3_prefix;

-- name: ListSteps :many
SELECT * FROM ssm_step WHERE command = @command AND node = @node ORDER BY name;
