-- What signs the deliveries of a project, at most five at a time: each has a slot of its own, so that
-- two that are made at once cannot become six. `box` is the secret, encrypted as in 000009 and bound to
-- project and id. One that is retired signs no more; its slot is taken by the next.
CREATE TABLE belfry.signing_keys (
    project_id    bigint      NOT NULL REFERENCES belfry.projects (id),
    -- Not secret.
    id            text        NOT NULL,
    slot          smallint    NOT NULL CHECK (slot BETWEEN 1 AND 5),
    scheme        text        NOT NULL CHECK (scheme IN ('v1', 'v1a')),
    box           text        NOT NULL,
    -- What receivers verify with, of v1a: whpk_ and base64.
    public_text   text        CHECK ((scheme = 'v1a') = (public_text IS NOT NULL)),
    created_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- Null: not yet.
    retires_at    timestamptz,
    CONSTRAINT signing_keys_pkey PRIMARY KEY (project_id, id),
    CONSTRAINT signing_keys_slot UNIQUE (project_id, slot)
);
SELECT belfry.keep_to_project('belfry.signing_keys');
