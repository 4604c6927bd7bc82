package services

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/lingo-services/profile/internal/models"
)

const (
	// renewalGap is how long what was asked for is gathered, renewalBatch how many are read at a time.
	renewalGap, renewalBatch = 100 * time.Millisecond, 500
	renewalTimeout           = time.Second
)

// renewal reads again what callers found in a cache and what will soon be too old, so that what is in use is never missed,
// and no caller waits for it. It reads on one connection at a time. What it cannot read is missed when its time is over.
// Nothing runs while nothing is asked for.
type renewal[V any] struct {
	cache ByVideo[V]
	// read answers in order and length of ids.
	read func(ctx context.Context, ids []models.VideoID) ([]V, error)

	mu  sync.Mutex
	due []Read[V]
	// running: what is due now is read when the run that is under way, or waits, has ended.
	running bool
}

func newRenewal[V any](cache ByVideo[V], read func(ctx context.Context, ids []models.VideoID) ([]V, error)) *renewal[V] {
	return &renewal[V]{cache: cache, read: read}
}

// add asks for those that were found with a lease.
func (r *renewal[V]) add(ids []models.VideoID, found []Cached[V]) {
	var due []Read[V]
	for i, f := range found {
		if f.Found && f.Lease.Version != 0 {
			due = append(due, Read[V]{VideoID: ids[i], Lease: f.Lease})
		}
	}
	if len(due) == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.due = append(r.due, due...)
	r.schedule()
}

// schedule has what is due read a moment later. The lock is held.
func (r *renewal[V]) schedule() {
	if len(r.due) > 0 && !r.running {
		r.running = true
		time.AfterFunc(renewalGap, r.run)
	}
}

func (r *renewal[V]) run() {
	r.mu.Lock()
	due := r.due
	r.due = nil
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.running = false
		r.schedule()
	}()
	ctx, cancel := context.WithTimeout(context.Background(), renewalTimeout)
	defer cancel()
	for some := range slices.Chunk(due, renewalBatch) {
		ids := make([]models.VideoID, len(some))
		for i, d := range some {
			ids[i] = d.VideoID
		}
		values, err := r.read(ctx, ids)
		if err != nil {
			return
		}
		for i := range some {
			some[i].Value = values[i]
		}
		r.cache.Fill(some)
	}
}
