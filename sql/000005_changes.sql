-- Counts what callers have changed of a timer: its ETag.
ALTER TABLE belfry.timers ADD COLUMN version integer NOT NULL DEFAULT 1;
ALTER TABLE belfry.history ADD COLUMN version integer NOT NULL DEFAULT 1;

-- The name of a push-back timer, of which a project has one live timer at a time.
ALTER TABLE belfry.timers ADD COLUMN key text;
ALTER TABLE belfry.history ADD COLUMN key text;
CREATE UNIQUE INDEX timers_key ON belfry.timers (project_id, key) WHERE key IS NOT NULL;
CREATE INDEX history_key ON belfry.history (project_id, key, id) WHERE key IS NOT NULL;

-- Lists go by project and id. It serves look-ups by id as well.
CREATE INDEX history_project_id ON belfry.history (project_id, id);
DROP INDEX belfry.history_id;

-- By label, in the order of ids: a page of a label costs the same whether ten timers bear it or a
-- million, and an equality on text keeps its index under row-level security, as @> does not.
-- Rows stay as long as the timer, live or finished, does.
CREATE TABLE belfry.timer_labels (
    project_id    bigint      NOT NULL,
    label         text        NOT NULL,
    timer_id      bigint      NOT NULL,
    CONSTRAINT timer_labels_pkey PRIMARY KEY (project_id, label, timer_id)
);

-- Chores that one process at a time may run, and until when it may.
CREATE TABLE belfry.chore_leases (
    name          text        NOT NULL PRIMARY KEY,
    owner         bigint      NOT NULL,
    expires_at    timestamptz NOT NULL
);

-- Signs the tokens of bulk changes.
ALTER TABLE belfry.installation ADD COLUMN secret text NOT NULL
    DEFAULT replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', '');
