-- The second wall: what answers one caller's question runs as a role (or, where only one is to be
-- had, under a mark) that sees the rows of one project. Owners pass it unless FORCE is set, so older
-- code is not touched; who may become what is settled at start (store/requestRole).

-- For every table with a project in it. `unset` sees nothing: after a transaction the setting is ''.
CREATE FUNCTION belfry.keep_to_project(kept regclass, project text DEFAULT 'project_id') RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', kept);
    EXECUTE format($policy$
        CREATE POLICY one_project ON %s FOR SELECT
        USING (%I = nullif(current_setting('belfry.project_id', true), '')::bigint)
        $policy$, kept, project);
    -- The owner's own, under FORCE: all, but not for what is marked as a request.
    EXECUTE format($policy$
        CREATE POLICY engine ON %s TO CURRENT_USER
        USING (current_setting('belfry.role', true) IS DISTINCT FROM 'request')
        $policy$, kept);
END $$;

-- Where timers wait that may not start for now, whatever they wait for: one lane for each cause.
-- `closed`: what falls due is parked in it. `draining`: what is parked leaves it by its allowance.
-- `open`: nothing is in it. A row is locked for share by whoever parks or releases, so that a change of
-- state is final: behind it nobody does by the state before.
CREATE TABLE belfry.lanes (
    id              bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    project_id      bigint      NOT NULL REFERENCES belfry.projects (id),
    -- `project`: all of the project's.
    kind            text        NOT NULL CHECK (kind IN ('project')),
    -- What of the project; '' for all.
    target          text        NOT NULL DEFAULT '',
    state           text        NOT NULL CHECK (state IN ('open', 'closed', 'draining')),
    changed_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- From when on more may leave it: one allowance for all processes.
    next_release_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT lanes_cause UNIQUE (project_id, kind, target)
);
CREATE INDEX lanes_at_work ON belfry.lanes (id) WHERE state <> 'open';
-- Of timers that wait in lanes only: no other pays for them.
CREATE INDEX timers_parked_project ON belfry.timers (project_id, next_at, id)
    WHERE parked_lane IS NOT NULL;
CREATE INDEX timers_parked_expiry ON belfry.timers (parked_lane, expires_at)
    WHERE parked_lane IS NOT NULL AND expires_at IS NOT NULL;

SELECT belfry.keep_to_project(c.oid::regclass)
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'project_id'
WHERE c.relnamespace = 'belfry'::regnamespace AND (c.relkind = 'p' OR c.relkind = 'r' AND NOT c.relispartition)
ORDER BY c.relname;
SELECT belfry.keep_to_project('belfry.projects', 'id');

-- By them a lane finds what it has to park, too. A create costs PostgreSQL 16 µs without, 24 with both.
-- Under a policy, other projects' rows are no rows that a walk could stop behind: a list goes along
-- its own project's.
CREATE INDEX timers_project_id ON belfry.timers (project_id, id);
CREATE INDEX timers_project_next_at ON belfry.timers (project_id, next_at, id)
    WHERE parked_lane IS NULL;
-- Plans that are kept are to believe that a project is one of many, whatever has been seen. For one that
-- has half of all timers they would go along timers_pkey; for one with ten, then, through all.
ALTER TABLE belfry.timers ALTER COLUMN project_id SET (n_distinct = 1000);
