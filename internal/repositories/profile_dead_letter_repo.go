package repositories

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/models/po"
	"github.com/lingo-services/profile/internal/repositories/profiledb"
)

type deadLetterRepo struct{ q *profiledb.Queries }

func (r deadLetterRepo) List(ctx context.Context, q po.StuckQuery) ([]po.StuckEvent, error) {
	rows, err := r.q.ListStuckEvents(ctx, profiledb.ListStuckEventsParams{
		Retrying: q.Retrying, AfterID: q.After, OrderingKey: uuid.UUID(q.Key), PageLimit: q.Limit, CountLimit: po.OutboxCountLimit,
		Ids: append([]int64{}, q.IDs...), EventIDs: append([]uuid.UUID{}, q.EventIDs...), // NULL has no cardinality
	})
	if err != nil {
		return nil, fmt.Errorf("list refused events: %w", translate(err))
	}
	events := make([]po.StuckEvent, len(rows))
	for i, row := range rows {
		events[i] = po.StuckEvent{
			ID: row.ID, EventID: row.EventID, EventType: row.EventType, Key: models.UserID(row.OrderingKey), Version: row.Version,
			Attempts: row.DeliveryAttempts, Error: row.LastError, CreatedAt: row.CreatedAt.UTC(), DeadAt: utc(row.DeadAt), Waiting: row.Waiting,
		}
	}
	return events, nil
}

func (r deadLetterRepo) Redrive(ctx context.Context, ids []int64) ([]int64, error) {
	redriven, err := r.q.RedriveDeadLetters(ctx, ids)
	if err != nil {
		return nil, fmt.Errorf("redrive dead letters: %w", translate(err))
	}
	return redriven, nil
}

func (r deadLetterRepo) Skip(ctx context.Context, s po.Skip) (bool, error) {
	n, err := r.q.SkipDeadLetter(ctx, profiledb.SkipDeadLetterParams{ID: s.ID, Operator: s.Operator, Reason: s.Reason})
	if err != nil {
		return false, fmt.Errorf("skip dead letter: %w", translate(err))
	}
	return n == 1, nil
}

func (r deadLetterRepo) Lanes(ctx context.Context) ([]po.LaneStatus, error) {
	rows, err := r.q.ListLanes(ctx)
	if err != nil {
		return nil, fmt.Errorf("list lanes: %w", translate(err))
	}
	lanes := make([]po.LaneStatus, len(rows))
	for i, row := range rows {
		lanes[i] = po.LaneStatus{Lane: po.Lane{Number: int32(row.Lane), Epoch: row.Epoch}, Owner: row.Owner, Lease: seconds(row.LeaseSeconds)}
	}
	return lanes, nil
}

func (r deadLetterRepo) Count(ctx context.Context) (po.OutboxCounts, error) {
	row, err := r.q.OutboxCounts(ctx, po.OutboxCountLimit)
	if err != nil {
		return po.OutboxCounts{}, fmt.Errorf("count dead letters: %w", translate(err))
	}
	return po.OutboxCounts{DeadLetters: row.DeadLetters, Skipped: row.Skipped, Publishers: row.Publishers}, nil
}
