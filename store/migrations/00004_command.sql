-- +goose Up
CREATE TABLE ssm_command (
    id                TEXT    NOT NULL PRIMARY KEY,
    account           TEXT    NOT NULL,
    region            TEXT    NOT NULL,
    requested         BIGINT  NOT NULL,
    expires           BIGINT  NOT NULL, -- as answers have it
    document          TEXT    NOT NULL,
    version           TEXT    NOT NULL,
    comment           TEXT    NOT NULL,
    request           TEXT    NOT NULL, -- JSON: what answers repeat of the request
    steps             TEXT    NOT NULL, -- JSON: the steps' names in order
    platforms         TEXT    NOT NULL, -- JSON: where the document does something
    caller            TEXT    NOT NULL, -- JSON: on whose behalf the rest of the targets is looked up
    timeout           BIGINT  NOT NULL, -- seconds for delivery
    execution         BIGINT  NOT NULL, -- seconds for execution
    status            TEXT    NOT NULL,
    details           TEXT    NOT NULL,
    cancelled         BOOLEAN NOT NULL,
    expanding         BOOLEAN NOT NULL, -- not all targets have been looked up
    cursor_node       TEXT    NOT NULL, -- the last node looked at
    max_concurrency   TEXT    NOT NULL,
    max_errors        TEXT    NOT NULL,
    targets           BIGINT  NOT NULL,
    active            BIGINT  NOT NULL, -- given to nodes and not ended
    waiting           BIGINT  NOT NULL, -- not given to nodes
    completed         BIGINT  NOT NULL,
    succeeded         BIGINT  NOT NULL,
    errors            BIGINT  NOT NULL,
    delivery_timeouts BIGINT  NOT NULL
);
CREATE INDEX ssm_command_list ON ssm_command (account, region, requested, id);
CREATE INDEX ssm_command_age ON ssm_command (requested, id);

CREATE TABLE ssm_invocation (
    command   TEXT    NOT NULL,
    node      TEXT    NOT NULL,
    account   TEXT    NOT NULL,
    region    TEXT    NOT NULL,
    requested BIGINT  NOT NULL,
    node_name TEXT    NOT NULL,
    document  TEXT    NOT NULL,
    status    TEXT    NOT NULL,
    details   TEXT    NOT NULL,
    trace     TEXT    NOT NULL,
    released  BIGINT  NOT NULL, -- when it was given to the node's mailbox; 0: it waits for its turn
    open      BOOLEAN NOT NULL, -- not ended
    due       BIGINT  NOT NULL, -- when to look at it if nothing comes
    PRIMARY KEY (command, node)
);
CREATE INDEX ssm_invocation_list ON ssm_invocation (account, region, requested, command, node);
CREATE INDEX ssm_invocation_node ON ssm_invocation (node, requested, command);
CREATE INDEX ssm_invocation_due ON ssm_invocation (due) WHERE open = TRUE;

CREATE TABLE ssm_step (
    command   TEXT   NOT NULL,
    node      TEXT   NOT NULL,
    name      TEXT   NOT NULL, -- the step's, or in schema 1.x the plugin's
    plugin    TEXT   NOT NULL,
    status    TEXT   NOT NULL,
    code      BIGINT NOT NULL,
    started   TEXT   NOT NULL, -- as the agent writes it
    ended     TEXT   NOT NULL,
    output    TEXT   NOT NULL,
    stdout    TEXT   NOT NULL,
    stderr    TEXT   NOT NULL,
    s3_bucket TEXT   NOT NULL,
    s3_prefix TEXT   NOT NULL,
    PRIMARY KEY (command, node, name)
);

-- +goose Down
DROP TABLE ssm_step;
DROP TABLE ssm_invocation;
DROP TABLE ssm_command;
