-- +goose Up
CREATE TABLE ssm_document (
    account         TEXT   NOT NULL,
    region          TEXT   NOT NULL,
    name            TEXT   NOT NULL,
    type            TEXT   NOT NULL,
    requires        TEXT   NOT NULL, -- JSON: the list as answers have it; empty without any
    created         BIGINT NOT NULL,
    default_version BIGINT NOT NULL,
    latest_version  BIGINT NOT NULL,
    versions        BIGINT NOT NULL, -- the number of the newest version ever made: numbers are not used twice
    PRIMARY KEY (account, region, name)
);

CREATE TABLE ssm_document_version (
    account        TEXT   NOT NULL,
    region         TEXT   NOT NULL,
    document       TEXT   NOT NULL,
    version        BIGINT NOT NULL,
    version_name   TEXT   NOT NULL,
    display_name   TEXT   NOT NULL,
    target_type    TEXT   NOT NULL,
    format         TEXT   NOT NULL,
    schema_version TEXT   NOT NULL,
    platforms      TEXT   NOT NULL, -- separated by commas
    hash           TEXT   NOT NULL, -- SHA-256 of the content, in hexadecimal
    created        BIGINT NOT NULL,
    PRIMARY KEY (account, region, document, version)
);

-- Contents are kept apart, since lists do not need them.
CREATE TABLE ssm_document_content (
    account  TEXT   NOT NULL,
    region   TEXT   NOT NULL,
    document TEXT   NOT NULL,
    version  BIGINT NOT NULL,
    content  TEXT   NOT NULL, -- as it was given
    PRIMARY KEY (account, region, document, version)
);

CREATE TABLE ssm_document_share (
    account  TEXT NOT NULL, -- the owner
    region   TEXT NOT NULL,
    document TEXT NOT NULL,
    grantee  TEXT NOT NULL, -- an account, or all
    version  TEXT NOT NULL, -- $DEFAULT, $LATEST or $ALL
    PRIMARY KEY (account, region, document, grantee)
);
CREATE INDEX ssm_document_share_grantee ON ssm_document_share (region, grantee, account, document);

-- +goose Down
DROP TABLE ssm_document_share;
DROP TABLE ssm_document_content;
DROP TABLE ssm_document_version;
DROP TABLE ssm_document;
