package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/lingo-services/profile/internal/infrastructure/devpg"
	"github.com/lingo-services/profile/internal/infrastructure/postgres"
)

const startTimeout = time.Minute

// template is the migrated database that worlds are cloned from.
const template = "chaos_template"

// database is a Postgres of our own that keeps what it promised across kills: fsync is on.
type database struct {
	dir string

	mu     sync.Mutex
	server *devpg.Server
}

func startDatabase(ctx context.Context, dir string) (*database, error) {
	d := &database{dir: filepath.Join(dir, "postgres")}
	if err := errors.Join(os.Mkdir(d.dir, 0o755), os.Chmod(d.dir, 0o755)); err != nil { //nolint:gosec // G301, G302: Postgres may run as another user
		return nil, err
	}
	if err := d.start(ctx); err != nil {
		return nil, err
	}
	if err := d.migrateTemplate(ctx); err != nil {
		return nil, errors.Join(err, d.stop(ctx))
	}
	return d, nil
}

func (d *database) start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	server, err := devpg.Start(ctx, devpg.Options{
		StateDir: d.dir,
		Getenv:   func(name string) string { return map[string]string{"PATH": os.Getenv("PATH")}[name] },
		Settings: map[string]string{"max_connections": "200", "fsync": "on", "log_min_messages": "fatal"},
	})
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.server = server
	return nil
}

func (d *database) migrateTemplate(ctx context.Context) error {
	if err := d.super(ctx, "profile", "CREATE DATABASE "+template+" OWNER profile_owner"); err != nil {
		return err
	}
	if _, err := postgres.MigrateUp(ctx, d.current().OwnerURL(template)); err != nil {
		return err
	}
	return d.super(ctx, template, instruments)
}

func (d *database) current() *devpg.Server {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.server
}

// addr is where the server listens now.
func (d *database) addr() string {
	u, err := url.Parse(d.current().AppURL(""))
	if err != nil {
		return ""
	}
	return u.Host
}

// through is the app's URL of a database with the proxy in front.
func (d *database) through(p *proxy, name string) string {
	u, err := url.Parse(d.current().AppURL(name))
	if err != nil {
		return ""
	}
	u.Host = p.addr()
	return u.String()
}

// super executes SQL as the superuser.
func (d *database) super(ctx context.Context, name, sql string) error {
	conn, err := pgx.Connect(ctx, d.current().SuperURL(name))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	_, err = conn.Exec(ctx, sql)
	return err
}

// crash ends the server with a signal to the process that devpg started, and waits until it is gone.
func (d *database) crash(ctx context.Context, s syscall.Signal) error {
	server := d.current()
	if server.Pid() == 0 {
		return errors.New("this Postgres has no process of ours")
	}
	if err := syscall.Kill(server.Pid(), s); err != nil {
		return fmt.Errorf("crash postgres: %w", err)
	}
	return server.Stop(ctx)
}

func (d *database) stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), startTimeout)
	defer cancel()
	return d.current().Stop(ctx)
}

// instruments record, inside the observed transactions, what the oracle needs to know.
const instruments = `
CREATE SCHEMA chaos;
GRANT USAGE ON SCHEMA chaos TO PUBLIC;
CREATE TABLE chaos.journal (event_id uuid PRIMARY KEY, key uuid NOT NULL, version bigint NOT NULL, id bigint NOT NULL,
    txid text NOT NULL, at timestamptz NOT NULL);
CREATE INDEX ON chaos.journal (id);
CREATE TABLE chaos.deleted (id bigint NOT NULL, at timestamptz NOT NULL);
CREATE TABLE chaos.owners (lane int, epoch bigint, owner text, PRIMARY KEY (lane, epoch, owner));
CREATE TABLE chaos.takeovers (lane int, epoch bigint);
CREATE TABLE chaos.effects (event_id uuid NOT NULL, state text NOT NULL);
CREATE TABLE chaos.falls (video_id uuid NOT NULL);

CREATE FUNCTION chaos.note_event() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    INSERT INTO chaos.journal VALUES (NEW.event_id, NEW.ordering_key, NEW.version, NEW.id, pg_current_xact_id()::text, clock_timestamp());
    RETURN NULL;
END $$;
CREATE TRIGGER chaos_journal AFTER INSERT ON profile.outbox_events FOR EACH ROW EXECUTE FUNCTION chaos.note_event();

CREATE FUNCTION chaos.note_deletion() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    INSERT INTO chaos.deleted SELECT id, clock_timestamp() FROM gone;
    RETURN NULL;
END $$;
CREATE TRIGGER chaos_deleted AFTER DELETE ON profile.outbox_deliveries REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION chaos.note_deletion();

CREATE FUNCTION chaos.note_owner() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    INSERT INTO chaos.owners VALUES (NEW.lane, NEW.epoch, NEW.owner) ON CONFLICT DO NOTHING;
    -- A lane whose owner did not give it away: its lease ended, because of a fault or of a machine that was too busy.
    IF OLD.owner <> NEW.owner THEN
        INSERT INTO chaos.takeovers VALUES (NEW.lane, NEW.epoch);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER chaos_owners AFTER UPDATE ON profile.outbox_lanes FOR EACH ROW
    WHEN (NEW.owner IS NOT NULL AND (OLD.owner, OLD.epoch) IS DISTINCT FROM (NEW.owner, NEW.epoch)) EXECUTE FUNCTION chaos.note_owner();

CREATE FUNCTION chaos.note_effect() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    IF TG_OP = 'INSERT' OR OLD.state <> NEW.state THEN
        INSERT INTO chaos.effects VALUES (NEW.event_id, NEW.state);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER chaos_effects AFTER INSERT OR UPDATE ON profile.inbox_events FOR EACH ROW EXECUTE FUNCTION chaos.note_effect();

CREATE FUNCTION chaos.note_fall() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    IF TG_OP = 'DELETE' OR NEW.version < OLD.version OR NEW.created_version < OLD.created_version
        OR NEW.deleted_version < OLD.deleted_version OR NEW.title_version < OLD.title_version
        OR NEW.description_version < OLD.description_version OR NEW.status_version < OLD.status_version
        OR NEW.visibility_version < OLD.visibility_version OR NEW.duration_version < OLD.duration_version
        OR NEW.uploader_version < OLD.uploader_version OR NEW.thumbnail_version < OLD.thumbnail_version
        OR NEW.playlist_version < OLD.playlist_version OR NEW.published_version < OLD.published_version THEN
        INSERT INTO chaos.falls VALUES (OLD.video_id);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER chaos_falls AFTER UPDATE OR DELETE ON profile.videos_projection FOR EACH ROW EXECUTE FUNCTION chaos.note_fall();

-- What the database refuses although it decodes: the consumer has to find it by halving its batch.
CREATE FUNCTION chaos.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.title = 'refuse me' THEN
        RAISE EXCEPTION 'refused' USING ERRCODE = 'numeric_value_out_of_range';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER chaos_refuse BEFORE INSERT OR UPDATE ON profile.videos_projection FOR EACH ROW EXECUTE FUNCTION chaos.refuse();
`
