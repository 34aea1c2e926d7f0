-- +goose Up
-- Users, groups, roles, policies and instance profiles. IAM's names are unique whatever their case, so an entity is found by the lower-case
-- form of its name; what belongs to it hangs on its unique id, so that a new name changes one row and an entity made later under an old name
-- inherits nothing. Times are milliseconds since 1970, 0 for never.
CREATE TABLE iam_entity (
    id          TEXT   NOT NULL PRIMARY KEY,
    account     TEXT   NOT NULL,
    kind        TEXT   NOT NULL, -- user, group, role, policy or instance-profile
    key         TEXT   NOT NULL,
    name        TEXT   NOT NULL,
    path        TEXT   NOT NULL,
    created     BIGINT NOT NULL,
    updated     BIGINT NOT NULL, -- of a policy: when a version was made or became the default
    description TEXT   NOT NULL,
    boundary    TEXT   NOT NULL, -- ARN of the permissions boundary of a user or role, or empty
    trust       TEXT   NOT NULL, -- of a role
    max_session BIGINT NOT NULL, -- of a role, seconds
    version     BIGINT NOT NULL, -- of a policy: the default version
    versions    BIGINT NOT NULL, -- of a policy: the number of the newest version ever made
    used        BIGINT NOT NULL, -- of a role: when a session of it last made a request
    used_region TEXT   NOT NULL,
    UNIQUE (account, kind, key)
);
CREATE INDEX iam_entity_boundary ON iam_entity (account, boundary, id) WHERE boundary <> '';

CREATE TABLE iam_policy_version (
    policy   TEXT   NOT NULL,
    version  BIGINT NOT NULL,
    document TEXT   NOT NULL,
    created  BIGINT NOT NULL,
    PRIMARY KEY (policy, version)
);

CREATE TABLE iam_inline_policy (
    owner    TEXT NOT NULL,
    name     TEXT NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (owner, name)
);

CREATE TABLE iam_attachment (
    owner   TEXT NOT NULL,
    policy  TEXT NOT NULL, -- ARN
    account TEXT NOT NULL, -- the owner's, since all accounts share AWS's policies
    PRIMARY KEY (owner, policy)
);
CREATE INDEX iam_attachment_policy ON iam_attachment (account, policy, owner);

-- Members are users of groups, and the role of an instance profile.
CREATE TABLE iam_member (
    container TEXT NOT NULL,
    member    TEXT NOT NULL,
    PRIMARY KEY (container, member)
);
CREATE INDEX iam_member_of ON iam_member (member, container);

-- Names of tags are unique whatever their case, too.
CREATE TABLE iam_tag (
    owner TEXT NOT NULL,
    key   TEXT NOT NULL,
    name  TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (owner, key)
);

CREATE TABLE iam_access_key (
    id           TEXT   NOT NULL PRIMARY KEY,
    owner        TEXT   NOT NULL,
    secret       BYTEA  NOT NULL, -- sealed
    status       TEXT   NOT NULL,
    created      BIGINT NOT NULL,
    used         BIGINT NOT NULL,
    used_service TEXT   NOT NULL,
    used_region  TEXT   NOT NULL
);
CREATE INDEX iam_access_key_owner ON iam_access_key (owner, id);

-- +goose Down
DROP TABLE iam_access_key;
DROP TABLE iam_tag;
DROP TABLE iam_member;
DROP TABLE iam_attachment;
DROP TABLE iam_inline_policy;
DROP TABLE iam_policy_version;
DROP TABLE iam_entity;
