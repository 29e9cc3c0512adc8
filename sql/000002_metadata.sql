-- What a caller wants to find again with its timer; kept and shown, never sent.
ALTER TABLE belfry.timers ADD COLUMN metadata jsonb;
ALTER TABLE belfry.history ADD COLUMN metadata jsonb;
