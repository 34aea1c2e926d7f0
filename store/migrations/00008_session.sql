-- +goose Up
CREATE TABLE ssm_session (
    id              TEXT    NOT NULL PRIMARY KEY,
    account         TEXT    NOT NULL,
    region          TEXT    NOT NULL,
    target          TEXT    NOT NULL, -- the node
    owner           TEXT    NOT NULL, -- ARN of who started it
    owner_id        TEXT    NOT NULL, -- the unique id of the same
    document        TEXT    NOT NULL,
    kind            TEXT    NOT NULL, -- sessionType of the document
    reason          TEXT    NOT NULL,
    started         BIGINT  NOT NULL,
    ended           BIGINT  NOT NULL, -- 0 while it is open
    open            BOOLEAN NOT NULL, -- neither Terminated nor Failed
    status          TEXT    NOT NULL, -- Connecting, Connected, Terminating, Terminated, Failed
    details         TEXT    NOT NULL, -- why it has ended, as answers have it
    output          TEXT    NOT NULL, -- what its client is told about the end
    idle            BIGINT  NOT NULL, -- seconds without activity after which it ends
    duration        BIGINT  NOT NULL, -- minutes after which it ends; 0 for no end
    transcript      BOOLEAN NOT NULL, -- what it shows is kept
    confirmed       BOOLEAN NOT NULL, -- its agent has said that it has ended
    client_token    BIGINT  NOT NULL, -- when the newest token that was accepted was made, in microseconds
    agent_token     BIGINT  NOT NULL, -- the same of the agent
    client_address  TEXT    NOT NULL, -- from where its client came last
    client_endpoint TEXT    NOT NULL, -- and through which VPC endpoint
    client_version  TEXT    NOT NULL,
    agent_address   TEXT    NOT NULL,
    agent_endpoint  TEXT    NOT NULL,
    agent_version   TEXT    NOT NULL,
    s3_url          TEXT    NOT NULL, -- where the agent has put the log
    log_url         TEXT    NOT NULL
);
CREATE INDEX ssm_session_list ON ssm_session (account, region, open, started, id);
CREATE INDEX ssm_session_age ON ssm_session (ended, id) WHERE open = FALSE;
CREATE INDEX ssm_session_open ON ssm_session (id) WHERE open = TRUE;
CREATE INDEX ssm_session_node ON ssm_session (target, id) WHERE confirmed = FALSE;

-- +goose Down
DROP TABLE ssm_session;
