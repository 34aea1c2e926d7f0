-- name: PutSession :exec
INSERT INTO ssm_session (id, account, region, target, owner, owner_id, document, kind, reason, started, ended, open, status, details, output,
    idle, duration, transcript, confirmed, client_token, agent_token, client_address, client_endpoint, client_version,
    agent_address, agent_endpoint, agent_version, s3_url, log_url, log_group, streaming, run_as, logged, first_event, last_event)
VALUES (@id, @account, @region, @target, @owner, @owner_id, @document, @kind, @reason, @started, 0, TRUE, 'Connecting', '', '',
    @idle, @duration, @transcript, FALSE, 0, 0, '', '', '', '', '', @agent_version, '', '', @log_group, @streaming, @run_as, FALSE, 0, 0);

-- name: GetSession :one
SELECT * FROM ssm_session WHERE id = @id;

-- name: CountOpen :one
SELECT count(*) FROM ssm_session WHERE target = @target AND confirmed = FALSE AND open = TRUE;

-- name: ListOpen :many
-- All that are open, after an id: for the first look after a start.
SELECT * FROM ssm_session WHERE open = TRUE AND id > @after ORDER BY id LIMIT @most;

-- name: ListOpenOfNode :many
SELECT id FROM ssm_session WHERE target = @target AND confirmed = FALSE AND open = TRUE ORDER BY id LIMIT @most;

-- name: ListUnconfirmed :many
-- What a node must be told has ended.
SELECT id, output FROM ssm_session
WHERE target = @target AND confirmed = FALSE AND status IN ('Terminating', 'Terminated', 'Failed') AND (open = TRUE OR ended >= @since)
ORDER BY id LIMIT @most;

-- name: UseClientToken :execrows
-- A token is accepted once: the next must have been made later.
UPDATE ssm_session
SET client_token = @made, client_address = @address, client_endpoint = @endpoint, client_version = @version
WHERE id = @id AND client_token < @made;

-- name: UseAgentToken :execrows
UPDATE ssm_session SET agent_token = @made, agent_address = @address, agent_endpoint = @endpoint WHERE id = @id AND agent_token < @made;

-- name: SetConnected :execrows
UPDATE ssm_session SET status = 'Connected' WHERE id = @id AND status = 'Connecting';

-- name: SetTerminating :execrows
UPDATE ssm_session SET status = 'Terminating', details = @details, output = @output
WHERE id = @id AND status IN ('Connecting', 'Connected');

-- name: EndSession :execrows
-- Why it ends is what was said first.
UPDATE ssm_session
SET status = @status, ended = @ended, open = FALSE,
    details = CASE WHEN details = '' THEN CAST(@details AS TEXT) ELSE details END,
    output = CASE WHEN output = '' THEN CAST(@output AS TEXT) ELSE output END
WHERE id = @id AND open = TRUE;

-- name: ConfirmSession :exec
UPDATE ssm_session SET confirmed = TRUE WHERE id = @id;

-- name: SetOutput :exec
UPDATE ssm_session SET s3_url = @s3_url, log_url = @log_url WHERE id = @id;

-- name: ListSessions :many
-- Newest first, before a place; empty texts and zeros do not filter.
SELECT * FROM ssm_session
WHERE account = @account AND region = @region AND open = @open
    AND (started < @before OR started = @before AND id < @after)
    AND started >= @since
    AND (CAST(@target AS TEXT) = '' OR target = @target)
    AND (CAST(@owner AS TEXT) = '' OR owner = @owner)
    AND (CAST(@id AS TEXT) = '' OR id = @id)
ORDER BY started DESC, id DESC LIMIT @most;

-- name: DropSessions :execrows
DELETE FROM ssm_session
WHERE id IN (SELECT s.id FROM ssm_session s WHERE s.open = FALSE AND s.ended < @before ORDER BY s.ended, s.id LIMIT @most);

-- name: ListLogGroups :many
SELECT log_group, CAST(MIN(started) AS BIGINT) AS created FROM ssm_session
WHERE account = @account AND region = @region AND log_group <> '' GROUP BY log_group;

-- name: ListLogStreams :many
-- Those that are begun: a session that is not streamed has none before its log is written.
SELECT id, started, logged, first_event, last_event FROM ssm_session
WHERE account = @account AND region = @region AND log_group = @log_group AND log_group <> '' AND id > @after
    AND (streaming = TRUE OR last_event > 0)
ORDER BY id LIMIT @most;

-- name: ListUnlogged :many
-- Those that are over, whose logs may not be complete.
SELECT * FROM ssm_session WHERE logged = FALSE AND log_group <> '' AND open = FALSE AND id > @after ORDER BY id LIMIT @most;

-- name: SetLogged :exec
UPDATE ssm_session SET logged = TRUE, first_event = @first_event, last_event = @last_event WHERE id = @id;
