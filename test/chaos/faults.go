package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

var (
	single = setup{publishers: 1}
	pair   = setup{publishers: 2}
	// patient publishers wait between attempts as long as the shipped ones do.
	patient = setup{publishers: 2, env: []string{"PROFILE_MESSAGING_OUTBOX_BACKOFF_MIN=0.1s", "PROFILE_MESSAGING_OUTBOX_BACKOFF_MAX=5s"}}
)

// reconnect is the longest pause between two attempts of the Pub/Sub client, and its connecting.
const reconnect = 1500 * time.Millisecond

// publisherFaults are the faults between writers and broker.
func publisherFaults() []*fault {
	return []*fault{
		{name: "none", setup: pair, strike: nothing, harmless: true},
		{
			name: "savepoints", setup: pair, strike: nothing, harmless: true,
			mix: &mix{rollbacks: 20, savepoints: 60, hot: 30, goroutines: 4, gap: 2 * time.Millisecond, users: 10},
		},
		{name: "long-open-writer", setup: pair, strike: longOpenWriter, harmless: true},
		{
			name: "overtaken-writer", strike: overtakenWriter, harmless: true, full: 10, mix: &mix{users: 40},
			setup: setup{publishers: 1, env: []string{"PROFILE_MESSAGING_OUTBOX_LEASE=4s", "PROFILE_MESSAGING_OUTBOX_RENEW=2s"}},
		},
		{name: "publisher-killed", setup: pair, strike: publisherKilled, full: 100},
		{name: "publisher-killed-shipped-terms", setup: setup{publishers: 2, shipped: true}, strike: publisherKilled, full: 10},
		{name: "publisher-killed-before-reply", setup: single, strike: killedAround(beforeTaking)},
		{name: "publisher-killed-after-taking", setup: single, strike: killedAround(afterTaking)},
		{name: "publisher-killed-after-reply", setup: single, strike: killedAround(afterReply)},
		{name: "publisher-killed-in-delete-commit", setup: single, strike: killedInCommit},
		{name: "publisher-stopped-past-lease", setup: pair, strike: publisherStopped},
		{name: "publishers-join-and-leave", setup: setup{publishers: 3}, strike: joinAndLeave, harmless: true},
		{
			name: "publisher-terminated", setup: pair, strike: publisherTerminated, harmless: true, full: 50,
			mix: &mix{groups: 30, calls: 10, hot: 10, goroutines: 12, gap: 0, users: 60},
		},
		{name: "buckets-killed", setup: setup{publishers: 2, env: []string{"PROFILE_MESSAGING_OUTBOX_ORDERING_KEY=bucket:8"}}, strike: publisherKilled},
		{name: "postgres-stopped-immediately", setup: pair, strike: postgresCrashed(syscall.SIGQUIT)},
		{name: "postgres-killed", setup: pair, strike: postgresCrashed(syscall.SIGKILL)},
		{name: "backends-terminated", setup: pair, strike: backendsTerminated},
		{name: "writer-commit-unanswered", setup: pair, strike: commitsDisturbed((*world).apiProxy), harmless: true},
		{name: "publisher-commit-unanswered", setup: pair, strike: commitsDisturbed((*world).pubProxy)},
		{name: "database-stalled", setup: pair, strike: databaseStalled},
		{name: "listen-dropped", setup: pair, strike: listenDropped, harmless: true},
		{name: "clock-shifted", setup: pair, strike: clockShifted},
		{name: "broker-slow", setup: pair, strike: brokerSlow, harmless: true},
		{name: "broker-unavailable", setup: pair, strike: brokerRefuses(codes.Unavailable)},
		{name: "broker-exhausted", setup: pair, strike: brokerRefuses(codes.ResourceExhausted)},
		{name: "deadline-after-success", setup: pair, strike: brokerLies(codes.DeadlineExceeded)},
		{name: "messages-refused", setup: pair, strike: messagesRefused},
		{name: "redrive-under-load", setup: pair, strike: redriveUnderLoad},
		{name: "replay-under-load", setup: pair, strike: replayUnderLoad, harmless: true},
		{name: "broker-outage", setup: pair, strike: brokerOutage, slack: reconnect},
		{name: "broker-outage-60s", setup: setup{publishers: 2, shipped: true}, strike: longOutage, full: 1, long: true},
		{name: "broker-stalled", setup: pair, strike: brokerStalled, slack: reconnect},
		{name: "retention", setup: setup{publishers: 1, consumers: 1}, play: retention, full: 1},
		{name: "poisoned-key", setup: patient, play: poisonedKey, unsure: poisonSpreads, finish: judgePoison, full: 10, alone: true},
		{name: "pgbouncer-replay-under-load", setup: setup{publishers: 2, pooled: true}, strike: replayUnderLoad, harmless: true},
		{name: "pgbouncer-killed-publisher", setup: setup{publishers: 2, pooled: true}, strike: publisherKilled},
	}
}

func nothing(ctx context.Context, r *round) error {
	return r.pause(ctx, 300*time.Millisecond, 700*time.Millisecond)
}

// victim is a random living publisher.
func (r *round) victim() *process { return r.publishers[r.rng.IntN(len(r.publishers))] }

func publisherKilled(ctx context.Context, r *round) error {
	if err := r.pause(ctx, 0, 400*time.Millisecond); err != nil {
		return err
	}
	r.victim().kill()
	if r.rng.IntN(4) == 0 {
		r.buryDead()
		for _, p := range r.publishers {
			p.kill()
		}
	}
	if err := r.pause(ctx, 0, 300*time.Millisecond); err != nil {
		return err
	}
	return r.replenish(ctx)
}

// moment of a Publish at which something happens.
type moment uint8

const (
	beforeTaking moment = iota
	afterTaking
	afterReply
)

// killedAround kills the only publisher at a step of its nth Publish.
func killedAround(when moment) func(context.Context, *round) error {
	return func(ctx context.Context, r *round) error {
		nth := 1 + r.rng.IntN(30)
		delay := between(r.rng, 0, 4*time.Millisecond)
		victim := r.publishers[0]
		struck := make(chan struct{})
		var once sync.Once
		strike := func() { once.Do(func() { victim.kill(); close(struck) }) }
		var mu sync.Mutex
		r.broker.misbehave(func(*pubsubpb.PublishRequest) (c conduct) {
			mu.Lock()
			defer mu.Unlock()
			if nth--; nth != 0 {
				return conduct{}
			}
			switch when {
			case beforeTaking:
				c.before = strike
			case afterTaking:
				c.after = strike
			case afterReply:
				time.AfterFunc(delay, strike)
			}
			return c
		})
		defer r.broker.misbehave(nil)
		if err := within(ctx, struck); err != nil {
			return err
		}
		return r.replenish(ctx)
	}
}

// within waits for a signal that has to come.
func within(ctx context.Context, signal <-chan struct{}) error {
	select {
	case <-signal:
		return nil
	case <-time.After(patience):
		return errPatience
	case <-ctx.Done():
		return ctx.Err()
	}
}

// killedInCommit kills the only publisher while it commits: the server hears of it, or does not.
func killedInCommit(ctx context.Context, r *round) error {
	nth := 1 + r.rng.IntN(30)
	after := []fate{pass, dropped}[r.rng.IntN(2)]
	victim := r.publishers[0]
	struck := make(chan struct{})
	var mu sync.Mutex
	r.pub.set(rules{onCommit: func() fate {
		mu.Lock()
		defer mu.Unlock()
		if nth--; nth != 0 {
			return pass
		}
		victim.kill()
		close(struck)
		return after
	}})
	defer r.pub.set(rules{})
	if err := within(ctx, struck); err != nil {
		return err
	}
	return r.replenish(ctx)
}

func publisherStopped(ctx context.Context, r *round) error {
	victim := r.victim()
	victim.signal(syscall.SIGSTOP)
	defer victim.signal(syscall.SIGCONT)
	return r.pause(ctx, r.lease()+100*time.Millisecond, r.lease()+600*time.Millisecond)
}

// joinAndLeave keeps 3 to 8 publishers coming and going, all of them in order.
func joinAndLeave(ctx context.Context, r *round) error {
	for range 6 {
		if len(r.publishers) <= 3 || len(r.publishers) < 8 && r.rng.IntN(2) == 0 {
			if err := r.startPublisher(ctx); err != nil {
				return err
			}
		} else if err := r.leave(ctx, r.victim()); err != nil {
			return err
		}
		if err := r.pause(ctx, 50*time.Millisecond, 250*time.Millisecond); err != nil {
			return err
		}
	}
	for len(r.publishers) > r.setup.publishers {
		if err := r.leave(ctx, r.victim()); err != nil {
			return err
		}
	}
	return nil
}

// grace is what a publisher may take to stop: less than it is configured with, because nothing holds it up.
const grace = 10 * time.Second

// leave terminates a publisher that has begun to work; it must exit 0.
func (r *round) leave(ctx context.Context, p *process) error {
	if err := r.awaitStarted(ctx, p); err != nil {
		return err
	}
	code, err := p.terminate(grace)
	if err != nil {
		return err
	}
	r.buryDead()
	if code != 0 {
		return fmt.Errorf("SIGTERM: exit code %d", code)
	}
	return nil
}

// awaitStarted returns when a publisher is known among publishers: before that it cannot stop in order.
func (r *round) awaitStarted(ctx context.Context, p *process) error {
	return eventually(ctx, patience, func(ctx context.Context) (bool, error) {
		return one[bool](ctx, r.world, "SELECT count(*) > 0 FROM profile.outbox_publishers WHERE instance LIKE $1", fmt.Sprintf("%%/%d/%%", p.pid()))
	})
}

func publisherTerminated(ctx context.Context, r *round) error {
	if err := r.pause(ctx, 0, 300*time.Millisecond); err != nil {
		return err
	}
	if err := r.leave(ctx, r.victim()); err != nil {
		return err
	}
	return r.replenish(ctx)
}

func postgresCrashed(s syscall.Signal) func(context.Context, *round) error {
	return func(ctx context.Context, r *round) error {
		if err := r.pause(ctx, 0, 300*time.Millisecond); err != nil {
			return err
		}
		if err := r.database.crash(ctx, s); err != nil {
			return err
		}
		return r.database.start(ctx)
	}
}

func backendsTerminated(ctx context.Context, r *round) error {
	for range 1 + r.rng.IntN(3) {
		if err := r.exec(ctx, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND usename = 'profile_app' AND (pid * $1::bigint) % 3 > 0",
			int64(1+r.rng.IntN(1000))); err != nil {
			return err
		}
		if err := r.pause(ctx, 50*time.Millisecond, 250*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) apiProxy() *proxy { return w.api }
func (w *world) pubProxy() *proxy { return w.pub }

// commitsDisturbed loses some COMMITs on the way there and some on the way back.
func commitsDisturbed(which func(*world) *proxy) func(context.Context, *round) error {
	return func(ctx context.Context, r *round) error {
		p := which(r.world)
		var mu sync.Mutex
		seen := 0
		p.set(rules{onCommit: func() fate {
			mu.Lock()
			defer mu.Unlock()
			seen++
			switch r.rng.IntN(10) {
			case 0:
				return dropped
			case 1:
				return unanswered
			}
			return pass
		}})
		defer p.set(rules{})
		if err := r.steady(ctx, 500*time.Millisecond); err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		if seen == 0 {
			return errors.New("no COMMIT was recognised")
		}
		return nil
	}
}

// steady waits without touching the round's numbers, which somebody else uses meanwhile.
func (r *round) steady(ctx context.Context, d time.Duration) error {
	if !waited(ctx, d) {
		return ctx.Err()
	}
	return nil
}

// databaseStalled: nothing between publishers and Postgres moves for a while, and nothing is closed either.
func databaseStalled(ctx context.Context, r *round) error {
	r.pub.set(rules{stall: true})
	defer r.pub.set(rules{})
	if err := r.pause(ctx, 200*time.Millisecond, 1500*time.Millisecond); err != nil {
		return err
	}
	if r.rng.IntN(2) == 0 {
		r.pub.cut()
	}
	return nil
}

func listenDropped(ctx context.Context, r *round) error {
	r.pub.set(rules{deaf: true})
	defer r.pub.set(rules{})
	r.pub.cutListeners()
	return r.pause(ctx, 500*time.Millisecond, time.Second)
}

// clockShifted moves the database's clock by an hour, one way and back.
func clockShifted(ctx context.Context, r *round) error {
	shift := []string{"+ interval '1 hour'", "- interval '1 hour'"}[r.rng.IntN(2)]
	if err := r.setClock(ctx, shift); err != nil {
		return err
	}
	if err := r.pause(ctx, 400*time.Millisecond, time.Second); err != nil {
		return err
	}
	return r.setClock(ctx, "")
}

func (r *round) setClock(ctx context.Context, shift string) error {
	return r.exec(ctx, "CREATE OR REPLACE FUNCTION profile.clock_now() RETURNS timestamptz LANGUAGE sql VOLATILE AS 'SELECT clock_timestamp() "+
		quoted(shift)+"'")
}

// quoted doubles quotes.
func quoted(s string) (out string) {
	for _, c := range s {
		if c == '\'' {
			out += "'"
		}
		out += string(c)
	}
	return out
}

// dice are the round's numbers for use by several goroutines.
type dice struct {
	mu sync.Mutex
	r  *round
}

func (d *dice) one(of int) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.r.rng.IntN(of) == 0
}

func (d *dice) upTo(most time.Duration) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	return between(d.r.rng, 0, most)
}

// brokered lets the broker misbehave for a while.
func (r *round) brokered(ctx context.Context, d time.Duration, f func(*dice, *pubsubpb.PublishRequest) conduct) error {
	numbers := &dice{r: r}
	r.broker.misbehave(func(req *pubsubpb.PublishRequest) conduct { return f(numbers, req) })
	defer r.broker.misbehave(nil)
	return r.steady(ctx, d)
}

func brokerSlow(ctx context.Context, r *round) error {
	return r.brokered(ctx, 600*time.Millisecond, func(n *dice, _ *pubsubpb.PublishRequest) conduct {
		return conduct{wait: n.upTo(30 * time.Millisecond), lag: n.upTo(30 * time.Millisecond)}
	})
}

func brokerRefuses(code codes.Code) func(context.Context, *round) error {
	return func(ctx context.Context, r *round) error {
		return r.brokered(ctx, 700*time.Millisecond, func(n *dice, _ *pubsubpb.PublishRequest) conduct {
			c := conduct{wait: n.upTo(5 * time.Millisecond)}
			if n.one(4) {
				c.refuse = status.Error(code, "chaos: not now")
			}
			return c
		})
	}
}

func brokerLies(code codes.Code) func(context.Context, *round) error {
	return func(ctx context.Context, r *round) error {
		return r.brokered(ctx, 700*time.Millisecond, func(n *dice, _ *pubsubpb.PublishRequest) conduct {
			c := conduct{lag: n.upTo(5 * time.Millisecond)}
			if n.one(6) {
				c.lie = status.Error(code, "chaos: taken all the same")
			}
			return c
		})
	}
}

// messagesRefused: the broker refuses some calls as if a message was at fault, and takes them the next time.
func messagesRefused(ctx context.Context, r *round) error {
	err := r.brokered(ctx, 700*time.Millisecond, func(n *dice, _ *pubsubpb.PublishRequest) conduct {
		c := conduct{wait: n.upTo(5 * time.Millisecond)}
		if n.one(6) {
			c.refuse = status.Error(codes.InvalidArgument, "chaos: refused")
		}
		return c
	})
	if err != nil {
		return err
	}
	return r.redrive(ctx)
}

// brokerOutage: the broker is gone for a while, and a backlog grows.
func brokerOutage(ctx context.Context, r *round) error {
	r.wire.set(rules{refuse: true})
	defer r.wire.set(rules{})
	r.wire.cut()
	return r.pause(ctx, 500*time.Millisecond, 2500*time.Millisecond)
}

// longOutage is a minute without a broker, with the shipped terms.
func longOutage(ctx context.Context, r *round) error {
	r.wire.set(rules{refuse: true})
	defer r.wire.set(rules{})
	r.wire.cut()
	return r.steady(ctx, time.Minute)
}

// brokerStalled: nothing moves between publishers and broker, and then it does again or everything is cut.
func brokerStalled(ctx context.Context, r *round) error {
	r.wire.set(rules{stall: true})
	defer r.wire.set(rules{})
	if err := r.pause(ctx, 200*time.Millisecond, 1200*time.Millisecond); err != nil {
		return err
	}
	if r.rng.IntN(2) == 0 {
		r.wire.cut()
	}
	return nil
}

// longOpenWriter keeps a transaction with events open for a second; nobody else may wait for it.
func longOpenWriter(ctx context.Context, r *round) error {
	from := r.broker.takenCount()
	user := r.load.users[len(r.load.users)-1]
	hold := between(r.rng, 800*time.Millisecond, 1500*time.Millisecond)
	var group sync.WaitGroup
	group.Go(func() { r.transact(ctx, transaction{users: r.load.users[len(r.load.users)-1:], each: 3, hold: hold}) })
	group.Wait()
	others := r.latencies(from, isNot(user))
	p99 := percentile(others, 0.99)
	r.tally.notes = append(r.tally.notes, fmt.Sprintf("others' p99 %s of %d", p99.Round(100*time.Microsecond), len(others)))
	if limit := 500 * time.Millisecond; len(others) == 0 || p99 > limit {
		return errors.New("a long-open writer holds up other keys: p99 " + p99.String())
	}
	return nil
}
