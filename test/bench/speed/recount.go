package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// Videos whose counter of likes differs from a recount. A contestant that is fast and wrong has not been
// measured.
const (
	ourRecount = `SELECT s.video_id FROM profile.video_stats s
		LEFT JOIN (SELECT video_id, count(*) AS n FROM profile.engagements WHERE engagement_type = 'like' AND deleted_at IS NULL GROUP BY 1) e USING (video_id)
		WHERE s.like_count <> coalesce(e.n, 0)`
	otherRecount = `SELECT c.video_id FROM yardstick.counter c
		LEFT JOIN (SELECT video_id, count(*) AS n FROM yardstick.register WHERE type = 1 AND active GROUP BY 1) r USING (video_id)
		WHERE c.like_count <> coalesce(r.n, 0)`
)

// recount fails when there is such a video.
func recount(ctx context.Context, conn *pgx.Conn, sql string) error {
	rows, err := conn.Query(ctx, sql)
	if err != nil {
		return err
	}
	wrong, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err == nil && len(wrong) > 0 {
		err = fmt.Errorf("%d videos' counters differ from a recount, for example %s", len(wrong), wrong[0])
	}
	return err
}

// recountBoth does so for the service and the yardsticks.
func (t *topology) recountBoth(ctx context.Context) (err error) {
	for name, sql := range map[string]string{ourDatabase: ourRecount, otherDatabase: otherRecount} {
		conn, e := pgx.Connect(ctx, t.db.server.SuperURL(name))
		if e == nil {
			e = errors.Join(recount(ctx, conn, sql), conn.Close(ctx))
		}
		if e != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", name, e))
		}
	}
	return err
}
