package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/lingo-services/profile/internal/models"
	outboxevents "github.com/lingo-services/profile/internal/models/outbox_events"
	"github.com/lingo-services/profile/internal/models/po"
	"github.com/lingo-services/profile/internal/repositories"
	"github.com/lingo-services/profile/internal/repositories/profiledb"
)

// mix says how writers behave, in percent; the rest are plain transactions of one user.
type mix struct {
	rollbacks, savepoints, stragglers, groups, calls int
	// hot is how often the hot user is meant.
	hot int
	// goroutines write at once, with a pause of up to gap after each transaction.
	goroutines int
	gap        time.Duration
	users      int
}

var usual = mix{rollbacks: 8, savepoints: 6, stragglers: 6, groups: 12, calls: 15, hot: 20, goroutines: 6, gap: 3 * time.Millisecond, users: 30}

// load is a running set of writers.
type load struct {
	stop  context.CancelFunc
	group sync.WaitGroup
	users []models.UserID
}

// startWriters writes until stopped. Each goroutine has its own numbers, so that a seed means something.
func startWriters(ctx context.Context, w *world, m mix, seed uint64) (*load, error) {
	ctx, stop := context.WithCancel(ctx)
	l := &load{stop: stop}
	rng := newRand(seed, 0)
	for range m.users {
		l.users = append(l.users, models.UserID(randomUUID(rng)))
	}
	for i := range m.goroutines {
		wr := &writer{w: w, mix: m, users: l.users, rng: newRand(seed, uint64(i)+1)}
		var err error
		if wr.calls, err = newCalls(w, wr.rng); err != nil {
			l.wait()
			return nil, err
		}
		l.group.Go(func() { wr.run(ctx) })
	}
	return l, nil
}

func (l *load) wait() {
	l.stop()
	l.group.Wait()
}

// newRand is a stream of numbers of its own.
func newRand(seed, stream uint64) *rand.Rand {
	return rand.New(rand.NewPCG(seed, stream)) //nolint:gosec // G404: has to be repeatable
}

func randomUUID(rng *rand.Rand) (id uuid.UUID) {
	for i := range id {
		id[i] = byte(rng.UintN(256))
	}
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	return id
}

// between is a random duration.
func between(rng *rand.Rand, from, to time.Duration) time.Duration {
	return from + time.Duration(rng.Int64N(int64(to-from)+1))
}

type writer struct {
	w     *world
	mix   mix
	users []models.UserID
	rng   *rand.Rand
	calls *calls
}

var errAbandoned = errors.New("the writer changed its mind")

func (wr *writer) run(ctx context.Context) {
	for ctx.Err() == nil {
		wr.write(context.WithoutCancel(ctx))
		waited(ctx, between(wr.rng, 0, wr.mix.gap))
	}
}

// write runs one business transaction of a random kind.
func (wr *writer) write(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	dice, m := wr.rng.IntN(100), wr.mix
	order := transaction{users: []models.UserID{wr.user()}, each: 1 + wr.rng.IntN(3)}
	switch {
	case dice < m.rollbacks:
		order.abandon = true
	case dice < m.rollbacks+m.savepoints:
		wr.w.savepoint(ctx, order, wr.rng.IntN(2) == 0)
		return
	case dice < m.rollbacks+m.savepoints+m.stragglers:
		order.users = []models.UserID{wr.users[1+wr.rng.IntN(len(wr.users)-1)]}
		order.hold = between(wr.rng, 10*time.Millisecond, 300*time.Millisecond)
	case dice < m.rollbacks+m.savepoints+m.stragglers+m.groups:
		for range 1 + wr.rng.IntN(4) {
			order.users = append(order.users, wr.users[wr.rng.IntN(len(wr.users))])
		}
		order.users = distinct(order.users)
	case dice < m.rollbacks+m.savepoints+m.stragglers+m.groups+m.calls:
		wr.calls.one(ctx, wr.rng, order.users[0])
		return
	}
	wr.w.transact(ctx, order)
}

func (wr *writer) user() models.UserID {
	if wr.rng.IntN(100) < wr.mix.hot {
		return wr.users[0]
	}
	return wr.users[wr.rng.IntN(len(wr.users))]
}

func distinct(users []models.UserID) (out []models.UserID) {
	seen := map[models.UserID]bool{}
	for _, u := range users {
		if !seen[u] {
			seen[u] = true
			out = append(out, u)
		}
	}
	return out
}

// transaction is what a writer wants: each events of each user.
type transaction struct {
	users []models.UserID
	each  int
	// hold keeps the transaction open between its last statement and COMMIT.
	hold    time.Duration
	abandon bool
}

// transact runs it through the service's store and notes what the store said.
func (w *world) transact(ctx context.Context, order transaction) {
	var events []uuid.UUID
	err := w.store.Write(ctx, models.ServiceActor, func(ctx context.Context, tx *repositories.Tx) error {
		w.ledger.note(events, rolledBack) // of a run that collided
		batch, err := claim(ctx, tx, order)
		if err != nil {
			return err
		}
		events = idsOf(batch)
		w.ledger.note(events, unknown)
		if err := tx.Outbox.Append(ctx, batch); err != nil {
			return err
		}
		if order.hold > 0 {
			waited(ctx, order.hold)
		}
		if order.abandon {
			return errAbandoned
		}
		return nil
	})
	w.ledger.note(events, outcomeOf(err))
}

func outcomeOf(err error) outcome {
	switch {
	case err == nil:
		return committed
	case errors.Is(err, errAbandoned):
		return rolledBack
	}
	return unknown
}

// claim locks the users and numbers their events, as the services do.
func claim(ctx context.Context, tx *repositories.Tx, order transaction) ([]po.Event, error) {
	if _, err := tx.UserStats.Lock(ctx, order.users); err != nil {
		return nil, err
	}
	var deltas []po.UserDelta
	for _, u := range order.users {
		deltas = append(deltas, po.UserDelta{UserID: u, Events: int64(order.each)})
	}
	last, err := tx.UserStats.Increment(ctx, deltas)
	if err != nil {
		return nil, err
	}
	var events []po.Event
	for _, u := range order.users {
		for i := range order.each {
			e, err := newEvent(u)
			if err != nil {
				return nil, err
			}
			e.Version = last[u] - int64(order.each) + int64(i) + 1
			events = append(events, e)
		}
	}
	return events, nil
}

// newEvent is a real payload: somebody liked something.
func newEvent(user models.UserID) (po.Event, error) {
	now := time.Now().UTC().Truncate(time.Microsecond)
	return outboxevents.Engagement(uuid.Must(uuid.NewV7()),
		po.FavoriteCommand{UserID: user, VideoID: models.VideoID(uuid.New()), Type: models.Like, Active: true},
		po.FavoriteChange{Changed: true, At: now, EventAt: now}, po.VideoStats{LikeCount: 1, Version: 1, UpdatedAt: now})
}

func idsOf(events []po.Event) (ids []uuid.UUID) {
	for _, e := range events {
		ids = append(ids, e.ID)
	}
	return ids
}

// savepoint writes some events, takes them back with a savepoint, and writes others. The statements are the
// service's own; its store has no savepoints.
func (w *world) savepoint(ctx context.Context, order transaction, lockOutside bool) {
	var undone, kept []uuid.UUID
	err := pgx.BeginFunc(ctx, w.pool, func(tx pgx.Tx) error {
		if lockOutside {
			if err := lockUser(ctx, tx, order.users[0]); err != nil {
				return err
			}
		}
		inner := pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) (err error) {
			if undone, err = w.appendRaw(ctx, tx, order); err != nil {
				return err
			}
			return errAbandoned
		})
		if !errors.Is(inner, errAbandoned) {
			return inner
		}
		w.ledger.note(undone, rolledBack)
		var err error
		kept, err = w.appendRaw(ctx, tx, order)
		return err
	})
	w.ledger.note(kept, outcomeOf(err))
	if err == nil {
		w.notifier.Wake()
	}
}

func lockUser(ctx context.Context, tx pgx.Tx, user models.UserID) error {
	q := profiledb.New(tx)
	if _, err := q.EnsureUsers(ctx, []uuid.UUID{uuid.UUID(user)}); err != nil {
		return err
	}
	_, err := q.LockUsers(ctx, []uuid.UUID{uuid.UUID(user)})
	return err
}

func (w *world) appendRaw(ctx context.Context, tx pgx.Tx, order transaction) ([]uuid.UUID, error) {
	user := order.users[0]
	if err := lockUser(ctx, tx, user); err != nil {
		return nil, err
	}
	q := profiledb.New(tx)
	rows, err := q.AdvanceUsers(ctx, profiledb.AdvanceUsersParams{
		UserIDs: []uuid.UUID{uuid.UUID(user)}, Likes: []int64{0}, Bookmarks: []int64{0}, Watched: []int64{0}, Events: []int64{int64(order.each)},
	})
	if err != nil {
		return nil, err
	}
	var p profiledb.InsertEventsParams
	for i := range order.each {
		e, err := newEvent(user)
		if err != nil {
			return nil, err
		}
		p.EventIDs = append(p.EventIDs, e.ID)
		p.AggregateTypes = append(p.AggregateTypes, "user")
		p.AggregateIDs = append(p.AggregateIDs, uuid.UUID(user))
		p.EventTypes = append(p.EventTypes, e.Type)
		p.OrderingKeys = append(p.OrderingKeys, uuid.UUID(user))
		p.Versions = append(p.Versions, rows[0].EventSeq-int64(order.each)+int64(i)+1)
		p.Payloads = append(p.Payloads, e.Payload)
		p.Headers = append(p.Headers, "{}")
		p.OccurredAts = append(p.OccurredAts, e.OccurredAt)
		p.Lanes = append(p.Lanes, e.Lane())
	}
	w.ledger.note(p.EventIDs, unknown)
	return p.EventIDs, q.InsertEvents(ctx, p)
}
