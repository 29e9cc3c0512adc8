-- What a project and a token may do at most, as core/limits.ts writes it; null: whatever they like.
ALTER TABLE belfry.projects ADD COLUMN limits jsonb;
ALTER TABLE belfry.tokens ADD COLUMN rate jsonb;

-- Token buckets, shared by all processes. Not logged: a crash of the database fills them, which is what
-- an hour without requests would have done, and taking a block waits for no disk.
CREATE UNLOGGED TABLE belfry.allowances (
    subject       text        NOT NULL PRIMARY KEY,
    per_second    float8      NOT NULL,
    burst         float8      NOT NULL,
    -- What was in it at `filled_at`, after the last taking.
    level         float8      NOT NULL,
    filled_at     timestamptz NOT NULL,
    -- By the last taking.
    granted       float8      NOT NULL
) WITH (fillfactor = 50);

-- How much of its quotas a project has used: of projects that have any. See core/quotaLedger.ts.
CREATE TABLE belfry.quota_ledgers (
    project_id    bigint      NOT NULL PRIMARY KEY REFERENCES belfry.projects (id),
    -- Live timers at most; null: they have not been counted.
    live          bigint,
    -- Of those, what was added since the count under way began.
    since_count   bigint      NOT NULL DEFAULT 0,
    count_id      bigint      NOT NULL DEFAULT 0,
    count_began_at timestamptz NOT NULL DEFAULT timestamptz 'epoch',
    -- Not counted again before; counted again from then on in any case.
    recount_at    timestamptz NOT NULL DEFAULT timestamptz 'epoch',
    stale_at      timestamptz NOT NULL DEFAULT timestamptz 'epoch',
    -- Timers created on this day, by its number in the Unix epoch.
    day           integer     NOT NULL DEFAULT 0,
    created       bigint      NOT NULL DEFAULT 0,
    -- What processes may still create, by process: `{"<process>": [count, until when, ms]}`.
    holds         jsonb       NOT NULL DEFAULT '{}'
) WITH (fillfactor = 50);
