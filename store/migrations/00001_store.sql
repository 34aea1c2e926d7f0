-- +goose Up
-- The one row that the store keeps for itself. The generation changes when a backup is restored, the owner when a server opens the database;
-- every writing transaction compares both with what it opened.
CREATE TABLE vennel_store (
    id         BIGINT NOT NULL PRIMARY KEY,
    generation TEXT   NOT NULL,
    owner      TEXT   NOT NULL
);
INSERT INTO vennel_store (id, generation, owner) VALUES (1, '', '');
