package repositories

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/models/po"
	"github.com/lingo-services/profile/internal/repositories/profiledb"
)

// warmTimeout: a table that somebody has locked must not keep connections from opening.
const warmTimeout = time.Second

var errWarm = errors.New("nothing was to be done")

// Warm has a new connection prepare and plan the statements of the busiest calls, by running them with nothing to do:
// the first callers of a cold process would have to wait for that, all at once. A database that cannot, as before its
// first migration, is left as it is. Errors: models.ErrUnavailable, when the connection was lost.
func Warm(ctx context.Context, conn *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, warmTimeout)
	defer cancel()
	store := NewStore(nil, TxOptions{Settled: true}, NoWaker{})
	var wrote bool
	nobody := []models.UserID{}
	for _, err := range []error{
		transact(ctx, conn, store.writing.of(actingFor(nobody)), &wrote, func(ctx context.Context, tx *Tx) error {
			return errors.Join(errWarm, tx.Together(ctx, rehearsal(ctx)...))
		}),
		transact(ctx, conn, store.reading.of(actingAs(models.ServiceActor)), &wrote, func(ctx context.Context, tx *Tx) error {
			return errors.Join(errWarm, tx.Together(ctx, glances(ctx)...))
		}),
	} {
		if conn.IsClosed() {
			return models.ErrUnavailable.Because(err) // err itself may be that of the part that was still answered
		}
	}
	return nil
}

// rehearsal are the statements of likes and progress, on empty input.
func rehearsal(ctx context.Context) []func(tx *Tx) error {
	generated := func(ask func(q *profiledb.Queries) error) func(tx *Tx) error {
		return func(tx *Tx) error { return ask(tx.UserStats.(userStatsRepo).q) }
	}
	return []func(tx *Tx) error{
		func(tx *Tx) error { return second(tx.Idempotency.Lock(ctx, nil)) },
		func(tx *Tx) error { return second(tx.Idempotency.Get(ctx, nil)) },
		func(tx *Tx) error { return second(tx.UserStats.LockFree(ctx, nil)) },
		func(tx *Tx) error { return second(tx.UserStats.Lock(ctx, nil)) },
		generated(func(q *profiledb.Queries) error { return second(q.EnsureUsers(ctx, nil)) }),
		generated(func(q *profiledb.Queries) error { return second(q.CreateFreeUsers(ctx, nil)) }),
		func(tx *Tx) error { return second(tx.Engagements.Upsert(ctx, nil, po.FavoritePolicy{})) },
		func(tx *Tx) error { return second(tx.WatchLogs.Get(ctx, nil)) },
		func(tx *Tx) error { return second(tx.Videos.Facts(ctx, nil)) },
		func(tx *Tx) error { return second(tx.WatchLogs.Sessions(ctx, nil)) },
		func(tx *Tx) error { return tx.WatchLogs.UpsertProgress(ctx, nil) },
		func(tx *Tx) error { return tx.WatchLogs.UpsertSessions(ctx, nil) },
		func(tx *Tx) error { return second(tx.UserStats.Increment(ctx, nil)) },
		func(tx *Tx) error { return tx.VideoStats.Ensure(ctx, nil) },
		func(tx *Tx) error { return second(tx.VideoStats.Increment(ctx, nil)) },
		func(tx *Tx) error { return second(tx.VideoStats.BatchGet(ctx, nil)) },
		generated(func(q *profiledb.Queries) error { return q.InsertEvents(ctx, profiledb.InsertEventsParams{}) }),
		func(tx *Tx) error { return tx.Idempotency.Put(ctx, nil, 0) },
	}
}

// glances are the statements of reads, about nobody.
func glances(ctx context.Context) []func(tx *Tx) error {
	return []func(tx *Tx) error{
		func(tx *Tx) error { return second(tx.Profiles.BatchGet(ctx, nil)) },
		func(tx *Tx) error { return second(tx.Engagements.BatchGet(ctx, models.UserID{}, []models.VideoID{{}})) },
		func(tx *Tx) error { return second(tx.Engagements.ListByUser(ctx, nil)) },
		func(tx *Tx) error { return second(tx.Videos.ListByIDs(ctx, nil)) },
		func(tx *Tx) error { return second(tx.WatchLogs.BatchGet(ctx, models.UserID{}, nil)) },
		func(tx *Tx) error { return second(tx.WatchLogs.ListRecent(ctx, nil)) },
	}
}

func second[T any](_ T, err error) error { return err }
