-- What the publisher needs: which transaction wrote a delivery, who publishes, what operators skipped, and a
-- ring long enough to keep seven full days. Safe to run again.
-- +goose Up
-- +goose StatementBegin
-- A reader that remembers where it stopped misses what commits later with a smaller id. Such a row was
-- written by a transaction that was open when the reader stopped, so that asking for those is exact. Rows from
-- before have none: their transactions are over. (Column and default apart: together they rewrite the table.)
ALTER TABLE profile.outbox_deliveries ADD COLUMN IF NOT EXISTS writer xid8;
ALTER TABLE profile.outbox_deliveries ALTER COLUMN writer SET DEFAULT pg_current_xact_id();

-- Running publishers: lanes are shared evenly among them.
CREATE TABLE IF NOT EXISTS profile.outbox_publishers (
    instance   text PRIMARY KEY,
    seen_until timestamptz NOT NULL
);

-- Events an operator gave up, so that their key could go on.
CREATE TABLE IF NOT EXISTS profile.outbox_skipped (
    event_id          uuid PRIMARY KEY,
    id                bigint      NOT NULL,
    ordering_key      uuid        NOT NULL,
    event_type        text        NOT NULL,
    version           bigint      NOT NULL,
    delivery_attempts integer     NOT NULL,
    last_error        text,
    operator          text        NOT NULL,
    reason            text        NOT NULL,
    skipped_at        timestamptz NOT NULL DEFAULT profile.clock_now(),
    CONSTRAINT outbox_skipped_operator_check CHECK (char_length(operator) BETWEEN 1 AND 200),
    CONSTRAINT outbox_skipped_reason_check CHECK (char_length(reason) BETWEEN 1 AND 1000)
);

-- With ten slots a day is a week old, and neither today's nor tomorrow's slot, for a whole day.
CREATE TABLE IF NOT EXISTS profile.outbox_events_8 PARTITION OF profile.outbox_events FOR VALUES IN (8);
CREATE TABLE IF NOT EXISTS profile.outbox_events_9 PARTITION OF profile.outbox_events FOR VALUES IN (9);
ALTER TABLE profile.outbox_events ALTER COLUMN slot
    SET DEFAULT (floor(extract(epoch FROM profile.clock_now()) / 86400)::bigint % 10)::smallint;

DO $$
DECLARE
    owned text;
BEGIN
    FOREACH owned IN ARRAY ARRAY ['outbox_skipped', 'outbox_events_8', 'outbox_events_9'] LOOP
        EXECUTE format('DROP POLICY IF EXISTS own_rows ON profile.%I', owned);
        EXECUTE format('CREATE POLICY own_rows ON profile.%I USING (profile.may_see(ordering_key))', owned);
    END LOOP;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'profile_app') THEN
        GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA profile TO profile_app;
        FOREACH owned IN ARRAY ARRAY(SELECT 'outbox_events_' || slot FROM generate_series(0, 9) AS slot) LOOP
            EXECUTE format('GRANT TRUNCATE ON profile.%I TO profile_app', owned);
        END LOOP;
    END IF;
END $$;
-- +goose StatementEnd

-- +goose Down
-- +goose StatementBegin
DO $$
BEGIN
    IF current_setting('profile.allow_down', true) = 'on' THEN
        ALTER TABLE profile.outbox_events ALTER COLUMN slot
            SET DEFAULT (floor(extract(epoch FROM profile.clock_now()) / 86400)::bigint % 8)::smallint;
        -- The rows of the two slots go with them: what is still to be published is kept by refusing.
        IF EXISTS (SELECT FROM profile.outbox_deliveries WHERE slot IN (8, 9)) THEN
            RAISE EXCEPTION 'slots 8 and 9 hold events that are not published yet';
        END IF;
        DROP TABLE IF EXISTS profile.outbox_events_8, profile.outbox_events_9, profile.outbox_skipped, profile.outbox_publishers;
        ALTER TABLE profile.outbox_deliveries DROP COLUMN IF EXISTS writer;
    END IF;
END $$;
-- +goose StatementEnd
