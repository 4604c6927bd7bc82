package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// progress is told how far loading has come; total is 0 when it is not known.
type progress func(what string, done, total int)

// loadedMark is in the comment of a database whose data is complete.
func loadedMark(d dataset) string { return fmt.Sprintf("bench data 1: %+v", d) }

// load fills the service's database and the yardsticks' with the same data, unless they have it.
func load(ctx context.Context, db *database, d dataset, p progress) error {
	if err := createYardsticks(ctx, db); err != nil {
		return err
	}
	for name, fill := range map[string]func(context.Context, *pgx.Conn, dataset, progress) error{ourDatabase: fillOurs, otherDatabase: fillYardsticks} {
		if err := fillOnce(ctx, db, name, d, p, fill); err != nil {
			return fmt.Errorf("database %s: %w", name, err)
		}
	}
	return db.super(ctx, ourDatabase, "CHECKPOINT")
}

func fillOnce(ctx context.Context, db *database, name string, d dataset, p progress, fill func(context.Context, *pgx.Conn, dataset, progress) error) error {
	conn, err := pgx.Connect(ctx, db.server.SuperURL(name))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	var mark string
	err = conn.QueryRow(ctx, "SELECT coalesce(shobj_description(oid, 'pg_database'), '') FROM pg_database WHERE datname = current_database()").Scan(&mark)
	if err != nil || mark == loadedMark(d) {
		return err
	}
	if mark != "" {
		return fmt.Errorf("holds other data (%s): give another -data-dir, or remove it", mark)
	}
	if err := fill(ctx, conn, d, p); err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, "VACUUM (ANALYZE)"); err != nil {
		return err
	}
	_, err = conn.Exec(ctx, fmt.Sprintf("COMMENT ON DATABASE %s IS '%s'", pgx.Identifier{name}.Sanitize(), loadedMark(d)))
	return err
}

// fillOurs loads the service's tables: columns by name, defaults for the rest, indexes but the primary keys
// made afterwards.
func fillOurs(ctx context.Context, conn *pgx.Conn, d dataset, p progress) error {
	tables := []string{"users", "user_stats", "engagements", "watch_logs", "videos_projection", "video_stats"}
	for _, table := range tables {
		if _, err := conn.Exec(ctx, "TRUNCATE profile."+table); err != nil { // what an interrupted load left
			return err
		}
	}
	restore, err := withoutIndexes(ctx, conn, "profile", []string{"engagements", "watch_logs"})
	if err != nil {
		return err
	}
	statements := []string{
		fmt.Sprintf(`INSERT INTO profile.videos_projection (video_id, uploader_id, title, description, duration_micros, thumbnail_url, status, visibility_status,
			published_at, version, created_version, uploader_version, title_version, description_version, duration_version, thumbnail_version, status_version,
			visibility_version, published_version)
		SELECT md5('v' || v)::uuid, md5('uploader' || v)::uuid, 'Lesson ' || v, repeat('About lesson ' || v || '. ', 6), %d, 'https://cdn.example/' || v || '.jpg',
			'published', 'public', now() - v * interval '1 minute', 1, 1, 1, 1, 1, 1, 1, 1, 1, 1
		FROM generate_series(1, %d) v`, videoSeconds*time.Second.Microseconds(), d.Videos),
		fmt.Sprintf(`INSERT INTO profile.users (user_id, display_name, avatar_url, learning_goal, daily_quota_minutes, extra)
		SELECT md5(u::text)::uuid, 'Learner ' || u, 'https://cdn.example/avatar/' || u || '.png', 'Twenty minutes of listening every day', 20,
			'{"theme": "dark", "captions": true}' FROM generate_series(1, %d) u`, d.Users),
		fmt.Sprintf(`INSERT INTO profile.user_stats (user_id, like_count, watched_count)
		SELECT md5(u::text)::uuid, %d, %d FROM generate_series(1, %d) u`, d.Warm, d.Warm, d.Users),
	}
	for _, sql := range statements {
		p("profile", 0, 0)
		if _, err := conn.Exec(ctx, sql); err != nil {
			return fmt.Errorf("%.60s: %w", sql, err)
		}
	}
	now := time.Now().UTC().Truncate(time.Second)
	err = copyRows(ctx, conn, pgx.Identifier{"profile", "engagements"},
		[]string{"user_id", "video_id", "engagement_type", "engaged_at", "state_at", "last_event_at"}, newRows(d, d.liked, p, "likes", func(r row) []any {
			at := r.at(now)
			return []any{r.user, r.video, "like", at, at, at}
		}))
	if err != nil {
		return err
	}
	err = copyRows(ctx, conn, pgx.Identifier{"profile", "watch_logs"},
		[]string{
			"user_id", "video_id", "position_seconds", "ratio_bp", "resume_at", "max_ratio_bp", "reported_seconds", "counted_seconds", "qualified_at",
			"last_emitted_ratio_bp", "first_watched_at", "last_watched_at", "expires_at",
		}, newRows(d, d.watched, p, "watch rows", func(r row) []any {
			const position, ratio, kept = 60, 1000, 180 * 24 * time.Hour
			at := r.at(now)
			return []any{r.user, r.video, position, ratio, at, ratio, position, position, at, ratio, at, at, at.Add(kept)}
		}))
	if err != nil {
		return err
	}
	if d.hasDeepUsers() {
		for _, sql := range d.deepUsers() {
			if _, err := conn.Exec(ctx, sql); err != nil {
				return fmt.Errorf("%.60s: %w", sql, err)
			}
		}
	}
	p("indexes", 0, 0)
	if err := restore(ctx); err != nil {
		return err
	}
	p("counters", 0, 0)
	_, err = conn.Exec(ctx, `INSERT INTO profile.video_stats (video_id, like_count, unique_watchers, total_watch_seconds)
		SELECT p.video_id, coalesce(l.n, 0), coalesce(w.n, 0), coalesce(w.seconds, 0) FROM profile.videos_projection p
		LEFT JOIN (SELECT video_id, count(*) AS n FROM profile.engagements GROUP BY 1) l USING (video_id)
		LEFT JOIN (SELECT video_id, count(*) AS n, sum(counted_seconds) AS seconds FROM profile.watch_logs GROUP BY 1) w USING (video_id)`)
	return err
}

// row is one user's k-th video.
type row struct {
	user, video uuid.UUID
	n, k        int
}

// at spreads a user's rows over the past, the k-th the k-th newest.
func (r row) at(now time.Time) time.Time {
	return now.Add(-time.Duration(r.k)*time.Hour - time.Duration(r.n%3600)*time.Second)
}

// rows gives every user's videos in the order of their primary key, so that its index grows at its end.
type rows struct {
	d      dataset
	nth    func(user, k int) int
	values func(row) []any
	p      progress
	what   string
	users  []int
	ids    []uuid.UUID
	videos []uuid.UUID
	batch  []row
	next   int
	user   int
}

func newRows(d dataset, nth func(user, k int) int, p progress, what string, values func(row) []any) *rows {
	r := &rows{d: d, nth: nth, values: values, p: p, what: what, users: make([]int, d.Users), ids: make([]uuid.UUID, d.Users+1), videos: make([]uuid.UUID, d.Videos+1)}
	for i := range r.users {
		r.users[i] = i + 1
		r.ids[i+1] = userID(i + 1)
	}
	for v := 1; v <= d.Videos; v++ {
		r.videos[v] = videoID(v)
	}
	slices.SortFunc(r.users, func(a, b int) int { return bytes.Compare(r.ids[a][:], r.ids[b][:]) })
	return r
}

// Next implements pgx.CopyFromSource.
func (r *rows) Next() bool {
	r.next++
	if r.next < len(r.batch) {
		return true
	}
	if r.user == len(r.users) {
		return false
	}
	n := r.users[r.user]
	r.user++
	r.batch, r.next = r.batch[:0], 0
	for k := range r.d.Warm {
		r.batch = append(r.batch, row{user: r.ids[n], video: r.videos[r.nth(n, k)], n: n, k: k})
	}
	slices.SortFunc(r.batch, func(a, b row) int { return bytes.Compare(a.video[:], b.video[:]) })
	const often = 1000
	if r.user%often == 0 || r.user == len(r.users) {
		r.p(r.what, r.user*r.d.Warm, r.d.Users*r.d.Warm)
	}
	return len(r.batch) > 0
}

// Values implements pgx.CopyFromSource.
func (r *rows) Values() ([]any, error) { return r.values(r.batch[r.next]), nil }

// Err implements pgx.CopyFromSource.
func (r *rows) Err() error { return nil }

func copyRows(ctx context.Context, conn *pgx.Conn, table pgx.Identifier, columns []string, source pgx.CopyFromSource) error {
	if _, err := conn.CopyFrom(ctx, table, columns, source); err != nil {
		return fmt.Errorf("copy into %s: %w", table.Sanitize(), err)
	}
	return nil
}

// withoutIndexes drops the indexes that no constraint needs, whichever there are, and returns how to make them
// again. They are noted in the database first, so that an interrupted load does not lose them.
func withoutIndexes(ctx context.Context, conn *pgx.Conn, schema string, tables []string) (restore func(context.Context) error, err error) {
	_, err = conn.Exec(ctx, "CREATE TABLE IF NOT EXISTS public.bench_indexes (name text PRIMARY KEY, definition text NOT NULL)")
	if err != nil {
		return nil, err
	}
	_, err = conn.Exec(ctx, `INSERT INTO public.bench_indexes
		SELECT format('%I.%I', n.nspname, c.relname), pg_get_indexdef(i.indexrelid)
		FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid JOIN pg_namespace n ON n.oid = t.relnamespace
		WHERE n.nspname = $1 AND t.relname = ANY ($2) AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = i.indexrelid)
		ON CONFLICT DO NOTHING`, schema, tables)
	if err != nil {
		return nil, err
	}
	noted, err := conn.Query(ctx, "SELECT name, definition FROM public.bench_indexes")
	if err != nil {
		return nil, err
	}
	type index struct{ name, definition string }
	indexes, err := pgx.CollectRows(noted, func(row pgx.CollectableRow) (i index, err error) { return i, row.Scan(&i.name, &i.definition) })
	if err != nil {
		return nil, err
	}
	slices.SortFunc(indexes, func(a, b index) int { return cmp.Compare(a.name, b.name) })
	for _, i := range indexes {
		if _, e := conn.Exec(ctx, "DROP INDEX IF EXISTS "+i.name); e != nil {
			err = errors.Join(err, e)
		}
	}
	return func(ctx context.Context) error {
		for _, i := range indexes {
			if _, err := conn.Exec(ctx, i.definition); err != nil {
				return fmt.Errorf("restore index %s: %w", i.name, err)
			}
		}
		_, err := conn.Exec(ctx, "DROP TABLE public.bench_indexes")
		return err
	}, err
}
