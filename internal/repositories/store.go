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
	Deliveries  DeliveryRepository
	Lanes       LaneRepository
	DeadLetters DeadLetterRepository
	EventLog    EventLogRepository
	Idempotency IdempotencyRepository
	Inbox       InboxRepository
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
	pool  *pgxpool.Pool
	opts  TxOptions
	waker Waker
}

// Waker tells publishers that events were committed. Wake neither blocks nor fails; a lost call costs a delay.
type Waker interface{ Wake() }

// NoWaker is for stores that write no events.
type NoWaker struct{}

// Wake does nothing.
func (NoWaker) Wake() {}

// NewStore uses the pool; the caller closes it.
func NewStore(pool *pgxpool.Pool, opts TxOptions, waker Waker) *Store {
	return &Store{pool: pool, opts: opts, waker: waker}
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

// queueSettings hold in transactions on the queue, which walk indexes in order whatever the statistics of a
// table that is empty one moment and full the next would suggest, and plan once: ten partitions take a millisecond.
const queueSettings = "set local enable_seqscan = off; set local enable_bitmapscan = off; set local enable_hashjoin = off; " +
	"set local enable_mergejoin = off; set local jit = off; set local plan_cache_mode = force_generic_plan; " +
	"set local synchronous_commit = off"

// Queue is Write with the planner kept on the queue's indexes, and without waiting for the disk: a crash of the
// server may undo the last moments, which must do no harm.
func (s *Store) Queue(ctx context.Context, fn func(ctx context.Context, tx *Tx) error) error {
	return s.run(ctx, "begin isolation level read committed read write; "+queueSettings, models.ServiceActor, fn)
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
	var wroteEvents bool
	err := pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{BeginQuery: begin}, func(tx pgx.Tx) error {
		return fn(ctx, newTx(tx, &wroteEvents))
	})
	if err == nil && wroteEvents {
		s.waker.Wake()
	}
	return translate(err)
}

func newTx(db profiledb.DBTX, wrote *bool) *Tx {
	q := profiledb.New(db)
	return &Tx{
		Profiles:    profileRepo{q},
		UserStats:   userStatsRepo{q},
		Engagements: engagementRepo{q},
		WatchLogs:   watchLogRepo{q},
		Videos:      videoProjectionRepo{q},
		VideoStats:  videoStatsRepo{q},
		Outbox:      outboxRepo{q, wrote},
		Deliveries:  deliveryRepo{q},
		Lanes:       laneRepo{q},
		DeadLetters: deadLetterRepo{q},
		EventLog:    eventLogRepo{q, db},
		Idempotency: idempotencyRepo{q},
		Inbox:       inboxRepo{q},
	}
}

// jitter waits 0-5 ms after the first collision and up to twice as long after each further one.
func jitter(attempt int) time.Duration {
	return rand.N(5 * time.Millisecond << (attempt - 1)) //nolint:gosec // spreading retries needs no secrecy
}
