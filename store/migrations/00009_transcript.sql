-- +goose Up
ALTER TABLE ssm_session ADD COLUMN log_group TEXT NOT NULL DEFAULT ''; -- in which its transcript is a stream; empty for none
ALTER TABLE ssm_session ADD COLUMN streaming BOOLEAN NOT NULL DEFAULT FALSE; -- its events are written while it lasts
ALTER TABLE ssm_session ADD COLUMN run_as TEXT NOT NULL DEFAULT ''; -- the user that the preferences name; empty for the agent's choice
ALTER TABLE ssm_session ADD COLUMN logged BOOLEAN NOT NULL DEFAULT FALSE; -- all its events are written, and these are the times of the first and last
ALTER TABLE ssm_session ADD COLUMN first_event BIGINT NOT NULL DEFAULT 0;
ALTER TABLE ssm_session ADD COLUMN last_event BIGINT NOT NULL DEFAULT 0;
CREATE INDEX ssm_session_log ON ssm_session (account, region, log_group, id) WHERE log_group <> '';
CREATE INDEX ssm_session_unlogged ON ssm_session (id) WHERE logged = FALSE AND log_group <> '';

-- +goose Down
DROP INDEX ssm_session_unlogged;
DROP INDEX ssm_session_log;
ALTER TABLE ssm_session DROP COLUMN last_event;
ALTER TABLE ssm_session DROP COLUMN first_event;
ALTER TABLE ssm_session DROP COLUMN logged;
ALTER TABLE ssm_session DROP COLUMN run_as;
ALTER TABLE ssm_session DROP COLUMN streaming;
ALTER TABLE ssm_session DROP COLUMN log_group;
