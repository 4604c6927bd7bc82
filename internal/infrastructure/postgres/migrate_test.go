package postgres_test

import (
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/lingo-services/profile/internal/infrastructure/postgres"
	"github.com/lingo-services/profile/migrations"
	"github.com/lingo-services/profile/test/testkit"
)

// catalogue is one line for everything a migration can create in schema profile.
const catalogue = `
WITH objects AS (SELECT c.* FROM pg_class c WHERE c.relnamespace = 'profile'::regnamespace)
SELECT line FROM (
    SELECT format('relation %s %s options %s acl %s rls %s %s owner %s bound %s', relname, relkind, reloptions, relacl, relrowsecurity,
                  relforcerowsecurity, relowner::regrole, pg_get_expr(relpartbound, oid)) AS line FROM objects
    UNION ALL
    SELECT format('column %s.%s %s %s null %s identity %s generated %s default %s', o.relname, a.attnum, a.attname,
                  format_type(a.atttypid, a.atttypmod), NOT a.attnotnull, a.attidentity, a.attgenerated, pg_get_expr(d.adbin, d.adrelid))
    FROM objects o JOIN pg_attribute a ON a.attrelid = o.oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN pg_attrdef d ON d.adrelid = o.oid AND d.adnum = a.attnum
    UNION ALL
    SELECT format('constraint %s on %s %s valid %s', k.conname, o.relname, pg_get_constraintdef(k.oid), k.convalidated)
    FROM objects o JOIN pg_constraint k ON k.conrelid = o.oid
    UNION ALL
    SELECT format('index %s valid %s', pg_get_indexdef(i.indexrelid), i.indisvalid) FROM objects o JOIN pg_index i ON i.indrelid = o.oid
    UNION ALL
    SELECT format('function %s acl %s', pg_get_functiondef(p.oid), p.proacl) FROM pg_proc p WHERE p.pronamespace = 'profile'::regnamespace
    UNION ALL
    SELECT format('trigger %s enabled %s', pg_get_triggerdef(g.oid), g.tgenabled)
    FROM objects o JOIN pg_trigger g ON g.tgrelid = o.oid AND NOT g.tgisinternal
    UNION ALL
    SELECT format('policy %s on %s %s %s %s %s', policyname, tablename, permissive, roles, cmd, qual) FROM pg_policies WHERE schemaname = 'profile'
    UNION ALL
    SELECT format('view %s %s', relname, pg_get_viewdef(oid)) FROM objects WHERE relkind = 'v'
    UNION ALL
    SELECT format('schema %s acl %s', nspname, nspacl) FROM pg_namespace WHERE nspname = 'profile') AS all_of_it
ORDER BY line`

func dump(t testing.TB, db *testkit.Database) []string {
	t.Helper()
	return list[string](t, db, catalogue)
}

// feed runs whole migration files, Down section and all, as psql would.
func feed(t testing.TB, db *testkit.Database) {
	t.Helper()
	names, err := fs.Glob(migrations.FS, "*.sql")
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(names), 2)
	conn, err := pgx.Connect(t.Context(), db.OwnerURL)
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close(t.Context())) }()
	for _, name := range names {
		text, err := fs.ReadFile(migrations.FS, name)
		require.NoError(t, err)
		for _, statements := range fedAtOnce(string(text)) {
			require.NoError(t, conn.PgConn().Exec(t.Context(), statements).Close(), name)
		}
	}
}

// fedAtOnce is what psql sends together: a whole file is quicker, but what must not run in a transaction goes
// statement by statement.
func fedAtOnce(text string) (parts []string) {
	if !strings.Contains(text, "+goose NO TRANSACTION") {
		return []string{text}
	}
	quoted, part := false, ""
	for line := range strings.Lines(text) {
		part += line
		quoted = quoted != (strings.Count(line, "$$")%2 == 1)
		if !quoted && strings.HasSuffix(strings.TrimSpace(line), ";") {
			parts, part = append(parts, part), ""
		}
	}
	return append(parts, part)
}

// fileNames are all migrations in order.
func fileNames(t testing.TB) []string {
	t.Helper()
	names, err := fs.Glob(migrations.FS, "*.sql")
	require.NoError(t, err)
	require.Subset(t, names, []string{"101_create_profile_schema.sql", "102_create_row_security.sql"})
	return names
}

func TestM19_FeedingTheFilesTwiceChangesAndDropsNothing(t *testing.T) {
	t.Parallel()
	db := testkit.NewEmptyDatabase(t)
	feed(t, db)
	addRows(t, db, uuid.New())
	schema, rows := dump(t, db), db.RowCounts(t)
	require.Greater(t, len(schema), 200)
	require.Equal(t, int64(1), rows["users"])
	feed(t, db)
	require.Equal(t, schema, dump(t, db))
	require.Equal(t, rows, db.RowCounts(t))
}

func TestM19_MigratingAndFeedingGiveTheSameSchema(t *testing.T) {
	t.Parallel()
	fed := testkit.NewEmptyDatabase(t)
	feed(t, fed)
	gone := migrated(t)
	require.Equal(t, dump(t, fed), dump(t, gone))
	addRows(t, fed, uuid.New())
	up(t, fed)
	require.Equal(t, dump(t, gone), dump(t, fed), "migrate up over a schema that psql made")
	require.Equal(t, int64(1), fed.RowCounts(t)["users"])
}

func TestM19_UpStatusDownUp(t *testing.T) {
	t.Parallel()
	db := testkit.NewEmptyDatabase(t)
	files := fileNames(t)
	applied := func() (names []string) {
		all, err := postgres.MigrateStatus(t.Context(), db.OwnerURL)
		require.NoError(t, err)
		require.Len(t, all, len(files), "every migration is listed, applied or not")
		for i, m := range all {
			require.Equal(t, int64(101+i), m.Version)
			if m.Applied {
				names = append(names, m.Name)
			}
		}
		return names
	}
	require.Empty(t, applied())
	require.Equal(t, files, up(t, db))
	require.Equal(t, files, applied())
	schema := dump(t, db)
	require.Empty(t, up(t, db), "nothing is missing")
	require.Equal(t, schema, dump(t, db))

	for last := len(files) - 1; last > 0; last-- {
		require.Equal(t, files[last], down(t, db))
		require.Equal(t, files[:last], applied())
	}
	require.Empty(t, list[string](t, db, "SELECT policyname::text FROM pg_policies WHERE schemaname = 'profile'"))
	require.Equal(t, files[0], down(t, db))
	require.Empty(t, applied())
	require.Empty(t, list[string](t, db, "SELECT nspname::text FROM pg_namespace WHERE nspname = 'profile'"))
	require.Empty(t, down(t, db), "nothing is left to take back")

	require.Equal(t, files, up(t, db))
	require.Equal(t, schema, dump(t, db))
}

func TestM19_ConcurrentMigrationsApplyEachFileOnce(t *testing.T) {
	t.Parallel()
	db := testkit.NewEmptyDatabase(t)
	var mu sync.Mutex
	var applied []string
	for _, err := range together(2, func(int) error {
		names, err := postgres.MigrateUp(t.Context(), db.OwnerURL)
		mu.Lock()
		defer mu.Unlock()
		applied = append(applied, names...)
		return err
	}) {
		require.NoError(t, err)
	}
	slices.Sort(applied)
	require.Equal(t, fileNames(t), applied)
	require.Equal(t, dump(t, migrated(t)), dump(t, db))
}

func TestM7_SchemaHasItsTables(t *testing.T) {
	t.Parallel()
	tables := list[string](t, migrated(t), "SELECT table_name::text FROM information_schema.tables WHERE table_schema = 'profile'")
	require.Subset(t, tables, []string{"users", "engagements", "watch_logs", "videos_projection", "video_stats", "outbox_events", "inbox_events"})
}

// busy tables have no trigger: their statements move updated_at themselves.
var busy = []string{"engagements", "user_stats", "video_stats", "watch_logs"}

func TestM46_EveryUpdatedAtFollowsItsRow(t *testing.T) {
	t.Parallel()
	db := migrated(t)
	require.True(t, testkit.One[bool](t, db, "SELECT to_regprocedure('profile.tg_set_updated_at()') IS NOT NULL"))
	with := list[string](t, db, "SELECT table_name::text FROM information_schema.columns WHERE table_schema = 'profile' AND column_name = 'updated_at'")
	require.Contains(t, with, "users")
	triggered := list[string](t, db, `SELECT c.relname::text FROM pg_trigger g JOIN pg_class c ON c.oid = g.tgrelid
		WHERE g.tgfoid = 'profile.tg_set_updated_at'::regproc`)
	require.ElementsMatch(t, with, append(triggered, busy...))
}

func TestM46_StatementsOnBusyTablesMoveUpdatedAt(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../../sqlc/profile/*.sql")
	require.NoError(t, err)
	seen := map[string]bool{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		for statement := range strings.SplitSeq(string(text), ";") {
			for _, table := range busy {
				updates := strings.Contains(statement, "UPDATE profile."+table) ||
					strings.Contains(statement, "INTO profile."+table) && strings.Contains(statement, "DO UPDATE")
				if updates {
					seen[table] = true
					require.Regexp(t, `updated_at +=`, statement, table)
				}
			}
		}
	}
	require.Len(t, seen, len(busy))
}

func TestM46_UpdateMovesUpdatedAtWhateverItSays(t *testing.T) {
	t.Parallel()
	db := migrated(t)
	db.Exec(t, "INSERT INTO profile.users (user_id, display_name, updated_at) VALUES (gen_random_uuid(), 'Ada', '2000-01-01')")
	db.Exec(t, "UPDATE profile.users SET display_name = 'Grace', updated_at = '2000-01-01'")
	require.True(t, testkit.One[bool](t, db, "SELECT updated_at >= now() - interval '1 hour' AND created_at <= updated_at FROM profile.users"))
}

func TestS72_RowsFromBeforeTakeTheRuleOfTombstones(t *testing.T) {
	t.Parallel()
	db := migrated(t)
	for down(t, db) != "109_tombstones_hold.sql" {
		continue
	}
	db.Exec(t, `INSERT INTO profile.videos_projection (video_id, title, version, created_version, deleted_version, thumbnail_version, status, status_version, visibility_status)
		VALUES (gen_random_uuid(), 'late thumbnail', 4, 1, 3, 4, 'ready', 1, 'public'), (gen_random_uuid(), 'status after', 4, 1, 3, 0, 'ready', 4, 'public'),
		       (gen_random_uuid(), 'created after', 4, 4, 3, 0, NULL, 0, NULL), (gen_random_uuid(), 'upper case', 1, 1, 0, 0, 'READY', 1, 'Public'),
		       (gen_random_uuid(), 'never deleted', 2, 1, 0, 2, 'ready', 1, 'public'), (gen_random_uuid(), 'deleted last', 3, 1, 3, 0, 'ready', 1, 'public')`)
	const availability = "SELECT title || ': ' || availability FROM profile.videos_projection ORDER BY title"
	require.Equal(t, []string{
		"created after: available", "deleted last: deleted", "late thumbnail: available", "never deleted: available", "status after: available", "upper case: private",
	}, list[string](t, db, availability), "before")
	untouched := "SELECT xmin::text FROM profile.videos_projection WHERE title NOT IN ('late thumbnail', 'upper case') ORDER BY title"
	before := list[string](t, db, untouched)
	up(t, db)
	require.Equal(t, []string{
		"created after: available", "deleted last: deleted", "late thumbnail: deleted", "never deleted: available", "status after: available", "upper case: available",
	}, list[string](t, db, availability))
	require.Equal(t, before, list[string](t, db, untouched), "rows that do not change are not written")
}

func TestM42_UnusableURLIsRefusedWithoutItsPassword(t *testing.T) {
	t.Parallel()
	for name, raw := range map[string]string{
		"not a URL":       "postgres://u:hush@[bad/db",
		"bad port":        "postgres://u:hush@127.0.0.1:notaport/db",
		"nobody listens":  "postgres://u:hush@127.0.0.1:1/db?sslmode=disable",
		"wrong parameter": "postgres://u:hush@127.0.0.1:1/db?sslmode=maybe",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := postgres.MigrateUp(t.Context(), raw)
			require.Error(t, err)
			require.NotContains(t, err.Error(), "hush")
			_, err = postgres.MigrateDown(t.Context(), raw)
			require.Error(t, err)
			require.NotContains(t, err.Error(), "hush")
			_, err = postgres.MigrateStatus(t.Context(), raw)
			require.Error(t, err)
			require.NotContains(t, err.Error(), "hush")
			err = postgres.SetRowSecurity(t.Context(), raw, true)
			require.Error(t, err)
			require.NotContains(t, err.Error(), "hush")
		})
	}
}

// A migration needs a role that may create things; the service's own must not be able to.
func TestM42_TheServiceCannotMigrate(t *testing.T) {
	t.Parallel()
	db := migrated(t)
	app, err := url.Parse(db.AppURL)
	require.NoError(t, err)
	if app.User.Username() != "profile_app" {
		require.Equal(t, db.OwnerURL, db.AppURL, "a given server has one role for everything")
		return
	}
	_, err = postgres.MigrateDown(t.Context(), db.AppURL)
	require.Error(t, err)
	require.NotZero(t, db.RowCounts(t)["outbox_lanes"])
}
