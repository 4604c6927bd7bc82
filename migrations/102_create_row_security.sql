-- Row level security: written here, off by default, switched by `profilectl rls enable|disable` (S94, C9).
-- A transaction states who it acts for in app.role (`user` or `service`) and app.user_id. The settings are
-- empty strings, not NULL, on a connection that has carried them before; hence nullif.
-- +goose Up
-- +goose StatementBegin
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'profile_app') THEN
        CREATE ROLE profile_app NOLOGIN NOSUPERUSER NOBYPASSRLS;
    END IF;
EXCEPTION
    -- The platform team creates roles there; `profilectl migrate up` can be run again afterwards.
    WHEN insufficient_privilege OR duplicate_object THEN RAISE NOTICE 'role profile_app was not created: %', SQLERRM;
END $$;

-- Whether the transaction may see a row of that user. plpgsql on purpose: an inlined expression makes the
-- planner believe that hardly any row passes, and it then sorts a user's rows instead of walking the index.
CREATE OR REPLACE FUNCTION profile.may_see(owner uuid) RETURNS boolean
    LANGUAGE plpgsql STABLE PARALLEL SAFE COST 1 AS $$
BEGIN
    RETURN current_setting('app.role', true) = 'service'
        OR owner = nullif(current_setting('app.user_id', true), '')::uuid;
END $$;

DO $$
DECLARE
    owned text;
BEGIN
    FOREACH owned IN ARRAY ARRAY ['users', 'user_stats', 'engagements', 'watch_logs', 'idempotency_keys'] LOOP
        EXECUTE format('DROP POLICY IF EXISTS own_rows ON profile.%I', owned);
        EXECUTE format('CREATE POLICY own_rows ON profile.%I USING (profile.may_see(user_id))', owned);
    END LOOP;
    -- A query that names a partition asks the policy of that partition, not of its parent.
    FOREACH owned IN ARRAY ARRAY ['outbox_events', 'outbox_deliveries']
        || ARRAY(SELECT 'outbox_events_' || slot FROM generate_series(0, 7) AS slot) LOOP
        EXECUTE format('DROP POLICY IF EXISTS own_rows ON profile.%I', owned);
        EXECUTE format('CREATE POLICY own_rows ON profile.%I USING (profile.may_see(ordering_key))', owned);
    END LOOP;

    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'profile_app') THEN
        GRANT USAGE ON SCHEMA profile TO profile_app;
        GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA profile TO profile_app;
        GRANT USAGE ON ALL SEQUENCES IN SCHEMA profile TO profile_app;
        GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA profile TO profile_app;
    END IF;
END $$;
-- +goose StatementEnd

-- +goose Down
-- +goose StatementBegin
DO $$
DECLARE
    p record;
BEGIN
    IF current_setting('profile.allow_down', true) = 'on' THEN
        FOR p IN SELECT policyname, tablename FROM pg_policies WHERE schemaname = 'profile' LOOP
            EXECUTE format('DROP POLICY %I ON profile.%I', p.policyname, p.tablename);
        END LOOP;
        DROP FUNCTION IF EXISTS profile.may_see(uuid);
    END IF;
END $$;
-- +goose StatementEnd
