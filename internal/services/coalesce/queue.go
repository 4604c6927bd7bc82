// Package coalesce lets callers share transactions: the commands that wait are applied together by whoever writes
// next. There is no timer, so that a command that comes alone is applied at once.
package coalesce

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/lingo-services/profile/internal/models"
)

// Options of a queue.
type Options struct {
	// Enabled false: every command is applied alone.
	Enabled bool
	// Writers is how many batches may be applied at a time.
	Writers int
	// Batch bounds the commands of one batch, PerUser those of one user among them.
	Batch, PerUser int
	// Stragglers is how many users may be waited for at a time whose lock somebody else has.
	Stragglers int
}

// Outcome is what became of one command of a batch.
type Outcome[R any] struct {
	Value R
	// Err concerns this command alone.
	Err error
	// Busy: nothing was tried, because somebody else has the user's lock.
	Busy bool
}

// Work applies commands.
type Work[C, R any] struct {
	// Shared applies commands in order and as one, and returns their outcomes in that order. An error says that
	// nothing was applied, as far as one can know. It waits for no user's lock.
	Shared func(ctx context.Context, commands []C) ([]Outcome[R], error)
	// Alone applies one command, and waits for its user's lock.
	Alone func(ctx context.Context, command C) (R, error)
	// Taken is told of every batch: how many commands, and how long the first of them had waited.
	Taken func(commands int, waited time.Duration)
}

// Queue collects commands of concurrent callers. A user's commands are applied in the order they came, and a user with
// many of them delays nobody else: each batch takes a few of everybody. It has no goroutine while it is empty. Safe for
// concurrent use.
type Queue[C, R any] struct {
	opts Options
	work Work[C, R]
	// straggling has room for those who wait for a user's lock.
	straggling chan struct{}

	mu    sync.Mutex
	lines map[models.UserID]*line[C, R]
	// ready are the lines that have somebody waiting and are not taken.
	ready   []*line[C, R]
	writing int
}

// line is what one user waits for.
type line[C, R any] struct {
	user    models.UserID
	waiting []*call[C, R]
	// queued: it is among the ready. taken: commands of the user are being applied; later ones wait for them.
	queued, taken bool
}

// call is a caller and its command.
type call[C, R any] struct {
	// ctx is the caller's.
	ctx     context.Context //nolint:containedctx // a call waits for as long as its caller does
	line    *line[C, R]
	command C
	since   time.Time
	// audience is nil until the command is taken.
	audience *audience
	outcome  Outcome[R]
	done     chan struct{}
}

// audience are the callers of a batch. When all have left there is nobody to hear the answer, and it is given up.
type audience struct {
	callers int
	giveUp  context.CancelFunc
}

// New returns an empty queue.
func New[C, R any](opts Options, work Work[C, R]) *Queue[C, R] {
	return &Queue[C, R]{
		opts: opts, work: work, lines: map[models.UserID]*line[C, R]{}, straggling: make(chan struct{}, max(1, opts.Stragglers)),
	}
}

// Do applies command for user and returns its outcome. When ctx ends while the command waits, it is as if it had never
// come; when ctx ends while the command is being applied, Do returns and the command takes effect wholly or not at
// all. Errors: models.ErrDeadlineExceeded, models.ErrCancelled, and those of the work.
func (q *Queue[C, R]) Do(ctx context.Context, user models.UserID, command C) (R, error) {
	if !q.opts.Enabled {
		return q.work.Alone(ctx, command)
	}
	c := q.join(ctx, user, command)
	select {
	case <-c.done:
		return c.outcome.Value, c.outcome.Err
	case <-ctx.Done():
	}
	if !q.leave(c) {
		return c.outcome.Value, c.outcome.Err // answered at the same moment
	}
	var none R
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return none, models.ErrDeadlineExceeded.Because(ctx.Err())
	}
	return none, models.ErrCancelled.Because(ctx.Err())
}

func (q *Queue[C, R]) join(ctx context.Context, user models.UserID, command C) *call[C, R] {
	q.mu.Lock()
	defer q.mu.Unlock()
	l := q.lines[user]
	if l == nil {
		l = &line[C, R]{user: user}
		q.lines[user] = l
	}
	c := &call[C, R]{ctx: ctx, line: l, command: command, since: time.Now(), done: make(chan struct{})}
	l.waiting = append(l.waiting, c)
	q.enqueue(l)
	return c
}

// enqueue has the commands of a line taken, unless they are being taken. The lock is held.
func (q *Queue[C, R]) enqueue(l *line[C, R]) {
	if !l.queued && !l.taken {
		l.queued = true
		q.ready = append(q.ready, l)
	}
	if q.wantsWriter() {
		q.writing++
		go q.write()
	}
}

// crowd is how many users must wait for a second writer to begin while the first one waits for the database: about what
// a transaction costs by itself, in commands. Fewer would only make two small transactions of one.
const crowd = 32

// wantsWriter: there is something to take, and nobody to take it, or so much that another writer pays.
func (q *Queue[C, R]) wantsWriter() bool {
	switch {
	case len(q.ready) == 0 || q.writing >= q.opts.Writers:
		return false
	case q.writing == 0:
		return true
	}
	return len(q.ready) >= min(crowd, q.opts.Batch)
}

// leave lets a caller go who has not been answered; a command that is not taken goes too.
func (q *Queue[C, R]) leave(c *call[C, R]) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	select {
	case <-c.done:
		return false
	default:
	}
	if c.audience == nil {
		c.line.waiting = slices.DeleteFunc(c.line.waiting, func(other *call[C, R]) bool { return other == c })
		return true
	}
	if c.audience.callers--; c.audience.callers == 0 {
		c.audience.giveUp()
	}
	return true
}

// write applies batches until nothing is ready.
func (q *Queue[C, R]) write() {
	for {
		ctx, cancel := context.WithCancel(context.Background())
		lines, calls := q.take(cancel)
		if len(lines) > 0 {
			q.apply(ctx, calls)
			q.settle(lines, calls)
		}
		cancel()
		if len(lines) == 0 {
			return
		}
	}
}

// take makes a batch of a few commands of each user, as many as there is room for. Without one the writer ends.
func (q *Queue[C, R]) take(giveUp context.CancelFunc) (lines []*line[C, R], calls []*call[C, R]) {
	q.mu.Lock()
	defer q.mu.Unlock()
	everybody := &audience{giveUp: giveUp}
	for len(q.ready) > 0 && len(calls) < q.opts.Batch {
		l := q.ready[0]
		q.ready, l.queued = q.ready[1:], false
		n := min(len(l.waiting), q.opts.PerUser, q.opts.Batch-len(calls))
		if n == 0 { // all of them have left
			delete(q.lines, l.user)
			continue
		}
		for _, c := range l.waiting[:n] {
			c.audience = everybody
			calls = append(calls, c)
		}
		l.waiting, l.taken = slices.Clone(l.waiting[n:]), true
		lines = append(lines, l)
	}
	everybody.callers = len(calls)
	if len(lines) == 0 {
		q.writing--
		return nil, nil
	}
	first := slices.MinFunc(calls, func(a, b *call[C, R]) int { return a.since.Compare(b.since) })
	q.work.Taken(len(calls), time.Since(first.since))
	return lines, calls
}

// apply gives every call its outcome. When a batch fails for what is in it, it is halved until that is found, so that
// the rest is applied; what is wrong with the surroundings concerns all.
func (q *Queue[C, R]) apply(ctx context.Context, calls []*call[C, R]) {
	if len(calls) == 0 {
		return
	}
	commands := make([]C, len(calls))
	for i, c := range calls {
		commands[i] = c.command
	}
	outcomes, err := q.work.Shared(ctx, commands)
	switch {
	case err == nil:
		for i, c := range calls {
			c.outcome = outcomes[i]
		}
	case len(calls) > 1 && concernsCommands(err):
		first, second := calls[:len(calls)/2], calls[len(calls)/2:]
		q.apply(ctx, first)
		q.apply(ctx, behindBusy(first, second))
	default:
		for _, c := range calls {
			c.outcome.Err = err
		}
	}
}

// behindBusy leaves out of later the commands of users who turned out to be busy in earlier: their lock may be free by
// now, but their order is kept.
func behindBusy[C, R any](earlier, later []*call[C, R]) []*call[C, R] {
	busy := map[*line[C, R]]bool{}
	for _, c := range earlier {
		if c.outcome.Busy {
			busy[c.line] = true
		}
	}
	var free []*call[C, R]
	for _, c := range later {
		if c.outcome.Busy = busy[c.line]; !c.outcome.Busy {
			free = append(free, c)
		}
	}
	return free
}

// concernsCommands reports whether other commands might succeed where these failed.
func concernsCommands(err error) bool {
	for _, surroundings := range []error{
		models.ErrUnavailable, models.ErrDeadlineExceeded, models.ErrCancelled, models.ErrTransactionConflict,
	} {
		if errors.Is(err, surroundings) {
			return false
		}
	}
	return true
}

// settle answers the callers and gives their lines back. Users who were busy are waited for apart.
func (q *Queue[C, R]) settle(lines []*line[C, R], calls []*call[C, R]) {
	q.mu.Lock()
	defer q.mu.Unlock()
	stragglers := map[*line[C, R]][]*call[C, R]{}
	for _, c := range calls {
		if c.outcome.Busy {
			stragglers[c.line] = append(stragglers[c.line], c)
			continue
		}
		close(c.done)
	}
	for _, l := range lines {
		if late := stragglers[l]; late != nil {
			go q.straggle(l, late)
			continue
		}
		q.giveBack(l)
	}
}

// straggle applies the commands of a busy user one by one, each for as long as its caller waits.
func (q *Queue[C, R]) straggle(l *line[C, R], late []*call[C, R]) {
	q.straggling <- struct{}{}
	for _, c := range late {
		value, err := q.work.Alone(c.ctx, c.command)
		c.outcome = Outcome[R]{Value: value, Err: err}
	}
	<-q.straggling
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, c := range late {
		close(c.done)
	}
	q.giveBack(l)
}

// giveBack lets the next commands of a user be taken, behind everybody else's. The lock is held.
func (q *Queue[C, R]) giveBack(l *line[C, R]) {
	l.taken = false
	if len(l.waiting) == 0 {
		delete(q.lines, l.user)
		return
	}
	q.enqueue(l)
}
