-- Timers of one destination (a project's origin) wait in a lane of it, made when the first has to.
-- `limited`: due ones are pulled out of it, by whoever has room, rate and permits for them; nothing may be
-- before `closed_until` has passed. Older code takes such a lane for one that drains, and may not drain it.
ALTER TABLE belfry.lanes
    DROP CONSTRAINT lanes_kind_check,
    ADD CONSTRAINT lanes_kind_check CHECK (kind IN ('project', 'destination')),
    DROP CONSTRAINT lanes_state_check,
    ADD CONSTRAINT lanes_state_check CHECK (state IN ('open', 'closed', 'draining', 'limited')),
    ADD COLUMN closed_until timestamptz NOT NULL DEFAULT '-infinity',
    -- Why it is closed: for people.
    ADD COLUMN closed_reason text,
    -- Counted whenever something is parked: who has seen it empty learns whether it is so still.
    ADD COLUMN parkings bigint NOT NULL DEFAULT 0;
