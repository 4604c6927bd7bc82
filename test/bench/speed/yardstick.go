package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// The yardsticks are what a user could have instead: the smallest honest SQL for the same result, in tables of
// its own with the same amount of data. Nothing here knows how the service does it.
//
// yardstick.register and watch have their primary key only. liked and watched are the lists, whose primary key
// is the order they are read in. request holds ready-made arrays of ids, so that the server under measurement
// does not spend its time hashing numbers into ids.
const yardstickSchema = `
CREATE SCHEMA yardstick;
CREATE TABLE yardstick.register (user_id uuid, video_id uuid, type smallint, active boolean NOT NULL, at timestamptz NOT NULL,
	PRIMARY KEY (user_id, video_id, type));
CREATE TABLE yardstick.counter (video_id uuid PRIMARY KEY, like_count bigint NOT NULL, bookmark_count bigint NOT NULL DEFAULT 0,
	watchers bigint NOT NULL DEFAULT 0) WITH (fillfactor = 70);
CREATE TABLE yardstick.event (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, user_id uuid NOT NULL, video_id uuid NOT NULL,
	active boolean NOT NULL, at timestamptz NOT NULL DEFAULT now());
CREATE TABLE yardstick.watch (user_id uuid, video_id uuid, position_seconds bigint NOT NULL, seconds bigint NOT NULL, at timestamptz NOT NULL,
	PRIMARY KEY (user_id, video_id));
CREATE TABLE yardstick.projection (video_id uuid PRIMARY KEY, title text NOT NULL, description text NOT NULL, duration bigint NOT NULL,
	thumbnail text NOT NULL);
CREATE TABLE yardstick.liked (user_id uuid, at timestamptz, video_id uuid, PRIMARY KEY (user_id, at, video_id));
CREATE TABLE yardstick.watched (user_id uuid, at timestamptz, video_id uuid, position_seconds bigint NOT NULL, PRIMARY KEY (user_id, at, video_id));
CREATE TABLE yardstick.request (spread text, n int, ids uuid[] NOT NULL, PRIMARY KEY (spread, n));
`

// requests is how many ready-made batches there are of each spread.
const requests = 2000

func createYardsticks(ctx context.Context, db *database) error {
	err := db.super(ctx, ourDatabase, "CREATE DATABASE "+otherDatabase)
	const duplicate = "42P04"
	var known *pgconn.PgError
	if err != nil && (!errors.As(err, &known) || known.Code != duplicate) {
		return err
	}
	return nil
}

func fillYardsticks(ctx context.Context, conn *pgx.Conn, d dataset, p progress) error {
	for _, sql := range []string{"DROP SCHEMA IF EXISTS yardstick CASCADE", yardstickSchema} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return fmt.Errorf("schema: %w", err)
		}
	}
	now := time.Now().UTC().Truncate(time.Second)
	err := copyRows(ctx, conn, pgx.Identifier{"yardstick", "register"}, []string{"user_id", "video_id", "type", "active", "at"},
		newRows(d, d.liked, p, "yardstick likes", func(r row) []any { return []any{r.user, r.video, 1, true, r.at(now)} }))
	if err != nil {
		return err
	}
	err = copyRows(ctx, conn, pgx.Identifier{"yardstick", "watch"}, []string{"user_id", "video_id", "position_seconds", "seconds", "at"},
		newRows(d, d.watched, p, "yardstick watch rows", func(r row) []any { return []any{r.user, r.video, 60, 60, r.at(now)} }))
	if err != nil {
		return err
	}
	p("yardstick lists", 0, 0)
	for _, sql := range []string{
		"INSERT INTO yardstick.liked SELECT user_id, at, video_id FROM yardstick.register ORDER BY 1, 2, 3",
		"INSERT INTO yardstick.watched SELECT user_id, at, video_id, position_seconds FROM yardstick.watch ORDER BY 1, 2, 3",
		fmt.Sprintf(`INSERT INTO yardstick.projection SELECT md5('v' || v)::uuid, 'Lesson ' || v, repeat('About lesson ' || v || '. ', 6), %d,
			'https://cdn.example/' || v || '.jpg' FROM generate_series(1, %d) v`, videoSeconds, d.Videos),
		`INSERT INTO yardstick.counter (video_id, like_count, watchers) SELECT video_id, coalesce(l.n, 0), coalesce(w.n, 0) FROM yardstick.projection
			LEFT JOIN (SELECT video_id, count(*) AS n FROM yardstick.register GROUP BY 1) l USING (video_id)
			LEFT JOIN (SELECT video_id, count(*) AS n FROM yardstick.watch GROUP BY 1) w USING (video_id)`,
	} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return fmt.Errorf("%.60s: %w", sql, err)
		}
	}
	return fillRequests(ctx, conn, d)
}

func fillRequests(ctx context.Context, conn *pgx.Conn, d dataset) error {
	r := newRand(1, 1)
	for _, spread := range []string{uniform, zipf} {
		video, err := newSpread(spread, d.Videos, r)
		if err != nil {
			return err
		}
		n := 0
		source := pgx.CopyFromFunc(func() ([]any, error) {
			if n++; n > requests {
				return nil, nil // the end
			}
			ids := make([][16]byte, batchIDs)
			for i := range ids {
				ids[i] = videoID(video())
			}
			return []any{spread, n, ids}, nil
		})
		if err := copyRows(ctx, conn, pgx.Identifier{"yardstick", "request"}, []string{"spread", "n", "ids"}, source); err != nil {
			return err
		}
	}
	return nil
}

// yardLike is Y1, and Y2 with one video: one statement that makes the register match, moves the counter by the
// change, notes one event, and returns the count. Removing what was never there writes nothing.
func yardLike(d dataset, spread string) string {
	return randomUser(d) + spreadSQL(spread, d.Videos) + `\set active random(0, 1)
WITH want AS (SELECT ` + userSQL + ` AS user_id, ` + videoSQL + ` AS video_id, :active::int = 1 AS active),
put AS (
	INSERT INTO yardstick.register AS r (user_id, video_id, type, active, at)
	SELECT user_id, video_id, 1, active, now() FROM want w
	WHERE active OR EXISTS (SELECT FROM yardstick.register o WHERE (o.user_id, o.video_id, o.type) = (w.user_id, w.video_id, 1))
	ON CONFLICT (user_id, video_id, type) DO UPDATE SET active = excluded.active, at = excluded.at WHERE r.active <> excluded.active
	RETURNING user_id, video_id, active),
moved AS (
	UPDATE yardstick.counter c SET like_count = like_count + CASE WHEN put.active THEN 1 ELSE -1 END FROM put WHERE c.video_id = put.video_id
	RETURNING like_count),
noted AS (INSERT INTO yardstick.event (user_id, video_id, active) SELECT user_id, video_id, active FROM put)
SELECT coalesce((SELECT like_count FROM moved), (SELECT like_count FROM yardstick.counter c JOIN want USING (video_id)));
`
}

// yardProgress is Y3. As in the service's workload nine reports in ten are about a video the user has watched.
func yardProgress(d dataset) string {
	return randomUser(d) + spreadSQL(uniform, d.Videos) + fmt.Sprintf(`\set k random(0, %d)
\set fresh random(0, %d)
\set position random(0, %d)
\if :fresh
\set v 1 + (:u * %d + :k * %d) %% %d
\endif
INSERT INTO yardstick.watch AS w (user_id, video_id, position_seconds, seconds, at) VALUES (%s, %s, :position, :position, now())
ON CONFLICT (user_id, video_id) DO UPDATE SET position_seconds = excluded.position_seconds, seconds = greatest(w.seconds, excluded.seconds), at = excluded.at
RETURNING position_seconds, seconds;
`, d.Warm-1, newVideoShare-1, videoSeconds, watchedFactor, d.Videos/d.Warm, d.Videos, userSQL, videoSQL)
}

// yardBatch is Y4.
func yardBatch(d dataset, spread string) string {
	return randomUser(d) + fmt.Sprintf(`\set n random(1, %d)
SELECT v.id, r.active, r.at, c.like_count, c.bookmark_count, c.watchers
FROM unnest((SELECT ids FROM yardstick.request WHERE spread = '%s' AND n = :n)) WITH ORDINALITY AS v (id, ordinal)
LEFT JOIN yardstick.register r ON (r.user_id, r.video_id, r.type) = (%s, v.id, 1)
LEFT JOIN yardstick.counter c ON c.video_id = v.id ORDER BY v.ordinal;
`, requests, spread, userSQL)
}

// yardFavorites is Y5.
func yardFavorites(d dataset) string {
	return randomUser(d) + fmt.Sprintf(`SELECT l.video_id, l.at, p.title, p.description, p.duration, p.thumbnail, c.like_count, c.bookmark_count, c.watchers
FROM (SELECT video_id, at FROM yardstick.liked WHERE user_id = %s ORDER BY at DESC, video_id DESC LIMIT %d) l
JOIN yardstick.projection p USING (video_id) JOIN yardstick.counter c USING (video_id) ORDER BY l.at DESC, l.video_id DESC;
`, userSQL, pageRows)
}

// yardHistory is Y5 for the history.
func yardHistory(d dataset) string {
	return strings.NewReplacer("yardstick.liked", "yardstick.watched", "SELECT video_id, at FROM", "SELECT video_id, at, position_seconds FROM",
		"SELECT l.video_id, l.at,", "SELECT l.video_id, l.at, l.position_seconds,").Replace(yardFavorites(d))
}

func randomUser(d dataset) string { return fmt.Sprintf("\\set u random(1, %d)\n", d.Users) }
