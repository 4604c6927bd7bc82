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

DO $$
DECLARE
    owned text;
BEGIN
    FOREACH owned IN ARRAY ARRAY ['users', 'user_stats', 'engagements', 'watch_logs', 'idempotency_keys'] LOOP
        EXECUTE format('DROP POLICY IF EXISTS own_rows ON profile.%I', owned);
        EXECUTE format('CREATE POLICY own_rows ON profile.%I USING (
            (SELECT current_setting(''app.role'', true)) = ''service''
            OR user_id = (SELECT nullif(current_setting(''app.user_id'', true), ''''))::uuid)', owned);
    END LOOP;
    FOREACH owned IN ARRAY ARRAY ['outbox_events', 'outbox_deliveries'] LOOP
        EXECUTE format('DROP POLICY IF EXISTS own_rows ON profile.%I', owned);
        EXECUTE format('CREATE POLICY own_rows ON profile.%I USING (
            (SELECT current_setting(''app.role'', true)) = ''service''
            OR ordering_key = (SELECT nullif(current_setting(''app.user_id'', true), ''''))::uuid)', owned);
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
    END IF;
END $$;
-- +goose StatementEnd
