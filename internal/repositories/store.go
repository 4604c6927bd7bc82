package repositories

import (
	"context"
	"errors"
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

	// pipe is nil in a Tx that was put together by hand.
	pipe  *pipe
	wrote *bool
}

// Together runs fns side by side: their first statements make one round trip, then their second ones, and so on. The
// statements of one round trip run in the order of fns, each with a snapshot of its own. No fn may need what another
// one of them reads. The first error is returned, and the transaction can only be rolled back then.
func (t *Tx) Together(ctx context.Context, fns ...func(tx *Tx) error) error {
	for _, fn := range fns {
		if err := t.Later(fn); err != nil {
			return err
		}
	}
	if t.pipe == nil {
		return nil
	}
	return t.pipe.flush(ctx)
}

// Later runs fn up to its first statement, which makes the next round trip together with whatever needs an answer,
// COMMIT at the latest. Its error is that of the round trip.
func (t *Tx) Later(fn func(tx *Tx) error) error {
	if t.pipe == nil {
		return fn(t)
	}
	return t.pipe.queue(func(db profiledb.DBTX) error { return fn(newTx(db, t.pipe, t.wrote)) })
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
	// The unchanging part of each kind of prelude.
	writing, reading, queueing []statement
}

// Waker tells publishers that events were committed. Wake neither blocks nor fails; a lost call costs a delay.
type Waker interface{ Wake() }

// NoWaker is for stores that write no events.
type NoWaker struct{}

// Wake does nothing.
func (NoWaker) Wake() {}

// NewStore uses the pool; the caller closes it.
func NewStore(pool *pgxpool.Pool, opts TxOptions, waker Waker) *Store {
	limits := fmt.Sprintf("select set_config('statement_timeout', '%d', true), set_config('lock_timeout', '%d', true), ",
		opts.StatementTimeout.Milliseconds(), opts.LockTimeout.Milliseconds()) + PlannerSettings
	set := func(more string) statement { return statement{sql: limits + more, exec: true} }
	return &Store{
		pool: pool, opts: opts, waker: waker,
		writing: []statement{beginning, set("")},
		reading: []statement{set(", set_config('transaction_read_only', 'on', true)")},
		// A crash of the server may undo the last moments of a transaction on the queue, which must do no harm.
		queueing: []statement{beginning, set(", set_config('synchronous_commit', 'off', true)")},
	}
}

var (
	beginning  = statement{sql: "begin isolation level read committed read write", exec: true}
	committing = statement{sql: "commit", exec: true}
)

// PlannerSettings hold in every transaction: a statement has one plan, made once, whatever is known of its tables that
// day, namely by the index it is written for. Statistics would now and then rather scan a table that is empty today, or
// sort all of a user's rows, and such a plan would be kept. What cannot be done without a sort or a hash (the recount)
// is priced so high then that it would be compiled first; nothing here is worth that.
const PlannerSettings = "set_config('plan_cache_mode', 'force_generic_plan', true), set_config('jit', 'off', true), " +
	"set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true), set_config('enable_sort', 'off', true), " +
	"set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true)"

// acting says who the transaction works for; row level security admits the rows of those users only (S94).
func acting(role, user, users string) statement {
	return statement{
		sql:  "select set_config('app.role', $1, true), set_config('app.user_id', $2, true), set_config('app.user_ids', $3, true)",
		args: []any{role, user, users}, exec: true,
	}
}

func actingAs(actor models.Actor) statement {
	if actor.IsService() {
		return acting("service", "", "")
	}
	return acting("user", actor.User.String(), "")
}

func actingFor(users []models.UserID) statement {
	const size = 37
	list := make([]byte, 0, len(users)*size)
	for _, u := range users {
		list = append(append(list, u.String()...), ',')
	}
	return acting("users", "", string(list))
}

// Write runs fn in a read-write READ COMMITTED transaction and commits when it returns nil. After a
// serialization failure or deadlock fn runs again, so it must keep nothing from a failed run. An ended ctx
// rolls back. Errors: fn's own; models.ErrTransactionConflict when every attempt collided;
// models.ErrUnavailable, ErrDeadlineExceeded and ErrCancelled from the database and ctx.
func (s *Store) Write(ctx context.Context, actor models.Actor, fn func(ctx context.Context, tx *Tx) error) error {
	return s.run(ctx, s.writing, actingAs(actor), fn)
}

// WriteFor is Write on behalf of all of users, and of nobody else.
func (s *Store) WriteFor(ctx context.Context, users []models.UserID, fn func(ctx context.Context, tx *Tx) error) error {
	return s.run(ctx, s.writing, actingFor(users), fn)
}

// Read runs fn read-only, without a transaction around its statements: each round trip has a snapshot of its own, as
// each statement has in READ COMMITTED. A single statement is a single round trip. Errors as with Write.
func (s *Store) Read(ctx context.Context, actor models.Actor, fn func(ctx context.Context, tx *Tx) error) error {
	return s.run(ctx, s.reading, actingAs(actor), fn)
}

// Queue is Write without waiting for the disk.
func (s *Store) Queue(ctx context.Context, fn func(ctx context.Context, tx *Tx) error) error {
	return s.run(ctx, s.queueing, actingAs(models.ServiceActor), fn)
}

func (s *Store) run(ctx context.Context, start []statement, actor statement, fn func(ctx context.Context, tx *Tx) error) error {
	for attempt := 1; ; attempt++ {
		err := s.once(ctx, start, actor, fn)
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

func (s *Store) once(ctx context.Context, start []statement, actor statement, fn func(ctx context.Context, tx *Tx) error) error {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return translate(err)
	}
	defer conn.Release()
	var wroteEvents bool
	if err := translate(transact(ctx, conn.Conn(), start, actor, &wroteEvents, fn)); err != nil {
		return ofContext(ctx, err)
	}
	if wroteEvents {
		s.waker.Wake()
	}
	return nil
}

// ofContext says that ctx ended where the database says that it was asked to stop.
func ofContext(ctx context.Context, err error) error {
	if ctx.Err() != nil && (errors.Is(err, models.ErrDeadlineExceeded) || errors.Is(err, models.ErrUnavailable)) {
		return translate(fmt.Errorf("%w: %s", ctx.Err(), err.Error()))
	}
	return err
}

// transact runs fn in a transaction on conn. Nothing stays on the connection afterwards: every setting is local, so
// that it works through a transaction pooler.
func transact(ctx context.Context, conn *pgx.Conn, start []statement, actor statement, wrote *bool, fn func(ctx context.Context, tx *Tx) error) error {
	p := &pipe{conn: conn, prelude: append(start[:len(start):len(start)], actor), stateless: start[0].sql != beginning.sql}
	defer p.drop()
	err := fn(ctx, newTx(p, p, wrote))
	if err == nil && p.stateless {
		return p.flush(ctx)
	}
	if err == nil && (p.begun || len(p.queued) > 0) {
		if err = p.commit(ctx); err == nil {
			return nil
		}
	}
	rollback(ctx, conn)
	return err
}

// commit sends what is queued and COMMIT.
func (p *pipe) commit(ctx context.Context) error {
	tag, err := p.Exec(ctx, committing.sql)
	if err == nil && tag.String() == "ROLLBACK" {
		return pgx.ErrTxCommitRollback
	}
	return err
}

// rollbackTimeout bounds waiting for a server that may be gone.
const rollbackTimeout = 5 * time.Second

// rollback makes the connection usable again, or has it closed.
func rollback(ctx context.Context, conn *pgx.Conn) {
	if conn.PgConn().TxStatus() == 'I' || conn.IsClosed() {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackTimeout)
	defer cancel()
	_, _ = conn.Exec(ctx, "rollback") // the pool closes a connection that is still in a transaction
}

func newTx(db profiledb.DBTX, p *pipe, wrote *bool) *Tx {
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
		pipe:        p,
		wrote:       wrote,
	}
}

// jitter waits 0-5 ms after the first collision and up to twice as long after each further one.
func jitter(attempt int) time.Duration {
	return rand.N(5 * time.Millisecond << (attempt - 1)) //nolint:gosec // spreading retries needs no secrecy
}
