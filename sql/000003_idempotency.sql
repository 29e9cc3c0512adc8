-- Which requests of a project have been answered already, under the keys that its callers chose.
-- Written in the transaction of the timer, and outliving its move to history.
CREATE TABLE belfry.idempotency_keys (
    project_id    bigint      NOT NULL,
    key           text        NOT NULL,
    -- SHA-256 of the request: the same key with another one is a mistake of the caller.
    fingerprint   bytea       NOT NULL,
    -- What the answer consisted of.
    timer_id      bigint      NOT NULL,
    due_at        timestamptz NOT NULL,
    created_at    timestamptz NOT NULL,
    CONSTRAINT idempotency_keys_pkey PRIMARY KEY (project_id, key)
);
CREATE INDEX idempotency_keys_created_at ON belfry.idempotency_keys (created_at);
