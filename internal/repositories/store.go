package repositories

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/repositories/profiledb"
)

// Tx is one transaction's view of the schema.
type Tx struct {
	Profiles    ProfileRepository
	UserStats   UserStatsRepository
	Engagements EngagementRepository
	WatchLogs   WatchLogRepository
	Videos      VideoProjectionRepository
	VideoStats  VideoStatsRepository
	Outbox      OutboxRepository
	Idempotency IdempotencyRepository
}

// TxOptions are the limits of every transaction.
type TxOptions struct {
	// StatementTimeout and LockTimeout are enforced by the database, in whole milliseconds.
	StatementTimeout, LockTimeout time.Duration
	// MaxAttempts counts the first run; serialization failures and deadlocks are run again.
	MaxAttempts int
}

// Store runs transactions on a pool. Safe for concurrent use.
type Store struct {
	pool *pgxpool.Pool
	opts TxOptions
}

// NewStore uses the pool; the caller closes it.
func NewStore(pool *pgxpool.Pool, opts TxOptions) *Store {
	return &Store{pool: pool, opts: opts}
}

// Write runs fn in a read-write READ COMMITTED transaction and commits when it returns nil. After a
// serialization failure or deadlock fn runs again, so it must keep nothing from a failed run. An ended ctx
// rolls back. Errors: fn's own; models.ErrTransactionConflict when every attempt collided;
// models.ErrUnavailable, ErrDeadlineExceeded and ErrCancelled from the database and ctx.
func (s *Store) Write(ctx context.Context, actor models.Actor, fn func(ctx context.Context, tx *Tx) error) error {
	return s.run(ctx, "begin isolation level read committed read write", actor, fn)
}

// PlannerSettings hold in read transactions: a list walks its index in order and stops at the end of its
// page. Estimates that look over row security and optional filters would now and then rather collect and
// sort all of a user's rows. A sort that cannot be avoided (the recount) is priced so high then that it would
// be compiled first; nothing here is worth that.
const PlannerSettings = "set local enable_bitmapscan = off; set local enable_sort = off; set local jit = off"

// Read is Write with a read-only transaction.
func (s *Store) Read(ctx context.Context, actor models.Actor, fn func(ctx context.Context, tx *Tx) error) error {
	return s.run(ctx, "begin isolation level read committed read only; "+PlannerSettings, actor, fn)
}

func (s *Store) run(ctx context.Context, begin string, actor models.Actor, fn func(ctx context.Context, tx *Tx) error) error {
	for attempt := 1; ; attempt++ {
		err := s.once(ctx, begin, actor, fn)
		if err == nil || !isCollision(err) {
			return err
		}
		if attempt >= s.opts.MaxAttempts {
			return models.ErrTransactionConflict.Because(err)
		}
		select {
		case <-ctx.Done():
			return translate(ctx.Err())
		case <-time.After(jitter(attempt)):
		}
	}
}

func (s *Store) once(ctx context.Context, begin string, actor models.Actor, fn func(ctx context.Context, tx *Tx) error) error {
	// One round trip, nothing left on the connection afterwards: it works through a transaction pooler.
	// Every value is a number or a formatted UUID.
	role, user := "user", actor.User.String()
	if actor.IsService() {
		role, user = "service", ""
	}
	begin = fmt.Sprintf("%s; set local statement_timeout = %d; set local lock_timeout = %d; set local app.role = '%s'; set local app.user_id = '%s'",
		begin, s.opts.StatementTimeout.Milliseconds(), s.opts.LockTimeout.Milliseconds(), role, user)
	err := pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{BeginQuery: begin}, func(tx pgx.Tx) error {
		return fn(ctx, newTx(tx))
	})
	return translate(err)
}

func newTx(db profiledb.DBTX) *Tx {
	q := profiledb.New(db)
	return &Tx{
		Profiles:    profileRepo{q},
		UserStats:   userStatsRepo{q},
		Engagements: engagementRepo{q},
		WatchLogs:   watchLogRepo{q},
		Videos:      videoProjectionRepo{q},
		VideoStats:  videoStatsRepo{q},
		Outbox:      outboxRepo{q},
		Idempotency: idempotencyRepo{q},
	}
}

// jitter waits 0-5 ms after the first collision and up to twice as long after each further one.
func jitter(attempt int) time.Duration {
	return rand.N(5 * time.Millisecond << (attempt - 1)) //nolint:gosec // spreading retries needs no secrecy
}
