-- +goose Up
-- EC2's resources: one row each, whatever its kind. What EC2 lists is bounded by its quotas (thousands in a Region), and is
-- filtered by dozens of attributes, so the attributes are in the body and only what finds a resource is a column.
CREATE TABLE ec2_resource (
    id      TEXT NOT NULL PRIMARY KEY, -- unique everywhere
    account TEXT NOT NULL,
    region  TEXT NOT NULL,
    kind    TEXT NOT NULL, -- as in ARNs: vpc, subnet, …
    vpc     TEXT NOT NULL, -- which it belongs to; empty for none
    body    TEXT NOT NULL  -- JSON
);
CREATE INDEX ec2_resource_list ON ec2_resource (account, region, kind, id);
CREATE INDEX ec2_resource_vpc ON ec2_resource (vpc, kind, id);

CREATE TABLE ec2_tag (
    id    TEXT NOT NULL, -- of the resource
    name  TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (id, name)
);

-- Client tokens: what a request with one has made, so that the same request again makes nothing.
CREATE TABLE ec2_token (
    account   TEXT   NOT NULL,
    region    TEXT   NOT NULL,
    operation TEXT   NOT NULL,
    token     TEXT   NOT NULL,
    request   TEXT   NOT NULL, -- hash of its parameters
    id        TEXT   NOT NULL, -- of what it made
    created   BIGINT NOT NULL,
    PRIMARY KEY (account, region, operation, token)
);
CREATE INDEX ec2_token_created ON ec2_token (created);

-- +goose Down
DROP TABLE ec2_token;
DROP TABLE ec2_tag;
DROP TABLE ec2_resource;
