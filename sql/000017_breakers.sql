-- The breaker of a destination is part of its lane, which it closes (`closed_until` = infinity): one row
-- that all processes look at. `next_release_at` is when the next probe may leave.
ALTER TABLE belfry.lanes
    -- Since when it has been closed for failing, with no success in between.
    ADD COLUMN failing_since timestamptz,
    -- Probes that have failed since: each makes the pause before the next longer.
    ADD COLUMN probes integer NOT NULL DEFAULT 0;
