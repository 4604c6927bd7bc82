package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/lingo-services/profile/internal/infrastructure/config"
	"github.com/lingo-services/profile/internal/infrastructure/postgres"
	"github.com/lingo-services/profile/internal/repositories"
	"github.com/lingo-services/profile/internal/services"
)

// The terms of publishers in most worlds: short, so that a round takes seconds.
const (
	shortLease  = time.Second
	shippedTerm = 5 * time.Second
	window      = 400
)

// The programs under test, and this one.
const (
	programOutbox      = "./cmd/tasks/outbox"
	programInbox       = "./cmd/tasks/catalog_inbox"
	programMaintenance = "./cmd/tasks/maintenance"
	programCtl         = "./cmd/profilectl"
	programAPI         = "./cmd/grpc"
	programChaos       = "./test/chaos"
)

// binaries are built programs under test.
type binaries struct{ outbox, inbox, maintenance, ctl, grpc string }

func programsIn(dir string) binaries {
	in := func(program string) string { return filepath.Join(dir, filepath.Base(program)) }
	return binaries{in(programOutbox), in(programInbox), in(programMaintenance), in(programCtl), in(programAPI)}
}

// build compiles them once per run; overlay may replace source files.
func build(ctx context.Context, dir, overlay string) (binaries, error) {
	for _, program := range []string{programOutbox, programInbox, programMaintenance, programCtl, programAPI} {
		if err := compile(ctx, filepath.Join(dir, filepath.Base(program)), program, overlay); err != nil {
			return binaries{}, err
		}
	}
	return programsIn(dir), nil
}

func compile(ctx context.Context, target, pkg, overlay string) error {
	args := []string{"build", "-o", target}
	if overlay != "" {
		args = append(args, "-overlay", overlay)
	}
	out, err := exec.CommandContext(ctx, "go", append(args, pkg)...).CombinedOutput() //nolint:gosec // G204: arguments of our own
	if err != nil {
		return fmt.Errorf("build %s: %w\n%s", pkg, err, out)
	}
	return nil
}

// rig is what worlds have in common: programs and a Postgres.
type rig struct {
	binaries
	dir      string
	database *database
	// mutation is SQL that breaks every world on purpose.
	mutation string
	// patience bounds waiting for silence.
	patience time.Duration
	worlds   atomic.Int64
}

// setup says what a fault needs.
type setup struct {
	publishers, consumers int
	// shipped: publishers run with the terms they are shipped with.
	shipped bool
	// pooled: everybody goes through pgbouncer in transaction mode.
	pooled bool
	// env is added to the publishers' environment.
	env []string
	// served: the API runs, and is called; serverEnv is added to its environment.
	served    bool
	serverEnv []string
}

func (s setup) lease() time.Duration {
	if s.shipped {
		return shippedTerm
	}
	return shortLease
}

// window is how many events one publisher may repeat: what it may have sent and not forgotten, which with the
// shipped terms is far more than these writers write.
func (s setup) window() int {
	if s.shipped {
		return 4000
	}
	return window
}

// world is a database, a broker, writers' connections and running programs, with proxies in between.
type world struct {
	*rig
	setup
	name   string
	logs   string
	broker *broker
	// The proxies: to Postgres for writers, publishers, consumers and ourselves; to the broker.
	api, pub, sub, eye, wire *proxy
	pool                     *pgxpool.Pool
	store                    *repositories.Store
	notifier                 *postgres.Notifier
	// look sees everything, as the superuser.
	look       *pgxpool.Pool
	publishers []*process
	consumers  []*process
	// server is nil in a world without the API.
	server *server
	// poisons are videos whose likes are no recount of anything.
	poisons map[uuid.UUID]bool
	started int
	ledger  *ledger
	// strikes count the faults that may each repeat a window of events; replayed are events that an operator repeated.
	strikes, replayed int
	cleanups          []func()
	// counted is the last verdict; checked arrivals are well-formed.
	counted verdict
	checked int
	// expected and folds are what the consumer's events must come to.
	expected []expectation
	folds    []*video
}

func newWorld(ctx context.Context, r *rig, s setup) (_ *world, err error) {
	w := &world{rig: r, setup: s, name: fmt.Sprintf("chaos_%d", r.worlds.Add(1)), ledger: newLedger(), poisons: map[uuid.UUID]bool{}}
	defer func() {
		if err != nil {
			w.close(ctx)
		}
	}()
	w.logs = filepath.Join(r.dir, w.name)
	if err := os.Mkdir(w.logs, 0o700); err != nil {
		return nil, err
	}
	if err := r.database.super(ctx, "profile", "CREATE DATABASE "+w.name+" TEMPLATE "+template+" OWNER profile_owner"); err != nil {
		return nil, err
	}
	if r.mutation != "" {
		if err := r.database.super(ctx, w.name, r.mutation); err != nil {
			return nil, err
		}
	}
	if err := w.connect(ctx); err != nil {
		return nil, err
	}
	w.broker.visible = w.visible
	for range s.publishers {
		if err := w.startPublisher(ctx); err != nil {
			return nil, err
		}
	}
	for range s.consumers {
		if err := w.startConsumer(ctx); err != nil {
			return nil, err
		}
	}
	if s.served {
		if err := w.openServer(ctx); err != nil {
			return nil, err
		}
		if err := w.startServer(ctx); err != nil {
			return nil, err
		}
	}
	return w, w.awaitLanes(ctx)
}

func (w *world) connect(ctx context.Context) (err error) {
	if w.broker, err = startBroker(ctx); err != nil {
		return err
	}
	w.cleanup(w.broker.close)
	target := w.database.addr
	if w.pooled {
		pooler, err := startPooler(ctx, w.database)
		if err != nil {
			return err
		}
		w.cleanup(pooler.kill)
		target = pooler.addr
	}
	for p, to := range map[**proxy]func() string{
		&w.api: target, &w.pub: target, &w.sub: target, &w.eye: w.database.addr, &w.wire: func() string { return w.broker.addr },
	} {
		if *p, err = newProxy(ctx, to); err != nil {
			return err
		}
		w.cleanup((*p).close)
	}
	return w.open(ctx)
}

// open makes the writers' store as the service makes it, and our own view.
func (w *world) open(ctx context.Context) error {
	conf, err := config.Load("", nil)
	if err != nil {
		return err
	}
	pg := conf.GetData().GetPostgres()
	pg.Url, pg.MaxConns = w.database.through(w.api, w.name), 16
	pg.LockTimeout.Seconds = 3
	if w.pooled {
		pg.QueryMode = "exec"
	}
	pool, closePool, err := postgres.NewPool(ctx, pg)
	if err != nil {
		return err
	}
	w.pool = pool
	w.cleanup(closePool)
	notifier, stop := postgres.NewNotifier(pool) //nolint:contextcheck // it runs until stop
	w.cleanup(stop)
	w.notifier = notifier
	w.store = repositories.NewStore(pool, repositories.TxOptions{
		StatementTimeout: pg.GetStatementTimeout().AsDuration(), LockTimeout: pg.GetLockTimeout().AsDuration(), MaxAttempts: int(pg.GetMaxAttempts()),
	}, notifier)
	super, err := url.Parse(w.database.current().SuperURL(w.name))
	if err != nil {
		return err
	}
	super.Host = w.eye.addr()
	if w.look, err = pgxpool.New(ctx, super.String()); err != nil {
		return err
	}
	w.cleanup(w.look.Close)
	return nil
}

func (w *world) cleanup(f func()) { w.cleanups = append(w.cleanups, f) }

// close ends every process and connection of the world and drops its database.
func (w *world) close(ctx context.Context) {
	for _, p := range w.processes() {
		p.kill()
	}
	for i := len(w.cleanups) - 1; i >= 0; i-- {
		w.cleanups[i]()
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), startTimeout)
	defer cancel()
	// What cannot be dropped goes with the whole server.
	_ = w.database.super(ctx, "profile", "DROP DATABASE IF EXISTS "+w.name+" WITH (FORCE)")
}

func (w *world) env(p *proxy) []string {
	env := []string{
		"DATABASE_URL=" + w.database.through(p, w.name), "PUBSUB_EMULATOR_HOST=" + w.wire.addr(), "GOOGLE_CLOUD_PROJECT=" + w.broker.project,
		"PROFILE_CURSOR_KEYS=chaos-cursor-key-of-38-characters-0001", "PROFILE_ADMIN_ADDR=127.0.0.1:0",
	}
	if w.pooled {
		env = append(env, "PROFILE_DATA_POSTGRES_QUERY_MODE=exec")
	}
	return env
}

func (w *world) startPublisher(ctx context.Context) error {
	env := w.env(w.pub)
	if !w.shipped {
		env = append(env, "PROFILE_MESSAGING_OUTBOX_LEASE=1s", "PROFILE_MESSAGING_OUTBOX_RENEW=0.2s", "PROFILE_MESSAGING_OUTBOX_BATCH=100",
			fmt.Sprintf("PROFILE_MESSAGING_OUTBOX_MAX_OUTSTANDING=%d", window),
			"PROFILE_MESSAGING_OUTBOX_BACKOFF_MIN=0.02s", "PROFILE_MESSAGING_OUTBOX_BACKOFF_MAX=0.5s")
	}
	w.started++
	p, err := startProcess(ctx, "outbox", w.outbox, filepath.Join(w.logs, fmt.Sprintf("outbox-%d.log", w.started)), append(env, w.setup.env...))
	if err == nil {
		w.publishers = append(w.publishers, p)
	}
	return err
}

func (w *world) startConsumer(ctx context.Context) error {
	w.started++
	p, err := startProcess(ctx, "catalog_inbox", w.inbox, filepath.Join(w.logs, fmt.Sprintf("inbox-%d.log", w.started)), w.env(w.sub))
	if err == nil {
		w.consumers = append(w.consumers, p)
	}
	return err
}

// buryDead forgets processes that have ended.
func (w *world) buryDead() {
	keep := func(all []*process) (living []*process) {
		for _, p := range all {
			if p.alive() {
				living = append(living, p)
			}
		}
		return living
	}
	w.publishers, w.consumers = keep(w.publishers), keep(w.consumers)
}

// replenish starts as many as the world had in the beginning.
func (w *world) replenish(ctx context.Context) error {
	w.buryDead()
	for len(w.publishers) < w.setup.publishers {
		if err := w.startPublisher(ctx); err != nil {
			return err
		}
	}
	for len(w.consumers) < w.setup.consumers {
		if err := w.startConsumer(ctx); err != nil {
			return err
		}
	}
	return nil
}

// patience bounds waiting for anything that must happen.
const patience = 30 * time.Second

var errPatience = errors.New("did not happen in time")

// eventually asks until the answer is yes. Errors of the question count as no: servers come and go here.
func eventually(ctx context.Context, within time.Duration, question func(context.Context) (bool, error)) error {
	ctx, cancel := context.WithTimeoutCause(ctx, within, errPatience)
	defer cancel()
	var last error
	for {
		yes, err := question(ctx)
		if yes && err == nil {
			return nil
		}
		if err != nil && ctx.Err() == nil {
			last = err
		}
		if !waited(ctx, 10*time.Millisecond) {
			return errors.Join(context.Cause(ctx), last)
		}
	}
}

// one is the single value of a query.
func one[T any](ctx context.Context, w *world, sql string, args ...any) (T, error) {
	rows, err := w.look.Query(ctx, sql, args...)
	if err != nil {
		var zero T
		return zero, err
	}
	return pgx.CollectExactlyOneRow(rows, pgx.RowTo[T])
}

// exec repeats SQL until the server takes it.
func (w *world) exec(ctx context.Context, sql string, args ...any) error {
	return eventually(ctx, patience, func(ctx context.Context) (bool, error) {
		_, err := w.look.Exec(ctx, sql, args...)
		return err == nil, err
	})
}

// awaitLanes returns when every lane has a living owner.
func (w *world) awaitLanes(ctx context.Context) error {
	if w.setup.publishers == 0 {
		return nil
	}
	err := eventually(ctx, patience, func(ctx context.Context) (bool, error) {
		return one[bool](ctx, w, "SELECT bool_and(owner IS NOT NULL AND lease_until > profile.clock_now()) FROM profile.outbox_lanes")
	})
	if err != nil {
		return fmt.Errorf("await owners of all lanes: %w\n%s", err, w.tails())
	}
	return nil
}

// processes are all that were started and not buried.
func (w *world) processes() []*process {
	all := slices.Concat(w.publishers, w.consumers)
	if w.server != nil && w.server.process != nil {
		all = append(all, w.server.process)
	}
	return all
}

// tails are the last words of every process.
func (w *world) tails() string {
	var b strings.Builder
	for _, p := range w.processes() {
		fmt.Fprintf(&b, "--- %s %d\n%s\n", p.name, p.pid(), p.tail(8))
	}
	return b.String()
}

// drain waits until the queue is empty.
func (w *world) drain(ctx context.Context) error {
	err := eventually(ctx, w.patience, func(ctx context.Context) (bool, error) {
		return one[bool](ctx, w, "SELECT NOT EXISTS (SELECT FROM profile.outbox_deliveries)")
	})
	if err == nil {
		return nil
	}
	return fmt.Errorf("the queue does not drain: %w: %s\n%s", err, w.leftovers(context.WithoutCancel(ctx)), w.tails())
}

// leftovers describe the first rows of the queue.
func (w *world) leftovers(ctx context.Context) string {
	rows, err := w.look.Query(ctx, `SELECT d.id, d.lane::int, d.delivery_attempts, d.dead_at IS NOT NULL, j.event_id, j.version, j.key, l.epoch, coalesce(l.owner, '')
		FROM profile.outbox_deliveries d JOIN chaos.journal j USING (id) JOIN profile.outbox_lanes l USING (lane) ORDER BY id LIMIT 5`)
	if err != nil {
		return err.Error()
	}
	arrived := map[uuid.UUID]int{}
	for _, a := range w.broker.taken() {
		arrived[a.event]++
	}
	var b strings.Builder
	var id, version, epoch int64
	var lane, attempts int
	var dead bool
	var event, key uuid.UUID
	var owner string
	_, err = pgx.ForEachRow(rows, []any{&id, &lane, &attempts, &dead, &event, &version, &key, &epoch, &owner}, func() error {
		fmt.Fprintf(&b, "\nid %d lane %d attempts %d dead %t version %d key %s arrived %d times, lane epoch %d owner %s", id, lane, attempts, dead,
			version, key, arrived[event], epoch, owner)
		return nil
	})
	if err != nil {
		return err.Error()
	}
	return b.String()
}

// lag is the age of the oldest event that waits, blocked keys apart.
func (w *world) lag(ctx context.Context) (time.Duration, error) {
	s, err := one[float64](ctx, w, `
		SELECT coalesce(max(extract(epoch FROM clock_timestamp() - j.at)), 0)::float8
		FROM profile.outbox_deliveries d JOIN chaos.journal j ON j.id = d.id
		WHERE NOT EXISTS (SELECT FROM profile.outbox_deliveries b WHERE b.ordering_key = d.ordering_key AND b.dead_at IS NOT NULL)`)
	return time.Duration(s * float64(time.Second)), err
}

// history reads what the instruments recorded.
func (w *world) history(ctx context.Context) (h history, err error) {
	h.arrivals, h.told = w.broker.taken(), w.ledger.outcomes()
	// Lanes are taken over together: at most one publisher's window per lease that ended is repeated.
	ended, err := one[int](ctx, w, "SELECT count(DISTINCT epoch)::int FROM chaos.takeovers")
	if err != nil {
		return h, err
	}
	h.allowance = (w.strikes+ended)*w.window() + w.replayed
	rows, err := w.look.Query(ctx, "SELECT event_id, key, version, id FROM chaos.journal")
	if err != nil {
		return h, err
	}
	h.journal, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (e entry, err error) {
		return e, row.Scan(&e.event, &e.key, &e.version, &e.id)
	})
	if err != nil {
		return h, err
	}
	if rows, err = w.look.Query(ctx, "SELECT id, at FROM chaos.deleted"); err != nil {
		return h, err
	}
	h.deletions, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (d deletion, err error) {
		return d, row.Scan(&d.id, &d.at)
	})
	if err != nil {
		return h, err
	}
	h.sharedEpochs, err = one[int](ctx, w,
		"SELECT count(*)::int FROM (SELECT FROM chaos.owners GROUP BY lane, epoch HAVING count(*) > 1) s")
	return h, err
}

// visible names the messages whose events the inbox does not show.
func (w *world) visible(ctx context.Context, messages []*pubsubpb.PubsubMessage) (missing []string, err error) {
	for _, m := range messages {
		id, err := uuid.Parse(m.GetAttributes()["event_id"])
		if err != nil {
			id = services.MessageEventID(m.GetMessageId())
		}
		seen, err := one[bool](ctx, w, "SELECT EXISTS (SELECT FROM profile.inbox_events WHERE event_id IN ($1, $2))", id, services.MessageEventID(m.GetMessageId()))
		if err != nil {
			return nil, err
		}
		if !seen {
			missing = append(missing, m.GetMessageId())
		}
	}
	return missing, nil
}

// ledger is the writers' view: what they were told about each event, and when.
type ledger struct {
	mu   sync.Mutex
	told map[uuid.UUID]outcome
	when map[uuid.UUID]time.Time
}

func newLedger() *ledger {
	return &ledger{told: map[uuid.UUID]outcome{}, when: map[uuid.UUID]time.Time{}}
}

func (l *ledger) note(events []uuid.UUID, o outcome) {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range events {
		l.told[e] = o
		if o == committed {
			l.when[e] = now
		}
	}
}

func (l *ledger) outcomes() map[uuid.UUID]outcome {
	l.mu.Lock()
	defer l.mu.Unlock()
	copied := make(map[uuid.UUID]outcome, len(l.told))
	for e, o := range l.told {
		copied[e] = o
	}
	return copied
}

// confirmed is when the writer was told that the event is committed.
func (l *ledger) confirmed(e uuid.UUID) (time.Time, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at, found := l.when[e]
	return at, found
}
