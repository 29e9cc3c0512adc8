-- What a receiver answered, of every attempt: a few headers, the beginning of the body, and how much
-- of it was read.
ALTER TABLE belfry.attempts ADD COLUMN response_headers jsonb;
ALTER TABLE belfry.attempts ADD COLUMN response_body bytea;
ALTER TABLE belfry.attempts ADD COLUMN response_bytes integer;
