package services

import (
	"context"
	"slices"

	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/models/po"
	"github.com/lingo-services/profile/internal/repositories"
)

type outboxService struct{ store Store }

// NewOutboxService operates on the queue in store.
func NewOutboxService(store Store) OutboxService { return &outboxService{store} }

func (s *outboxService) Status(ctx context.Context) (status OutboxStatus, err error) {
	err = s.store.Read(ctx, models.ServiceActor, func(ctx context.Context, tx *repositories.Tx) error {
		if status.OutboxCounts, err = tx.DeadLetters.Count(ctx); err != nil {
			return err
		}
		if status.Lanes, err = tx.DeadLetters.Lanes(ctx); err != nil {
			return err
		}
		if status.Backlog, err = tx.Deliveries.EstimateBacklog(ctx); err != nil {
			return err
		}
		starts := make([]po.Cursor, len(status.Lanes))
		for i, l := range status.Lanes {
			starts[i] = po.Cursor{Lane: l.Lane}
		}
		status.Lag, err = tx.Deliveries.OldestUnread(ctx, starts)
		return err
	})
	return status, err
}

func (s *outboxService) List(ctx context.Context, q StuckQuery) (events []StuckEvent, err error) {
	err = s.store.Read(ctx, models.ServiceActor, func(ctx context.Context, tx *repositories.Tx) error {
		events, err = tx.DeadLetters.List(ctx, q)
		return err
	})
	return events, err
}

func (s *outboxService) Redrive(ctx context.Context, q StuckQuery, dryRun bool) (events []StuckEvent, err error) {
	q.Retrying = false
	if dryRun {
		return s.List(ctx, q)
	}
	err = s.store.Write(ctx, models.ServiceActor, func(ctx context.Context, tx *repositories.Tx) error {
		if events, err = tx.DeadLetters.List(ctx, q); err != nil {
			return err
		}
		ids := make([]int64, len(events))
		for i, e := range events {
			ids[i] = e.ID
		}
		redriven, err := tx.DeadLetters.Redrive(ctx, ids)
		isRedriven := setOf(redriven)
		events = slices.DeleteFunc(events, func(e StuckEvent) bool { return !isRedriven[e.ID] })
		return err
	})
	return events, err
}

func (s *outboxService) Skip(ctx context.Context, skip Skip) (found bool, err error) {
	err = s.store.Write(ctx, models.ServiceActor, func(ctx context.Context, tx *repositories.Tx) error {
		found, err = tx.DeadLetters.Skip(ctx, skip)
		return err
	})
	return found, err
}
