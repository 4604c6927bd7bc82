package main

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"

	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/models/po"
	"github.com/lingo-services/profile/internal/repositories"
)

const (
	payloadBytes = 300
	eventType    = "profile.engagement.added"
)

// events are n events of new users, spread evenly, versions dense.
func events(users, n int) []po.Event {
	keys := make([]models.UserID, users)
	for i := range keys {
		keys[i] = models.UserID(uuid.New())
	}
	list := make([]po.Event, n)
	for i := range list {
		list[i] = event(keys[i%users], int64(i/users)+1)
	}
	return list
}

func event(user models.UserID, version int64) po.Event {
	payload := make([]byte, payloadBytes)
	for i := range payload {
		payload[i] = byte(rand.Uint32()) //nolint:gosec // filling
	}
	return po.Event{ID: uuid.Must(uuid.NewV7()), Type: eventType, UserID: user, Version: version, OccurredAt: time.Now().UTC(), Payload: payload}
}

// fill stores events in the outbox, as business transactions of a thousand would.
func (w *world) fill(ctx context.Context, list []po.Event) error {
	const chunk = 1000
	store := w.store(w.pool, repositories.NoWaker{})
	for from := 0; from < len(list); from += chunk {
		err := store.Write(ctx, models.ServiceActor, func(ctx context.Context, tx *repositories.Tx) error {
			return tx.Outbox.Append(ctx, list[from:min(from+chunk, len(list))])
		})
		if err != nil {
			return err
		}
	}
	_, err := w.pool.Exec(ctx, "VACUUM (ANALYZE) profile.outbox_deliveries, profile.outbox_events")
	return err
}
