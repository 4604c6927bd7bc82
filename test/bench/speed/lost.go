package main

import (
	"bufio"
	"context"
	"fmt"
	"os"

	"github.com/jackc/pgx/v5"
)

// lost counts the acknowledged likes of a journal that the database does not have, and fails when counters
// differ from a recount.
func (w *overloaded) lost(ctx context.Context, path string) (lost int, err error) {
	file, err := os.Open(path) //nolint:gosec // G304: in our own directory
	if err != nil {
		return 0, err
	}
	defer file.Close()
	conn, err := pgx.Connect(ctx, w.db.server.SuperURL(ourDatabase))
	if err != nil {
		return 0, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if _, err := conn.Exec(ctx, "CREATE TEMP TABLE journal (user_id uuid, video_id uuid)"); err != nil {
		return 0, err
	}
	lines := bufio.NewScanner(file)
	source := pgx.CopyFromFunc(func() ([]any, error) {
		if !lines.Scan() {
			return nil, lines.Err()
		}
		var user, video int
		if _, err := fmt.Sscanf(lines.Text(), "%d %d", &user, &video); err != nil {
			return nil, fmt.Errorf("read journal: %w", err)
		}
		return []any{[16]byte(userID(user)), [16]byte(videoID(video))}, nil
	})
	if _, err := conn.CopyFrom(ctx, pgx.Identifier{"journal"}, []string{"user_id", "video_id"}, source); err != nil {
		return 0, err
	}
	if _, err := conn.Exec(ctx, "ANALYZE journal"); err != nil {
		return 0, err
	}
	err = conn.QueryRow(ctx, `SELECT count(*) FROM journal j WHERE NOT EXISTS (SELECT FROM profile.engagements e
		WHERE e.user_id = j.user_id AND e.video_id = j.video_id AND e.engagement_type = 'like' AND e.deleted_at IS NULL)`).Scan(&lost)
	if err != nil {
		return lost, err
	}
	return lost, recount(ctx, conn, ourRecount)
}
