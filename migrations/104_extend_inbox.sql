-- What the consumer of catalog events needs: its generation, and why and with what an event failed. Safe to
-- run again.
-- +goose Up
-- +goose StatementBegin
-- A greater generation applies every event again, to rebuild the projection from a rewound subscription.
ALTER TABLE profile.inbox_events ADD COLUMN IF NOT EXISTS generation integer NOT NULL DEFAULT 1;
-- processed; dead: cannot be decoded or stored; parked: of a type this release does not know.
ALTER TABLE profile.inbox_events ADD COLUMN IF NOT EXISTS state text NOT NULL DEFAULT 'processed';
-- Of the message. Attributes are kept, like payload, for failures only.
ALTER TABLE profile.inbox_events ADD COLUMN IF NOT EXISTS message_id text;
ALTER TABLE profile.inbox_events ADD COLUMN IF NOT EXISTS attributes jsonb;

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_constraint WHERE conrelid = 'profile.inbox_events'::regclass
                   AND pg_get_constraintdef(oid) = 'PRIMARY KEY (event_id, generation)') THEN
        ALTER TABLE profile.inbox_events DROP CONSTRAINT IF EXISTS inbox_events_pkey, ADD PRIMARY KEY (event_id, generation);
    END IF;
    IF NOT EXISTS (SELECT FROM pg_constraint WHERE conrelid = 'profile.inbox_events'::regclass AND conname = 'inbox_events_state_check') THEN
        UPDATE profile.inbox_events SET state = 'dead' WHERE processed_at IS NULL;
        ALTER TABLE profile.inbox_events
            ADD CONSTRAINT inbox_events_generation_check CHECK (generation >= 1),
            ADD CONSTRAINT inbox_events_state_check CHECK (state IN ('processed', 'dead', 'parked')
                AND (state = 'processed') = (processed_at IS NOT NULL));
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'profile_app') THEN
        GRANT SELECT, INSERT, UPDATE, DELETE ON profile.inbox_events TO profile_app;
    END IF;
END $$;
-- +goose StatementEnd

-- +goose Down
-- +goose StatementBegin
DO $$
BEGIN
    IF current_setting('profile.allow_down', true) = 'on' THEN
        -- One generation is all the older schema can hold; the greatest is the one in use.
        DELETE FROM profile.inbox_events old USING profile.inbox_events new
        WHERE new.event_id = old.event_id AND new.generation > old.generation;
        ALTER TABLE profile.inbox_events
            DROP CONSTRAINT IF EXISTS inbox_events_state_check,
            DROP CONSTRAINT IF EXISTS inbox_events_generation_check,
            DROP CONSTRAINT IF EXISTS inbox_events_pkey,
            DROP COLUMN IF EXISTS attributes,
            DROP COLUMN IF EXISTS message_id,
            DROP COLUMN IF EXISTS state,
            DROP COLUMN IF EXISTS generation,
            ADD PRIMARY KEY (event_id);
    END IF;
END $$;
-- +goose StatementEnd
