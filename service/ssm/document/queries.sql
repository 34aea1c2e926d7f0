-- name: PutDocument :execrows
INSERT INTO ssm_document (account, region, name, type, requires, created, default_version, latest_version, versions)
VALUES (@account, @region, @name, @type, @requires, @created, 1, 1, 1)
ON CONFLICT (account, region, name) DO NOTHING;

-- name: GetDocument :one
SELECT * FROM ssm_document WHERE account = @account AND region = @region AND name = @name;

-- name: CountDocuments :one
SELECT count(*) FROM ssm_document WHERE account = @account AND region = @region;

-- name: ListDocuments :many
-- An account's documents with their default versions.
SELECT sqlc.embed(d), sqlc.embed(v)
FROM ssm_document d
JOIN ssm_document_version v
    ON v.account = d.account AND v.region = d.region AND v.document = d.name AND v.version = d.default_version
WHERE d.account = @account AND d.region = @region
ORDER BY d.name;

-- name: SetVersions :exec
UPDATE ssm_document SET default_version = @default_version, latest_version = @latest_version, versions = @versions
WHERE account = @account AND region = @region AND name = @name;

-- name: DeleteDocument :exec
DELETE FROM ssm_document WHERE account = @account AND region = @region AND name = @name;

-- name: PutVersion :exec
INSERT INTO ssm_document_version (account, region, document, version, version_name, display_name, target_type, format,
    schema_version, platforms, hash, created)
VALUES (@account, @region, @document, @version, @version_name, @display_name, @target_type, @format,
    @schema_version, @platforms, @hash, @created);

-- name: GetVersion :one
SELECT * FROM ssm_document_version WHERE account = @account AND region = @region AND document = @document AND version = @version;

-- name: FindVersionName :one
SELECT version FROM ssm_document_version
WHERE account = @account AND region = @region AND document = @document AND version_name = @version_name
LIMIT 1;

-- name: CountVersions :one
SELECT count(*) FROM ssm_document_version WHERE account = @account AND region = @region AND document = @document;

-- name: ListVersions :many
-- Newest first, before a number.
SELECT * FROM ssm_document_version
WHERE account = @account AND region = @region AND document = @document AND version < @before
ORDER BY version DESC LIMIT @most;

-- name: DeleteVersion :exec
DELETE FROM ssm_document_version WHERE account = @account AND region = @region AND document = @document AND version = @version;

-- name: DeleteVersions :exec
DELETE FROM ssm_document_version WHERE account = @account AND region = @region AND document = @document;

-- name: PutContent :exec
INSERT INTO ssm_document_content (account, region, document, version, content)
VALUES (@account, @region, @document, @version, @content);

-- name: GetContent :one
SELECT content FROM ssm_document_content
WHERE account = @account AND region = @region AND document = @document AND version = @version;

-- name: DeleteContent :exec
DELETE FROM ssm_document_content WHERE account = @account AND region = @region AND document = @document AND version = @version;

-- name: DeleteContents :exec
DELETE FROM ssm_document_content WHERE account = @account AND region = @region AND document = @document;

-- name: PutShare :exec
INSERT INTO ssm_document_share (account, region, document, grantee, version)
VALUES (@account, @region, @document, @grantee, @version)
ON CONFLICT (account, region, document, grantee) DO UPDATE SET version = excluded.version;

-- name: DeleteShare :exec
DELETE FROM ssm_document_share
WHERE account = @account AND region = @region AND document = @document AND grantee = @grantee;

-- name: GetShare :one
SELECT version FROM ssm_document_share
WHERE account = @account AND region = @region AND document = @document AND grantee = @grantee;

-- name: CountShares :one
-- Accounts only.
SELECT count(*) FROM ssm_document_share
WHERE account = @account AND region = @region AND document = @document AND grantee <> 'all';

-- name: CountPublic :one
-- An account's documents that are shared with all.
SELECT count(*) FROM ssm_document_share WHERE region = @region AND grantee = 'all' AND account = @account;

-- name: ListShares :many
-- With whom a document is shared, after one of them.
SELECT grantee, version FROM ssm_document_share
WHERE account = @account AND region = @region AND document = @document AND grantee > @after
ORDER BY grantee LIMIT @most;

-- name: ListShared :many
-- What is shared with an account, or with all.
SELECT account, document FROM ssm_document_share WHERE region = @region AND grantee = @grantee ORDER BY account, document;
