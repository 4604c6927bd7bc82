package repositories

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/models/po"
	"github.com/lingo-services/profile/internal/repositories/profiledb"
)

type eventLogRepo struct {
	q *profiledb.Queries
	// db is for statements that name a slot's table.
	db profiledb.DBTX
}

// allSlots are the numbers of the ring's parts.
func allSlots() []int16 {
	slots := make([]int16, po.LogSlots)
	for i := range slots {
		slots[i] = int16(i)
	}
	return slots
}

func (r eventLogRepo) Slots(ctx context.Context) (slots []po.LogSlot, now time.Time, err error) {
	rows, err := r.q.ListLogSlots(ctx, allSlots())
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("list slots of the event log: %w", translate(err))
	}
	for _, row := range rows {
		now = row.Now.UTC()
		slots = append(slots, po.LogSlot{
			Slot: int32(row.Slot), FirstID: row.FirstID, LastID: row.LastID, FirstAt: row.FirstAt.UTC(), LastAt: row.LastAt.UTC(),
		})
	}
	return slots, now, nil
}

func (r eventLogRepo) Scan(ctx context.Context, q po.LogScan) ([]po.LoggedEvent, error) {
	rows, err := r.q.ScanLog(ctx, profiledb.ScanLogParams{
		Slot: int16(q.Slot), AfterID: q.After, PageLimit: q.Limit, Since: q.Since, Until: q.Until, OnlyKey: uuid.UUID(q.Key), OnlyType: q.Type,
	})
	if err != nil {
		return nil, fmt.Errorf("read event log: %w", translate(err))
	}
	events := make([]po.LoggedEvent, len(rows))
	for i, row := range rows {
		events[i] = po.LoggedEvent{ID: row.ID, Key: models.UserID(row.OrderingKey), Type: row.EventType, Repeatable: row.Repeatable}
	}
	return events, nil
}

func (r eventLogRepo) Requeue(ctx context.Context, slot int32, events []po.LoggedEvent) ([]int64, error) {
	p := profiledb.RequeueEventsParams{Slot: int16(slot)}
	for _, e := range events {
		p.Ids = append(p.Ids, e.ID)
		p.Lanes = append(p.Lanes, po.Event{UserID: e.Key}.Lane())
		p.OrderingKeys = append(p.OrderingKeys, uuid.UUID(e.Key))
	}
	queued, err := r.q.RequeueEvents(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("queue events again: %w", translate(err))
	}
	return queued, nil
}

func (r eventLogRepo) Expired(ctx context.Context, retention time.Duration) ([]int32, error) {
	return r.expired(ctx, allSlots(), retention)
}

func (r eventLogRepo) expired(ctx context.Context, among []int16, retention time.Duration) ([]int32, error) {
	rows, err := r.q.ListExpiredSlots(ctx, profiledb.ListExpiredSlotsParams{Slots: among, Retention: interval(retention)})
	if err != nil {
		return nil, fmt.Errorf("list expired slots of the event log: %w", translate(err))
	}
	slots := make([]int32, len(rows))
	for i, slot := range rows {
		slots[i] = int32(slot)
	}
	return slots, nil
}

func (r eventLogRepo) Empty(ctx context.Context, slot int32, retention, patience time.Duration) (emptied bool, err error) {
	locked, err := r.q.TryLockLog(ctx)
	if err != nil {
		return false, fmt.Errorf("lock event log: %w", translate(err))
	}
	if !locked {
		return false, nil
	}
	// While this waits for the lock, readers of the slot wait behind it.
	for _, statement := range []string{
		fmt.Sprintf("SET LOCAL lock_timeout = %d", patience.Milliseconds()),
		fmt.Sprintf("LOCK TABLE profile.outbox_events_%d IN ACCESS EXCLUSIVE MODE", slot),
	} {
		if _, err := r.db.Exec(ctx, statement); err != nil {
			return false, fmt.Errorf("lock slot %d: %w", slot, translate(err))
		}
	}
	// Only what is seen under the lock counts: a replay may have queued some of it just before.
	still, err := r.expired(ctx, []int16{int16(slot)}, retention)
	if err != nil || len(still) == 0 {
		return false, err
	}
	if _, err := r.db.Exec(ctx, fmt.Sprintf("TRUNCATE profile.outbox_events_%d", slot)); err != nil {
		return false, fmt.Errorf("truncate slot %d: %w", slot, translate(err))
	}
	return true, nil
}
