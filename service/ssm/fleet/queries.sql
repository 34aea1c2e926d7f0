-- name: PutActivation :exec
INSERT INTO ssm_activation (id, account, region, code, description, name, role, most, count, created, expires)
VALUES (@id, @account, @region, @code, @description, @name, @role, @most, 0, @created, @expires);

-- name: GetActivation :one
SELECT * FROM ssm_activation WHERE id = @id;

-- name: UseActivation :execrows
UPDATE ssm_activation SET count = count + 1 WHERE id = @id AND count < most;

-- name: DeleteActivation :execrows
DELETE FROM ssm_activation WHERE id = @id AND account = @account AND region = @region;

-- name: ListActivations :many
SELECT * FROM ssm_activation WHERE account = @account AND region = @region AND id > @after ORDER BY id LIMIT @most;

-- name: PutNode :exec
INSERT INTO ssm_node (id, account, region, activation, role, name, registered, fingerprint, public_key, key_created,
    agent_name, agent_version, agent_status, platform_type, platform_name, platform_version, computer_name, ip_address, channel)
VALUES (@id, @account, @region, @activation, @role, @name, @registered, @fingerprint, @public_key, @key_created,
    '', '', '', '', '', '', '', '', '');

-- name: GetNode :one
SELECT * FROM ssm_node WHERE id = @id;

-- name: CountKey :one
-- How many others have a key: nodes, or instances besides one.
SELECT (SELECT count(*) FROM ssm_node n WHERE n.public_key = @public_key)
     + (SELECT count(*) FROM ssm_instance_key k WHERE k.public_key = @public_key AND k.instance <> @besides);

-- name: SetNodeKey :execrows
-- Compare and set: the key must still be the one that signed the request.
UPDATE ssm_node SET public_key = @public_key, key_created = @key_created WHERE id = @id AND public_key = @old;

-- name: SetNodeRole :execrows
UPDATE ssm_node SET role = @role WHERE id = @id AND account = @account AND region = @region;

-- name: SetNodeInformation :exec
UPDATE ssm_node
SET agent_name = @agent_name, agent_version = @agent_version, agent_status = @agent_status, platform_type = @platform_type,
    platform_name = @platform_name, platform_version = @platform_version, computer_name = @computer_name,
    ip_address = @ip_address, channel = @channel
WHERE id = @id;

-- name: DeleteNode :exec
DELETE FROM ssm_node WHERE id = @id;

-- name: ListNodes :many
SELECT * FROM ssm_node WHERE account = @account AND region = @region AND id > @after ORDER BY id LIMIT @most;

-- name: PutPresence :execrows
-- A node may be heard of for the last time after it was deregistered.
INSERT INTO ssm_presence (node, seen) SELECT n.id, CAST(@seen AS BIGINT) FROM ssm_node n WHERE n.id = @node
ON CONFLICT (node) DO UPDATE SET seen = excluded.seen;

-- name: GetPresence :one
SELECT seen FROM ssm_presence WHERE node = @node;

-- name: ListPresence :many
-- Those of a page of nodes, by the ids at its ends.
SELECT node, seen FROM ssm_presence WHERE node >= @first AND node <= @last ORDER BY node;

-- name: DeletePresence :exec
DELETE FROM ssm_presence WHERE node = @node;

-- name: PutMessage :exec
INSERT INTO ssm_message (id, topic, content, expires) VALUES (@id, @topic, @content, @expires)
ON CONFLICT (id) DO NOTHING;

-- name: GetMessage :one
SELECT * FROM ssm_message WHERE id = @id;

-- name: ExpireMessages :execrows
DELETE FROM ssm_message WHERE id IN (SELECT m.id FROM ssm_message m WHERE m.expires < @now ORDER BY m.expires LIMIT @most);

-- name: PutMail :exec
INSERT INTO ssm_mailbox (node, created, job, message, urgent, taken) VALUES (@node, @created, @job, @message, @urgent, FALSE);

-- name: ListMail :many
-- What waits for a node, the urgent first.
SELECT created, job, message, urgent FROM ssm_mailbox
WHERE node = @node AND taken = FALSE ORDER BY urgent DESC, created, job LIMIT @most;

-- name: CountTaken :one
SELECT count(*) FROM ssm_mailbox WHERE node = @node AND taken = TRUE;

-- name: TakeMail :execrows
UPDATE ssm_mailbox SET taken = TRUE WHERE node = @node AND job = @job AND urgent = FALSE;

-- name: DeleteUrgentMail :exec
DELETE FROM ssm_mailbox WHERE node = @node AND job = @job AND urgent = TRUE;

-- name: HasMail :one
SELECT count(*) FROM ssm_mailbox WHERE node = @node AND job = @job;

-- name: DeleteMail :execrows
DELETE FROM ssm_mailbox WHERE node = @node AND job = @job;

-- name: DeleteMailbox :exec
DELETE FROM ssm_mailbox WHERE node = @node;

-- name: ListMailNodes :many
-- The nodes for which something waits, after a node: for the first look after a start.
SELECT DISTINCT node FROM ssm_mailbox WHERE taken = FALSE AND node > @after ORDER BY node LIMIT @most;

-- name: PutInstanceKey :execrows
INSERT INTO ssm_instance_key (instance, public_key) VALUES (@instance, @public_key)
ON CONFLICT (instance) DO NOTHING;

-- name: GetInstanceKey :one
SELECT public_key FROM ssm_instance_key WHERE instance = @instance;

-- name: DeleteInstanceKey :exec
DELETE FROM ssm_instance_key WHERE instance = @instance;
