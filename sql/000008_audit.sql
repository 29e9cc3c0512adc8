-- Who did what. Written in the statement of the deed; never changed, but for its place in the chain.
CREATE TABLE belfry.audit_log (
    id            bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at            timestamptz NOT NULL DEFAULT date_trunc('milliseconds', clock_timestamp()),
    project_id    bigint      NOT NULL,
    -- A token, or `open` where nobody is asked for one, or `database` for who works on it directly.
    actor_kind    text        NOT NULL,
    actor_id      text        NOT NULL,
    actor_name    text        NOT NULL,
    address       text        NOT NULL,
    action        text        NOT NULL,
    target        text        NOT NULL,
    -- JSON as text: the chain is over its bytes.
    detail        text        NOT NULL,
    -- Where it stands in the chain, and the hash over it and all before. A chore gives them, some
    -- seconds after the commit at the most, so that no two deeds wait for each other.
    seq           bigint      UNIQUE,
    hash          bytea,
    CHECK ((seq IS NULL) = (hash IS NULL))
);
CREATE INDEX audit_log_project_id ON belfry.audit_log (project_id, id);
CREATE INDEX audit_log_unchained ON belfry.audit_log (id) WHERE seq IS NULL;

CREATE FUNCTION belfry.keep_audit_log() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.seq IS NULL AND NEW.seq IS NOT NULL
        AND ROW(NEW.id, NEW.at, NEW.project_id, NEW.actor_kind, NEW.actor_id, NEW.actor_name,
            NEW.address, NEW.action, NEW.target, NEW.detail)
          = ROW(OLD.id, OLD.at, OLD.project_id, OLD.actor_kind, OLD.actor_id, OLD.actor_name,
            OLD.address, OLD.action, OLD.target, OLD.detail)
    THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'the audit log is append-only';
END $$;
CREATE TRIGGER audit_log_keep BEFORE UPDATE OR DELETE ON belfry.audit_log
    FOR EACH ROW EXECUTE FUNCTION belfry.keep_audit_log();
CREATE TRIGGER audit_log_keep_all BEFORE TRUNCATE ON belfry.audit_log
    EXECUTE FUNCTION belfry.keep_audit_log();
