package cataloginbox

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"cloud.google.com/go/pubsub/v2"

	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/models/po"
	"github.com/lingo-services/profile/internal/services"
)

// worker settles every message of the queue, one batch at a time.
type worker struct {
	*Runner
	queue chan *delivery
	// stopping is closed when no more messages are wanted.
	stopping <-chan struct{}
	// failures counts tries since the database last served.
	failures      int
	confirmations sync.WaitGroup
}

func (w *worker) run(ctx context.Context) {
	for batch := w.next(); batch != nil; batch = w.next() {
		w.settle(ctx, batch)
	}
}

// next waits for a message and then, until linger is over or we stop, for more. nil at the end of the queue.
func (w *worker) next() []*delivery {
	first, open := <-w.queue
	if !open {
		return nil
	}
	batch := []*delivery{first}
	linger := time.NewTimer(w.opts.Linger)
	defer linger.Stop()
	for len(batch) < w.opts.Batch {
		select {
		case d, open := <-w.queue:
			if !open {
				return batch
			}
			batch = append(batch, d)
			continue
		default:
		}
		select {
		case d, open := <-w.queue:
			if !open {
				return batch
			}
			batch = append(batch, d)
		case <-linger.C:
			return batch
		case <-w.stopping:
			return batch
		}
	}
	return batch
}

// settle acknowledges or gives back every message of batch.
func (w *worker) settle(ctx context.Context, batch []*delivery) {
	b := &settling{worker: w, lost: map[string]bool{}}
	var broken, sound []*delivery
	for _, d := range batch {
		if d.err != nil {
			broken = append(broken, d)
		} else {
			sound = append(sound, d)
		}
	}
	b.park(ctx, broken)
	b.apply(ctx, sound)
}

// settling is one batch on its way. lost are the ordering keys of messages that were given back: later ones of
// such a key will come again after it, and are not taken before it.
type settling struct {
	*worker
	lost map[string]bool
}

// apply halves a batch that the database refuses until what it refuses is alone: O(log n) transactions each.
func (b *settling) apply(ctx context.Context, batch []*delivery) {
	if batch = b.wanted(batch); len(batch) == 0 {
		return
	}
	err := b.try(ctx, func(ctx context.Context) error {
		start := time.Now()
		counts, err := b.inbox.Apply(ctx, eventsOf(batch))
		if err != nil {
			return err
		}
		b.observer.Committed(len(batch), time.Since(start))
		b.observer.Counted(Applied, counts.Applied)
		b.observer.Counted(Stale, counts.Stale)
		b.observer.Counted(Duplicate, counts.Duplicates)
		return nil
	})
	switch half := len(batch) / 2; {
	case err == nil:
		for _, d := range batch {
			b.doubt(d.event, Dropped, d.event.Dropped)
			b.doubt(d.event, Unknown, d.event.Unknown)
		}
		b.acknowledge(ctx, batch)
	case !isRefusal(err):
		b.giveBack(batch)
	case half == 0:
		batch[0].err = err
		b.park(ctx, batch)
	default:
		b.apply(ctx, batch[:half])
		b.apply(ctx, batch[half:])
	}
}

// park keeps what cannot be applied. What cannot even be kept is left to the subscription's dead-letter policy.
func (b *settling) park(ctx context.Context, batch []*delivery) {
	if batch = b.wanted(batch); len(batch) == 0 {
		return
	}
	err := b.try(ctx, func(ctx context.Context) error { return b.inbox.Park(ctx, failuresOf(batch)) })
	switch half := len(batch) / 2; {
	case err == nil:
		for _, d := range batch {
			b.parked(d)
		}
		b.acknowledge(ctx, batch)
	case !isRefusal(err):
		b.giveBack(batch)
	case half == 0:
		b.log.Error("a catalog message can be neither applied nor kept", "event_id", batch[0].failure().EventID.String(), "error", err)
		b.pause(ctx)
		b.giveBack(batch)
	default:
		b.park(ctx, batch[:half])
		b.park(ctx, batch[half:])
	}
}

func (b *settling) parked(d *delivery) {
	result := Dead
	if d.state() == po.Parked {
		result = Parked
	}
	b.observer.Counted(result, 1)
	f := d.failure()
	b.log.Warn("catalog event kept aside", "verdict", string(result), "event_id", f.EventID.String(), "reason", f.Reason, "video_id", f.AggregateID)
}

func (b *settling) doubt(e services.CatalogEvent, fault Fault, fields []string) {
	if len(fields) == 0 {
		return
	}
	b.observer.Faulty(fault, len(fields))
	b.log.Warn("catalog event applied with faulty fields", "fault", string(fault), "fields", fields, "event_id", e.ID.String(), "video_id", e.Change.VideoID.String())
}

// wanted gives back what follows a lost message of its key.
func (b *settling) wanted(batch []*delivery) []*delivery {
	var wanted, lost []*delivery
	for _, d := range batch {
		if b.lost[d.message.OrderingKey] {
			lost = append(lost, d)
		} else {
			wanted = append(wanted, d)
		}
	}
	b.giveBack(lost)
	return wanted
}

// try runs fn until it succeeds, the database refuses the data, patience is over or we stop. A failure is always
// followed by a pause, so that what is given back does not come round in a spin.
func (w *worker) try(ctx context.Context, fn func(ctx context.Context) error) error {
	for until := time.Now().Add(w.opts.Patience); ; {
		err := once(ctx, fn)
		if err == nil || isRefusal(err) {
			w.failures = 0
			return err
		}
		w.failures++
		w.log.Warn("catalog inbox cannot store", "error", err, "count", w.failures)
		if !w.pause(ctx) || time.Now().After(until) {
			return err
		}
	}
}

func once(ctx context.Context, fn func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, tryTimeout)
	defer cancel()
	return fn(ctx)
}

// isRefusal tells what the database will never take from what it cannot do now.
func isRefusal(err error) bool { return errors.Is(err, models.ErrInvalidArgument) }

// pause waits longer the more often the database has failed; false when we stop.
func (w *worker) pause(ctx context.Context) bool {
	ceiling := w.opts.BackoffMax
	if shift := max(w.failures-1, 0); shift < 20 {
		ceiling = min(ceiling, w.opts.BackoffMin<<shift)
	}
	timer := time.NewTimer(w.opts.BackoffMin/2 + rand.N(ceiling)) //nolint:gosec // spreading retries needs no secrecy
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-w.stopping:
		return false
	case <-ctx.Done():
		return false
	}
}

// acknowledge tells the broker; the transaction is committed. With exactly-once delivery the broker answers,
// and one it did not accept comes again, as a duplicate.
func (w *worker) acknowledge(ctx context.Context, batch []*delivery) {
	results := make([]*pubsub.AckResult, len(batch))
	for i, d := range batch {
		results[i] = d.message.AckWithResult()
		w.observer.Settled(d.message.PublishTime)
	}
	w.confirmations.Go(func() {
		for _, result := range results {
			if _, err := result.Get(ctx); err != nil && ctx.Err() == nil {
				w.observer.AckFailed()
				w.log.Warn("acknowledgement failed", "error", err)
			}
		}
	})
}

func (b *settling) giveBack(batch []*delivery) {
	if len(batch) == 0 {
		return
	}
	for _, d := range batch {
		if key := d.message.OrderingKey; key != "" {
			b.lost[key] = true
		}
		d.message.Nack()
		b.observer.Settled(d.message.PublishTime)
	}
	b.observer.Nacked(len(batch))
}
