package main

import (
	"context"
	"errors"
	"time"

	"cloud.google.com/go/pubsub/v2"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	infrapubsub "github.com/lingo-services/profile/internal/infrastructure/pubsub"
	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/models/po"
)

// The table and the tick of the textbook.
const (
	textbookTable = `
CREATE SCHEMA IF NOT EXISTS textbook;
CREATE TABLE IF NOT EXISTS textbook.outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, event_id uuid NOT NULL, ordering_key uuid NOT NULL, event_type text NOT NULL,
    version bigint NOT NULL, payload bytea NOT NULL, occurred_at timestamptz NOT NULL, published_at timestamptz);
CREATE INDEX IF NOT EXISTS outbox_unpublished ON textbook.outbox (id) WHERE published_at IS NULL;`
	textbookBatch = 100
	textbookTick  = 10 * time.Millisecond
)

// textbook drains a table of its own as books do: every tick one transaction reads a batch with SKIP LOCKED,
// publishes it, waits, and marks each event.
func (w *world) textbook(ctx context.Context, users, n int) (cost, error) {
	if _, err := w.pool.Exec(ctx, textbookTable); err != nil {
		return cost{}, err
	}
	list := events(users, n)
	_, err := w.pool.CopyFrom(ctx, pgx.Identifier{"textbook", "outbox"}, []string{"event_id", "ordering_key", "event_type", "version", "payload", "occurred_at"},
		pgx.CopyFromSlice(n, func(i int) ([]any, error) {
			e := list[i]
			return []any{e.ID, uuid.UUID(e.UserID), e.Type, e.Version, e.Payload, e.OccurredAt}, nil
		}))
	if err != nil {
		return cost{}, err
	}
	topic, err := infrapubsub.NewEventTopic(ctx, w.client, w.conf.GetMessaging())
	if err != nil {
		return cost{}, err
	}
	defer topic.Stop()
	return w.measure(ctx, n, func() (time.Duration, error) {
		tick := time.NewTicker(textbookTick)
		defer tick.Stop()
		begin := time.Now()
		for left := n; left > 0; <-tick.C {
			published, err := w.textbookTurn(ctx, topic)
			if err != nil {
				return 0, err
			}
			left -= published
		}
		return time.Since(begin), nil
	})
}

// textbookTurn publishes one batch and returns how many events that were.
func (w *world) textbookTurn(ctx context.Context, topic *pubsub.Publisher) (n int, err error) {
	err = pgx.BeginFunc(ctx, w.worker, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `SELECT id, event_id, ordering_key, event_type, version, payload, occurred_at FROM textbook.outbox
			WHERE published_at IS NULL ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED`, textbookBatch)
		if err != nil {
			return err
		}
		var ids []int64
		var messages []*pubsub.Message
		_, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (struct{}, error) {
			var e po.Event
			var id int64
			var user uuid.UUID
			err := row.Scan(&id, &e.ID, &user, &e.Type, &e.Version, &e.Payload, &e.OccurredAt)
			e.UserID = models.UserID(user)
			ids, messages = append(ids, id), append(messages, message(e))
			return struct{}{}, err
		})
		if err := errors.Join(err, publishAll(ctx, topic, messages)); err != nil {
			return err
		}
		for _, id := range ids {
			if _, err := tx.Exec(ctx, "UPDATE textbook.outbox SET published_at = now() WHERE id = $1", id); err != nil {
				return err
			}
		}
		n = len(ids)
		return nil
	})
	return n, err
}
