package credential

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

const (
	// fresh is how long keys are used before they are fetched again, without anybody waiting.
	fresh = time.Hour
	// lasting is how long they are used while the issuer does not answer.
	lasting = 24 * time.Hour
	// apart is the least time between two fetches, whatever tokens ask for.
	apart = 5 * time.Minute
	// anew is the same while there are no keys at all.
	anew = 10 * time.Second
)

// ring has an issuer's keys as they were fetched last.
type ring struct {
	issuer  string
	load    load
	fetches *fetches
	now     func() time.Time
	log     *slog.Logger

	mu sync.Mutex
	// keys are nil before the first fetch that succeeded, at fetched.
	keys    keySet
	fetched time.Time
	// tried is when the last fetch began; running is closed when it is over and nil when none runs.
	tried   time.Time
	running chan struct{}
}

func newRing(issuer string, load load, fetches *fetches, o Options) *ring {
	return &ring{issuer: issuer, load: load, fetches: fetches, now: o.Now, log: o.Log}
}

// find implements keySource. It fetches when kid is unknown, but not more often than every `apart`.
func (r *ring) find(ctx context.Context, kid string) (signingKey, error) {
	keys := r.current()
	if keys == nil {
		if err := wait(ctx, r.refresh(anew)); err != nil {
			return signingKey{}, err
		}
		if keys = r.current(); keys == nil {
			return signingKey{}, errUnavailable
		}
	}
	if key, err := keys.find(ctx, kid); err == nil {
		return key, nil
	}
	if err := wait(ctx, r.refresh(apart)); err != nil {
		return signingKey{}, err
	}
	return r.current().find(ctx, kid)
}

// current are the keys in use; nil when there are none or they have become too old to trust.
func (r *ring) current() keySet {
	r.mu.Lock()
	keys, age := r.keys, r.now().Sub(r.fetched)
	r.mu.Unlock()
	switch {
	case keys == nil || age >= lasting:
		return nil
	case age >= fresh:
		r.refresh(apart)
	}
	return keys
}

// refresh begins to fetch unless it does already or the last fetch began less than least ago. The channel is closed
// once there is nothing to wait for.
func (r *ring) refresh(least time.Duration) <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.running != nil {
		return r.running
	}
	done := make(chan struct{})
	if !r.tried.IsZero() && r.now().Sub(r.tried) < least {
		close(done)
		return done
	}
	r.tried, r.running = r.now(), done
	r.fetches.begin(func(ctx context.Context) {
		document, err := r.load(ctx)
		var keys keySet
		if err == nil {
			keys, err = parseKeys(document)
		}
		r.fetchedKeys(keys, err)
		close(done)
	})
	return done
}

func (r *ring) fetchedKeys(keys keySet, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.running = nil
	if err != nil {
		r.log.Warn("the keys of a token issuer could not be fetched", "source", r.issuer, "error", err.Error())
		return
	}
	r.keys, r.fetched = keys, r.now()
}

func wait(ctx context.Context, done <-chan struct{}) error {
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return errUnavailable
	}
}

// fetches are those that run. They belong to nobody's call: others wait for the same one.
type fetches struct {
	ctx     context.Context //nolint:containedctx // it is the life of the goroutines, which outlive every call
	cancel  context.CancelFunc
	running sync.WaitGroup
}

func newFetches() *fetches {
	ctx, cancel := context.WithCancel(context.Background())
	return &fetches{ctx: ctx, cancel: cancel}
}

func (f *fetches) begin(fetch func(context.Context)) {
	f.running.Go(func() { fetch(f.ctx) })
}

// stop ends what runs. Nothing begins after it: the server that verified tokens has stopped.
func (f *fetches) stop() {
	f.cancel()
	f.running.Wait()
}
