-- Signing keys of some destinations only: the keys of the most specific pattern that has any sign an
-- attempt, and no others. '*' is all destinations. A pattern has five slots.
ALTER TABLE belfry.signing_keys
    -- A pattern of destinations, as in belfry.destinations.
    ADD COLUMN destination text NOT NULL DEFAULT '*',
    DROP CONSTRAINT signing_keys_slot,
    ADD CONSTRAINT signing_keys_slot UNIQUE (project_id, destination, slot);
