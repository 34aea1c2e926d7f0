-- +goose Up
-- IAM's names are unique whatever their case, so every row is keyed by the lower-case name. A kind is user, group, role,
-- policy or instance-profile. Times are milliseconds since 1970.
CREATE TABLE iam_entity (
    account     TEXT   NOT NULL,
    kind        TEXT   NOT NULL,
    key         TEXT   NOT NULL,
    name        TEXT   NOT NULL,
    path        TEXT   NOT NULL,
    id          TEXT   NOT NULL,
    created     BIGINT NOT NULL,
    description TEXT   NOT NULL,
    boundary    TEXT   NOT NULL, -- ARN of the permissions boundary of a user or role, or empty
    trust       TEXT   NOT NULL, -- of a role
    max_session BIGINT NOT NULL, -- of a role, seconds
    version     BIGINT NOT NULL, -- of a policy: the default version
    versions    BIGINT NOT NULL, -- of a policy: the number of the newest version ever made
    updated     BIGINT NOT NULL,
    PRIMARY KEY (account, kind, key)
);

CREATE TABLE iam_policy_version (
    account  TEXT   NOT NULL,
    policy   TEXT   NOT NULL, -- the policy's key
    version  BIGINT NOT NULL,
    document TEXT   NOT NULL,
    created  BIGINT NOT NULL,
    PRIMARY KEY (account, policy, version)
);

CREATE TABLE iam_inline_policy (
    account  TEXT NOT NULL,
    kind     TEXT NOT NULL,
    owner    TEXT NOT NULL,
    name     TEXT NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (account, kind, owner, name)
);

CREATE TABLE iam_attachment (
    account  TEXT   NOT NULL,
    kind     TEXT   NOT NULL,
    owner    TEXT   NOT NULL,
    policy   TEXT   NOT NULL, -- ARN
    attached BIGINT NOT NULL,
    PRIMARY KEY (account, kind, owner, policy)
);
CREATE INDEX iam_attachment_policy ON iam_attachment (account, policy, kind, owner);

-- Members are users of groups, and the role of an instance profile.
CREATE TABLE iam_member (
    account   TEXT NOT NULL,
    kind      TEXT NOT NULL, -- of the container: group or instance-profile
    container TEXT NOT NULL,
    member    TEXT NOT NULL,
    PRIMARY KEY (account, kind, container, member)
);
CREATE INDEX iam_member_of ON iam_member (account, kind, member, container);

CREATE TABLE iam_tag (
    account TEXT NOT NULL,
    kind    TEXT NOT NULL,
    owner   TEXT NOT NULL,
    name    TEXT NOT NULL,
    value   TEXT NOT NULL,
    PRIMARY KEY (account, kind, owner, name)
);

CREATE TABLE iam_access_key (
    id           TEXT   NOT NULL PRIMARY KEY,
    account      TEXT   NOT NULL,
    owner        TEXT   NOT NULL, -- the user's key
    secret       BYTEA  NOT NULL, -- sealed
    status       TEXT   NOT NULL,
    created      BIGINT NOT NULL,
    used         BIGINT NOT NULL, -- 0: never
    used_service TEXT   NOT NULL,
    used_region  TEXT   NOT NULL
);
CREATE INDEX iam_access_key_owner ON iam_access_key (account, owner, id);

-- Values that the server made for itself and that every replica must share, sealed.
CREATE TABLE server_secret (
    name  TEXT  NOT NULL PRIMARY KEY,
    value BYTEA NOT NULL
);

-- +goose Down
DROP TABLE server_secret;
DROP TABLE iam_access_key;
DROP TABLE iam_tag;
DROP TABLE iam_member;
DROP TABLE iam_attachment;
DROP TABLE iam_inline_policy;
DROP TABLE iam_policy_version;
DROP TABLE iam_entity;
