-- +goose Up
-- Times are milliseconds since 1970; 0 is never. Ids of nodes, activations and commands are unique everywhere.
CREATE TABLE ssm_tag (
    account TEXT NOT NULL,
    region  TEXT NOT NULL,
    kind    TEXT NOT NULL, -- ManagedInstance, Document, …
    id      TEXT NOT NULL,
    name    TEXT NOT NULL,
    value   TEXT NOT NULL,
    PRIMARY KEY (account, region, kind, id, name)
);
-- The name goes first, so that SQLite does not take this index for the tags of one id: it would find all of the account in it.
CREATE INDEX ssm_tag_value ON ssm_tag (name, value, account, region, kind, id);

CREATE TABLE ssm_activation (
    id          TEXT   NOT NULL PRIMARY KEY,
    account     TEXT   NOT NULL,
    region      TEXT   NOT NULL,
    code        BYTEA  NOT NULL, -- SHA-256 of the code
    description TEXT   NOT NULL,
    name        TEXT   NOT NULL, -- default name of the nodes
    role        TEXT   NOT NULL,
    most        BIGINT NOT NULL, -- registrations allowed
    count       BIGINT NOT NULL, -- registrations made
    created     BIGINT NOT NULL,
    expires     BIGINT NOT NULL
);
CREATE INDEX ssm_activation_list ON ssm_activation (account, region, id);

CREATE TABLE ssm_node (
    id               TEXT   NOT NULL PRIMARY KEY,
    account          TEXT   NOT NULL,
    region           TEXT   NOT NULL,
    activation       TEXT   NOT NULL,
    role             TEXT   NOT NULL,
    name             TEXT   NOT NULL,
    registered       BIGINT NOT NULL,
    fingerprint      TEXT   NOT NULL,
    public_key       BYTEA  NOT NULL, -- SubjectPublicKeyInfo, DER
    key_created      BIGINT NOT NULL,
    agent_name       TEXT   NOT NULL,
    agent_version    TEXT   NOT NULL,
    agent_status     TEXT   NOT NULL,
    platform_type    TEXT   NOT NULL,
    platform_name    TEXT   NOT NULL,
    platform_version TEXT   NOT NULL,
    computer_name    TEXT   NOT NULL,
    ip_address       TEXT   NOT NULL,
    channel          TEXT   NOT NULL  -- the line that the agent says it uses
);
CREATE INDEX ssm_node_list ON ssm_node (account, region, id);
CREATE INDEX ssm_node_key ON ssm_node (public_key);

-- When a node was last heard of. Narrow, because it is written often; and coarse, because it is written in batches.
CREATE TABLE ssm_presence (
    node TEXT   NOT NULL PRIMARY KEY,
    seen BIGINT NOT NULL
);

-- What a message says, once for all the nodes that it goes to.
CREATE TABLE ssm_message (
    id      TEXT   NOT NULL PRIMARY KEY,
    topic   TEXT   NOT NULL,
    content TEXT   NOT NULL,
    expires BIGINT NOT NULL
);
CREATE INDEX ssm_message_expires ON ssm_message (expires);

-- A mailbox for each node: what is to be delivered (taken = FALSE) or is being worked on (taken = TRUE).
CREATE TABLE ssm_mailbox (
    node    TEXT    NOT NULL,
    created BIGINT  NOT NULL,
    job     TEXT    NOT NULL,
    message TEXT    NOT NULL,
    urgent  BOOLEAN NOT NULL, -- goes whatever the node is working on: cancellations
    taken   BOOLEAN NOT NULL,
    PRIMARY KEY (node, created, job)
);

-- +goose Down
DROP TABLE ssm_mailbox;
DROP TABLE ssm_message;
DROP TABLE ssm_presence;
DROP TABLE ssm_node;
DROP TABLE ssm_activation;
DROP TABLE ssm_tag;
