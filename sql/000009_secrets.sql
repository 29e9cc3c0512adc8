-- Named secrets of a project. `box` is encrypted: version.key.nonce, tag and ciphertext in base64url;
-- so are the values of secret headers, which stand in `headers` as {"sealed": box}.
CREATE TABLE belfry.secrets (
    project_id    bigint      NOT NULL REFERENCES belfry.projects (id),
    name          text        NOT NULL,
    box           text        NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT secrets_pkey PRIMARY KEY (project_id, name)
);

-- Under which keys something may be encrypted here: a start without one of them is refused. The proof
-- is a known text under the key, so that another key of the same id is told from it.
CREATE TABLE belfry.secret_keys (
    id            text        NOT NULL PRIMARY KEY,
    proof         text        NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT clock_timestamp()
);
