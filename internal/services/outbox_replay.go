package services

import (
	"context"
	"slices"
	"time"

	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/models/po"
	"github.com/lingo-services/profile/internal/repositories"
)

const (
	// replayBatch is how many events of the log one transaction looks at.
	replayBatch = 1000
	// slotSlack: the ends of a slot are told by ids, which may be in another order than times by as much as a
	// statement takes.
	slotSlack = time.Minute
)

func (s *outboxService) Replay(ctx context.Context, q ReplayQuery, dryRun bool, advance func(step, total int64)) (Replayed, error) {
	slots, now, err := s.slots(ctx)
	if err != nil || len(slots) == 0 {
		return Replayed{}, err
	}
	// Ids count from 1, and the slots come in the order of theirs.
	done := Replayed{ByType: map[string]int64{}, From: q.From, Oldest: slots[0].FirstAt, Gone: slots[0].FirstID - 1}
	if q.From.IsZero() {
		done.From = now.Add(-q.Since)
	}
	until := q.To
	if until.IsZero() {
		until = now
	}
	slots = slices.DeleteFunc(slots, func(l po.LogSlot) bool {
		return l.LastAt.Add(slotSlack).Before(done.From) || l.FirstAt.Add(-slotSlack).After(until)
	})
	var total int64
	for _, l := range slots {
		total += l.LastID - l.FirstID + 1
	}
	for _, l := range slots {
		scan := po.LogScan{
			Slot: l.Slot, After: l.FirstID - 1, Limit: replayBatch, Since: done.From, Until: until, Key: q.Key, Type: q.Type,
		}
		for scan.After < l.LastID {
			page, repeated, err := s.replay(ctx, scan, dryRun)
			if err != nil {
				return done, err
			}
			for _, e := range repeated {
				done.ByType[e.Type]++
			}
			if len(page) == 0 {
				break
			}
			last := page[len(page)-1].ID
			advance(min(last, l.LastID)-scan.After, total)
			scan.After = last
		}
	}
	return done, nil
}

func (s *outboxService) slots(ctx context.Context) (slots []po.LogSlot, now time.Time, err error) {
	err = s.store.Read(ctx, models.ServiceActor, func(ctx context.Context, tx *repositories.Tx) error {
		slots, now, err = tx.EventLog.Slots(ctx)
		return err
	})
	return slots, now, err
}

// replay looks at one page and queues what of it was delivered.
func (s *outboxService) replay(ctx context.Context, scan po.LogScan, dryRun bool) (page, repeated []po.LoggedEvent, err error) {
	transact := s.store.Write
	if dryRun {
		transact = s.store.Read
	}
	err = transact(ctx, models.ServiceActor, func(ctx context.Context, tx *repositories.Tx) error {
		if page, err = tx.EventLog.Scan(ctx, scan); err != nil {
			return err
		}
		repeated = slices.DeleteFunc(slices.Clone(page), func(e po.LoggedEvent) bool { return !e.Repeatable })
		if dryRun || len(repeated) == 0 {
			return nil
		}
		queued, err := tx.EventLog.Requeue(ctx, scan.Slot, repeated)
		isQueued := setOf(queued)
		repeated = slices.DeleteFunc(repeated, func(e po.LoggedEvent) bool { return !isQueued[e.ID] })
		return err
	})
	return page, repeated, err
}
