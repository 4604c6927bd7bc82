package maintenance

import (
	"context"
	"errors"
	"time"

	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/repositories"
)

// job does what is due and returns how much it removed or judged, also when it fails.
type job func(ctx context.Context) (removed int64, err error)

func (r *Runner) job(name Job) job {
	switch name {
	case EventLog:
		return r.emptySlots
	case InboxEvents:
		return r.batches(func(ctx context.Context) (int64, error) {
			return r.inbox.Prune(ctx, r.opts.InboxRetention, r.opts.Batch)
		})
	case IdempotencyKeys:
		return r.batches(r.pruneKeys)
	case WatchSessions:
		return r.batches(r.pruneSessions)
	case UnjudgedWatches:
		return r.batches(func(ctx context.Context) (int64, error) { return r.watches.Judge(ctx, r.opts.Batch) })
	}
	panic("no job " + name)
}

// emptySlots removes the days of the event log that have expired, each in a transaction of its own. One that
// is being read does not hold up the others; it is tried again with the next run.
func (r *Runner) emptySlots(ctx context.Context) (emptied int64, err error) {
	var slots []int32
	err = r.store.Queue(ctx, func(ctx context.Context, tx *repositories.Tx) (err error) {
		slots, err = tx.EventLog.Expired(ctx, r.opts.EventRetention)
		return err
	})
	for _, slot := range slots {
		var done bool
		err = errors.Join(err, r.store.Queue(ctx, func(ctx context.Context, tx *repositories.Tx) (err error) {
			done, err = tx.EventLog.Empty(ctx, slot, r.opts.EventRetention, lockPatience)
			return err
		}))
		if done {
			emptied++
		}
	}
	return emptied, err
}

func (r *Runner) pruneKeys(ctx context.Context) (removed int64, err error) {
	err = r.store.Write(ctx, models.ServiceActor, func(ctx context.Context, tx *repositories.Tx) error {
		removed, err = tx.Idempotency.Prune(ctx, r.opts.Batch)
		return err
	})
	return removed, err
}

func (r *Runner) pruneSessions(ctx context.Context) (removed int64, err error) {
	err = r.store.Write(ctx, models.ServiceActor, func(ctx context.Context, tx *repositories.Tx) error {
		removed, err = tx.WatchLogs.PruneSessions(ctx, r.opts.SessionRetention, r.opts.Batch)
		return err
	})
	return removed, err
}

// batches repeats prune until it finds less than a batch, or for an interval; the next run goes on. Instances
// may prune side by side: they pass over rows that another one is removing.
func (r *Runner) batches(prune func(ctx context.Context) (int64, error)) job {
	return func(ctx context.Context) (total int64, err error) {
		for end := time.Now().Add(r.opts.Interval); ; {
			n, err := prune(ctx)
			total += n
			if err != nil || n < int64(r.opts.Batch) || time.Now().After(end) {
				return total, err
			}
		}
	}
}
