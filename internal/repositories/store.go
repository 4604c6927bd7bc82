package repositories

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
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
	// MaxAttempts counts the first run; serialization failures, deadlocks and stray requests to cancel are run again.
	MaxAttempts int
	// Settled: the connections of the pool have SessionSettings already. Behind a transaction pooler each transaction
	// brings them along.
	Settled bool
}

// SessionSettings are what every statement of the service runs under.
func (o TxOptions) SessionSettings() map[string]string {
	settings := map[string]string{
		"statement_timeout": strconv.FormatInt(o.StatementTimeout.Milliseconds(), 10),
		"lock_timeout":      strconv.FormatInt(o.LockTimeout.Milliseconds(), 10),
	}
	maps.Copy(settings, plannerSettings)
	return settings
}

// Store runs transactions on a pool. Safe for concurrent use.
type Store struct {
	pool                       *pgxpool.Pool
	opts                       TxOptions
	waker                      Waker
	writing, reading, queueing prelude
}

// prelude is what a kind of transaction begins with, before it says who it acts for. set are more settings of its own.
type prelude struct {
	statements []statement
	set        string
}

// Waker tells publishers that events were committed. Wake neither blocks nor fails; a lost call costs a delay.
type Waker interface{ Wake() }

// NoWaker is for stores that write no events.
type NoWaker struct{}

// Wake does nothing.
func (NoWaker) Wake() {}

// NewStore uses the pool; the caller closes it.
func NewStore(pool *pgxpool.Pool, opts TxOptions, waker Waker) *Store {
	var settling []statement
	if !opts.Settled {
		settling = []statement{{sql: "select " + setting(opts.SessionSettings()), exec: true}}
	}
	return &Store{
		pool: pool, opts: opts, waker: waker,
		writing: prelude{statements: append([]statement{beginning}, settling...)},
		reading: prelude{statements: settling, set: ", set_config('transaction_read_only', 'on', true)"},
		// A crash of the server may undo the last moments of a transaction on the queue, which must do no harm.
		queueing: prelude{statements: append([]statement{beginning}, settling...), set: ", set_config('synchronous_commit', 'off', true)"},
	}
}

// setting is a list of calls, in the order of the names.
func setting(settings map[string]string) string {
	var calls []string
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		calls = append(calls, "set_config('"+name+"', '"+settings[name]+"', true)")
	}
	return strings.Join(calls, ", ")
}

var (
	beginning  = statement{sql: "begin isolation level read committed read write", exec: true}
	committing = statement{sql: "commit", exec: true}
)

// plannerSettings hold for every statement: it has one plan, made once, whatever is known of its tables that day, namely
// by the index it is written for. Statistics would now and then rather scan a table that is empty today, or sort all of a
// user's rows, and such a plan would be kept. What cannot be done without a sort or a hash (the recount) is priced so
// high then that it would be compiled first; nothing here is worth that.
var plannerSettings = map[string]string{
	"plan_cache_mode": "force_generic_plan", "jit": "off", "enable_seqscan": "off", "enable_bitmapscan": "off",
	"enable_sort": "off", "enable_hashjoin": "off", "enable_mergejoin": "off", "enable_memoize": "off",
}

// PlannerSettings are the calls that make the planner's settings hold until the end of a transaction.
func PlannerSettings() string { return setting(plannerSettings) }

// actor is who a transaction works for; row level security admits the rows of those users only (S94).
type actor struct{ role, user, users string }

func (p prelude) of(a actor) []statement {
	return append(p.statements[:len(p.statements):len(p.statements)], statement{
		sql:  "select set_config('app.role', $1, true), set_config('app.user_id', $2, true), set_config('app.user_ids', $3, true)" + p.set,
		args: []any{a.role, a.user, a.users}, exec: true,
	})
}

func actingAs(a models.Actor) actor {
	if a.IsService() {
		return actor{role: "service"}
	}
	return actor{role: "user", user: a.User.String()}
}

func actingFor(users []models.UserID) actor {
	const size = 37
	list := make([]byte, 0, len(users)*size)
	for _, u := range users {
		list = append(append(list, u.String()...), ',')
	}
	return actor{role: "users", users: string(list)}
}

// Write runs fn in a read-write READ COMMITTED transaction and commits when it returns nil. After a
// serialization failure, a deadlock or a request to cancel that was meant for another call fn runs again, so it must keep
// nothing from a failed run. An ended ctx rolls back. Errors: fn's own; models.ErrTransactionConflict when every attempt collided;
// models.ErrUnavailable, ErrDeadlineExceeded and ErrCancelled from the database and ctx.
func (s *Store) Write(ctx context.Context, actor models.Actor, fn func(ctx context.Context, tx *Tx) error) error {
	return s.run(ctx, s.writing.of(actingAs(actor)), fn)
}

// WriteFor is Write on behalf of all of users, and of nobody else.
func (s *Store) WriteFor(ctx context.Context, users []models.UserID, fn func(ctx context.Context, tx *Tx) error) error {
	return s.run(ctx, s.writing.of(actingFor(users)), fn)
}

// Read runs fn read-only, without a transaction around its statements: each round trip has a snapshot of its own, as
// each statement has in READ COMMITTED. A single statement is a single round trip. Errors as with Write.
func (s *Store) Read(ctx context.Context, actor models.Actor, fn func(ctx context.Context, tx *Tx) error) error {
	return s.run(ctx, s.reading.of(actingAs(actor)), fn)
}

// ReadFor is Read on behalf of all of users, and of nobody else.
func (s *Store) ReadFor(ctx context.Context, users []models.UserID, fn func(ctx context.Context, tx *Tx) error) error {
	return s.run(ctx, s.reading.of(actingFor(users)), fn)
}

// Queue is Write without waiting for the disk.
func (s *Store) Queue(ctx context.Context, fn func(ctx context.Context, tx *Tx) error) error {
	return s.run(ctx, s.queueing.of(actingAs(models.ServiceActor)), fn)
}

func (s *Store) run(ctx context.Context, start []statement, fn func(ctx context.Context, tx *Tx) error) error {
	for attempt := 1; ; attempt++ {
		err := s.once(ctx, start, fn)
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

func (s *Store) once(ctx context.Context, start []statement, fn func(ctx context.Context, tx *Tx) error) error {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return translate(err)
	}
	defer conn.Release()
	var wroteEvents bool
	if err := translate(transact(ctx, conn.Conn(), start, &wroteEvents, fn)); err != nil {
		return ofContext(ctx, err)
	}
	if wroteEvents {
		s.waker.Wake()
	}
	return nil
}

// ofContext says that ctx ended where the database says that it was asked to stop.
func ofContext(ctx context.Context, err error) error {
	if ctx.Err() != nil && (isCollision(err) || errors.Is(err, models.ErrDeadlineExceeded) || errors.Is(err, models.ErrUnavailable)) {
		return translate(fmt.Errorf("%w: %s", ctx.Err(), err.Error()))
	}
	return err
}

// transact runs fn in a transaction on conn. Nothing stays on the connection afterwards: every setting is local, so
// that it works through a transaction pooler.
func transact(ctx context.Context, conn *pgx.Conn, start []statement, wrote *bool, fn func(ctx context.Context, tx *Tx) error) error {
	p := &pipe{conn: conn, prelude: start, stateless: start[0].sql != beginning.sql}
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
	t := &Tx{
		Profiles:    profileRepo{q},
		UserStats:   userStatsRepo{q},
		WatchLogs:   watchLogRepo{q},
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
	t.Engagements, t.Videos = engagementRepo{q, t}, videoProjectionRepo{q, t}
	return t
}

// jitter waits 0-5 ms after the first collision and up to twice as long after each further one.
func jitter(attempt int) time.Duration {
	return rand.N(5 * time.Millisecond << (attempt - 1)) //nolint:gosec // spreading retries needs no secrecy
}
