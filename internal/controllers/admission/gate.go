// Package admission bounds how many calls are in work, so that those which are get done: what cannot be done in time is
// refused at once, while refusing is still cheap.
package admission

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/lingo-services/profile/internal/models"
)

// Options of a gate.
type Options struct {
	// Slots is how many calls may be in work, Queue how many may wait for a slot, PerUser how many of either may be of
	// one user.
	Slots, Queue, PerUser int
	// MaxWait is the longest a call may have to wait, as far as one can tell when it comes.
	MaxWait time.Duration
}

// Refusals, as metrics name them.
const (
	// Full: slots and queue are taken.
	Full = "full"
	// Hopeless: it would have to wait longer than it can, or may.
	Hopeless = "deadline"
	// Greedy: one user has taken their share.
	Greedy = "user"
	// Pressed: too many calls wait for a processor.
	Pressed = "processor"
)

// Observer counts what happened at a gate. Implementations do not block and do not fail.
type Observer interface {
	// Admitted tells how long a call waited for its slot.
	Admitted(budget string, waited time.Duration)
	// Refused counts a call that was turned away, and why: Full, Hopeless, Greedy or Pressed.
	Refused(budget, why string)
	// Present tells how many calls are in work and how many wait.
	Present(budget string, working, waiting int)
}

// Gate admits calls of one budget, first come, first served. Safe for concurrent use.
type Gate struct {
	budget   string
	opts     Options
	observer Observer
	now      func() time.Time

	mu      sync.Mutex
	working int
	users   map[models.UserID]int
	waiting queue
	// pace is how long a call takes, averaged over the last dozens.
	pace time.Duration
	// moved is when a call ended last, or the first of those in work began.
	moved time.Time
}

// ticket is a waiting call.
type ticket struct {
	admitted   chan struct{}
	prev, next *ticket
}

// NewGate has room for everybody.
func NewGate(budget string, opts Options, observer Observer, now func() time.Time) *Gate {
	return &Gate{budget: budget, opts: opts, observer: observer, now: now, users: map[models.UserID]int{}}
}

// Enter returns when the call may begin; leave must be called once when it has ended, with its error. Errors:
// models.ErrOverloaded, at once; models.ErrDeadlineExceeded and ErrCancelled when ctx ends while the call waits.
func (g *Gate) Enter(ctx context.Context, user models.UserID) (leave func(), err error) {
	start := g.now()
	t, why := g.arrive(ctx, user, start)
	if why != "" {
		g.observer.Refused(g.budget, why)
		return nil, Refusal()
	}
	if t != nil {
		select {
		case <-t.admitted:
		case <-ctx.Done():
			if g.giveUp(t, user) {
				return nil, ended(ctx)
			}
		}
	}
	begun := g.now()
	g.observer.Admitted(g.budget, begun.Sub(start))
	return func() { g.leave(user, begun) }, nil
}

func ended(ctx context.Context) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return models.ErrDeadlineExceeded.Because(ctx.Err())
	}
	return models.ErrCancelled.Because(ctx.Err())
}

// Bounds of the wait that is advised to those who are refused, so that they do not come back all at once.
const (
	leastRetry  = 100 * time.Millisecond
	spreadRetry = 400 * time.Millisecond
)

// Refusal is models.ErrOverloaded with a time to come back that is one caller's own.
func Refusal() *models.Error {
	return models.ErrOverloaded.After(leastRetry + rand.N(spreadRetry)) //nolint:gosec // spreading retries needs no secrecy
}

// arrive takes a slot, or a place in the queue, or says why there is neither.
func (g *Gate) arrive(ctx context.Context, user models.UserID, now time.Time) (t *ticket, refusal string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	defer g.present()
	switch {
	case g.users[user] >= g.opts.PerUser:
		return nil, Greedy
	case g.working >= g.opts.Slots && g.waiting.len >= g.opts.Queue:
		return nil, Full
	case g.hopeless(ctx, now):
		return nil, Hopeless
	}
	g.users[user]++
	if g.working < g.opts.Slots {
		g.begin(now)
		return nil, ""
	}
	t = &ticket{admitted: make(chan struct{})}
	g.waiting.push(t)
	return t, ""
}

func (g *Gate) begin(now time.Time) {
	if g.working == 0 {
		g.moved = now
	}
	g.working++
}

// fewest calls in work say nothing about a standstill: they may all be of one slow kind.
const fewest = 8

// hopeless estimates (Little's law: those ahead, times what one takes, by those served at a time) how long a call
// will take that comes now. Where nothing has ended for longer than that, it takes at least as long again.
func (g *Gate) hopeless(ctx context.Context, now time.Time) bool {
	pace := g.pace
	if g.working >= min(fewest, g.opts.Slots) {
		pace = max(pace, now.Sub(g.moved))
	}
	var wait time.Duration
	if g.working >= g.opts.Slots {
		wait = pace * time.Duration(g.waiting.len+1) / time.Duration(g.opts.Slots)
	}
	if wait > g.opts.MaxWait {
		return true
	}
	deadline, limited := ctx.Deadline()
	return limited && now.Add(wait+pace).After(deadline) && g.working > 0
}

// leave ends a call and lets the next one begin.
func (g *Gate) leave(user models.UserID, begun time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	const weight = 32
	g.pace += (now.Sub(begun) - g.pace) / weight
	g.moved = now
	g.release(user)
	g.working--
	for g.working < g.opts.Slots {
		t := g.waiting.pop()
		if t == nil {
			break
		}
		g.begin(now)
		close(t.admitted)
	}
	g.present()
}

func (g *Gate) release(user models.UserID) {
	if g.users[user]--; g.users[user] == 0 {
		delete(g.users, user)
	}
}

// giveUp takes a waiting call back; false when it was admitted at the same moment.
func (g *Gate) giveUp(t *ticket, user models.UserID) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-t.admitted:
		return false
	default:
	}
	g.waiting.remove(t)
	g.release(user)
	g.present()
	return true
}

func (g *Gate) present() { g.observer.Present(g.budget, g.working, g.waiting.len) }

// queue is a list of tickets that any of them can leave.
type queue struct {
	first, last *ticket
	len         int
}

func (q *queue) push(t *ticket) {
	t.prev = q.last
	if q.last == nil {
		q.first = t
	} else {
		q.last.next = t
	}
	q.last = t
	q.len++
}

func (q *queue) pop() *ticket {
	t := q.first
	if t != nil {
		q.remove(t)
	}
	return t
}

func (q *queue) remove(t *ticket) {
	if t.prev == nil {
		q.first = t.next
	} else {
		t.prev.next = t.next
	}
	if t.next == nil {
		q.last = t.prev
	} else {
		t.next.prev = t.prev
	}
	t.prev, t.next = nil, nil
	q.len--
}
