-- What a project says of the destinations of its timers, by host pattern: see core/destination.ts.
CREATE TABLE belfry.destinations (
    id              bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    project_id      bigint      NOT NULL REFERENCES belfry.projects (id),
    -- As core/destinationPattern.ts spells it.
    pattern         text        NOT NULL,
    -- Counts what callers have changed of it.
    version         integer     NOT NULL DEFAULT 1,
    concurrency_max integer     CHECK (concurrency_max >= 1),
    rate_count      integer     CHECK (rate_count >= 1),
    rate_per        text        CHECK (rate_per IN ('second', 'minute', 'hour')),
    timeout_ms      integer     CHECK (timeout_ms >= 1),
    -- As those of a timer: the values of secret ones are {"sealed": box}.
    headers         jsonb,
    -- Client certificate, key and private authorities, as one box; and what is shown of them.
    tls             text,
    tls_about       jsonb,
    is_paused       boolean     NOT NULL DEFAULT false,
    created_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    changed_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT destinations_pattern UNIQUE (project_id, pattern),
    CONSTRAINT destinations_rate CHECK ((rate_count IS NULL) = (rate_per IS NULL)),
    CONSTRAINT destinations_tls CHECK ((tls IS NULL) = (tls_about IS NULL))
);

-- How processes learn what has changed. Each change takes the next revision, under the lock of the one
-- row that counts them, until its commit: whoever sees a revision sees all before it. A project's is
-- that of its last change, deletions included; who has read up to a revision asks for those beyond.
CREATE TABLE belfry.destination_revision (
    one             boolean     NOT NULL PRIMARY KEY DEFAULT true CHECK (one),
    revision        bigint      NOT NULL
);
INSERT INTO belfry.destination_revision (revision) VALUES (0);
CREATE TABLE belfry.destination_books (
    project_id      bigint      NOT NULL PRIMARY KEY REFERENCES belfry.projects (id),
    revision        bigint      NOT NULL
);
CREATE INDEX destination_books_revision ON belfry.destination_books (revision);

SELECT belfry.keep_to_project('belfry.destinations');
SELECT belfry.keep_to_project('belfry.destination_books');
