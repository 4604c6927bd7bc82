package repositories

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/models/po"
	"github.com/lingo-services/profile/internal/repositories/profiledb"
)

type deliveryRepo struct{ q *profiledb.Queries }

func (r deliveryRepo) Forget(ctx context.Context, events []po.Delivered) error {
	params := profiledb.ForgetDeliveriesParams{Lanes: make([]int16, len(events)), Ids: make([]int64, len(events))}
	for i, e := range events {
		params.Lanes[i], params.Ids[i] = int16(e.Lane), e.ID
	}
	if err := r.q.ForgetDeliveries(ctx, params); err != nil {
		return fmt.Errorf("forget deliveries: %w", translate(err))
	}
	return nil
}

func (r deliveryRepo) Take(ctx context.Context, t po.Take) (po.Taken, error) {
	params := profiledb.TakeDeliveriesParams{Snapshot: t.Snapshot}
	for _, l := range t.Lanes {
		params.Lanes = append(params.Lanes, int16(l.Number))
		params.Epochs = append(params.Epochs, l.Epoch)
		params.Cursors = append(params.Cursors, l.After)
		params.Limits = append(params.Limits, int32(l.Limit))
	}
	rows, err := r.q.TakeDeliveries(ctx, params)
	if err != nil {
		return po.Taken{}, fmt.Errorf("take deliveries: %w", translate(err))
	}
	taken := po.Taken{Deliveries: make([]po.Delivery, 0, len(rows)), Snapshot: rows[0].Snapshot}
	for _, row := range rows {
		if row.ID != 0 {
			taken.Deliveries = append(taken.Deliveries, delivery(row))
		}
	}
	slices.SortFunc(taken.Deliveries, func(a, b po.Delivery) int { return cmp.Compare(a.ID, b.ID) })
	return taken, nil
}

func delivery(row profiledb.TakeDeliveriesRow) po.Delivery {
	return po.Delivery{
		ID: row.ID, Lane: int32(row.Lane), EventID: row.EventID, AggregateType: row.AggregateType, AggregateID: row.AggregateID,
		EventType: row.EventType, Key: models.UserID(row.OrderingKey), Version: row.Version, Payload: row.Payload,
		TraceParent: row.TraceParent, OccurredAt: row.OccurredAt, Attempts: row.DeliveryAttempts, Dead: row.Dead,
		Age: seconds(row.AgeSeconds),
	}
}

func (r deliveryRepo) Refuse(ctx context.Context, refusal po.Refusal) (dead, found bool, err error) {
	text := storable(refusal.Error)
	row, err := r.q.RefuseDelivery(ctx, profiledb.RefuseDeliveryParams{
		ID: refusal.ID, Epoch: refusal.Lane.Epoch, LastError: &text, RetryAfter: interval(refusal.RetryAfter),
		MaxAttempts: int32(refusal.MaxAttempts),
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return false, false, nil
	}
	if err != nil {
		return false, false, fmt.Errorf("refuse delivery: %w", translate(err))
	}
	return row.Dead, true, nil
}

func (r deliveryRepo) OldestUnread(ctx context.Context, lanes []po.Cursor) (time.Duration, error) {
	var params profiledb.OldestUnreadParams
	for _, l := range lanes {
		params.Lanes = append(params.Lanes, int16(l.Number))
		params.Cursors = append(params.Cursors, l.After)
	}
	age, err := r.q.OldestUnread(ctx, params)
	if err != nil {
		return 0, fmt.Errorf("find oldest unread event: %w", translate(err))
	}
	return seconds(age), nil
}

func (r deliveryRepo) EstimateBacklog(ctx context.Context) (int64, error) {
	backlog, err := r.q.EstimateBacklog(ctx)
	if err != nil {
		return 0, fmt.Errorf("estimate backlog: %w", translate(err))
	}
	return backlog, nil
}

// maxErrorText keeps a broker's essay out of the queue.
const maxErrorText = 1000

// storable makes any text one that a text column takes.
func storable(text string) string {
	text = strings.ReplaceAll(strings.ToValidUTF8(text, "�"), "\x00", "�")
	if len(text) > maxErrorText {
		text = strings.ToValidUTF8(text[:maxErrorText], "")
	}
	return text
}

type laneRepo struct{ q *profiledb.Queries }

func (r laneRepo) Meet(ctx context.Context, instance string, lease time.Duration) (int, error) {
	publishers, err := r.q.MeetPublishers(ctx, profiledb.MeetPublishersParams{Instance: instance, Lease: interval(lease)})
	if err != nil {
		return 0, fmt.Errorf("meet publishers: %w", translate(err))
	}
	return int(publishers), nil
}

func (r laneRepo) Leave(ctx context.Context, instance string) error {
	if err := r.q.LeavePublishers(ctx, instance); err != nil {
		return fmt.Errorf("leave publishers: %w", translate(err))
	}
	return nil
}

func (r laneRepo) Renew(ctx context.Context, instance string, lease time.Duration) ([]po.Lane, error) {
	rows, err := r.q.RenewLanes(ctx, profiledb.RenewLanesParams{Instance: instance, Lease: interval(lease)})
	if err != nil {
		return nil, fmt.Errorf("renew lanes: %w", translate(err))
	}
	lanes := make([]po.Lane, len(rows))
	for i, row := range rows {
		lanes[i] = po.Lane{Number: int32(row.Lane), Epoch: row.Epoch}
	}
	return lanes, nil
}

func (r laneRepo) Acquire(ctx context.Context, instance string, lease time.Duration, atMost int) ([]po.Lane, error) {
	rows, err := r.q.AcquireLanes(ctx, profiledb.AcquireLanesParams{
		Instance: instance, Lease: interval(lease), LaneLimit: int32(atMost),
	})
	if err != nil {
		return nil, fmt.Errorf("acquire lanes: %w", translate(err))
	}
	lanes := make([]po.Lane, len(rows))
	for i, row := range rows {
		lanes[i] = po.Lane{Number: int32(row.Lane), Epoch: row.Epoch}
	}
	return lanes, nil
}

func (r laneRepo) Release(ctx context.Context, instance string, lanes []int32) error {
	params := profiledb.ReleaseLanesParams{Instance: instance}
	for _, lane := range lanes {
		params.Lanes = append(params.Lanes, int16(lane))
	}
	if err := r.q.ReleaseLanes(ctx, params); err != nil {
		return fmt.Errorf("release lanes: %w", translate(err))
	}
	return nil
}

func interval(d time.Duration) pgtype.Interval {
	return pgtype.Interval{Microseconds: d.Microseconds(), Valid: true}
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
