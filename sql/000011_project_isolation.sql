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

SELECT belfry.keep_to_project(c.oid::regclass)
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'project_id'
WHERE c.relnamespace = 'belfry'::regnamespace AND (c.relkind = 'p' OR c.relkind = 'r' AND NOT c.relispartition)
ORDER BY c.relname;
SELECT belfry.keep_to_project('belfry.projects', 'id');

-- Under a policy, other projects' rows are no rows that a walk could stop behind: a list goes along
-- its own project's.
CREATE INDEX timers_project_id ON belfry.timers (project_id, id);
CREATE INDEX timers_project_next_at ON belfry.timers (project_id, next_at, id)
    WHERE parked_lane IS NULL;
-- Plans that are kept are to believe that a project is one of many, whatever has been seen. For one that
-- has half of all timers they would go along timers_pkey; for one with ten, then, through all.
ALTER TABLE belfry.timers ALTER COLUMN project_id SET (n_distinct = 1000);
