-- +goose Up
-- Settings of an account in a Region that are not what they are by default.
CREATE TABLE ssm_setting (
    account     TEXT   NOT NULL,
    region      TEXT   NOT NULL,
    id          TEXT   NOT NULL,
    value       TEXT   NOT NULL,
    modified    BIGINT NOT NULL,
    modified_by TEXT   NOT NULL, -- ARN
    PRIMARY KEY (account, region, id)
);

-- The keys that EC2 instances have registered. An instance is a node from its first heartbeat on, with or without a key.
CREATE TABLE ssm_instance_key (
    instance   TEXT  NOT NULL PRIMARY KEY,
    public_key BYTEA NOT NULL -- SubjectPublicKeyInfo, DER
);
CREATE INDEX ssm_instance_key_public ON ssm_instance_key (public_key);

-- +goose Down
DROP TABLE ssm_instance_key;
DROP TABLE ssm_setting;
