package outbox

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/models/po"
	"github.com/lingo-services/profile/internal/repositories"
)

// databaseTimeout bounds one visit to the database.
const databaseTimeout = 5 * time.Second

// pump is the state of one publisher; only its own goroutine touches it.
type pump struct {
	opts     Options
	store    Store
	topic    Topic
	alarm    Alarm
	observer Observer
	log      *slog.Logger

	lanes map[int32]*lane
	// snapshot is what the database showed when the lanes were read last.
	snapshot string
	// highest id read. Lanes that were read to their end go on from there, however few events they have: deleted
	// rows below, which a long transaction keeps, are not walked again.
	highest int64
	keys    map[string]*key
	// retrying are the probing keys that wait for their retryAt.
	retrying map[string]*key
	// inHand are events read and not forgotten yet.
	inHand map[int64]*event
	// acknowledged events are forgotten with the next visit, at forgetAt at the latest.
	acknowledged []po.Delivered
	forgetAt     time.Time
	// outstanding events wait for the broker.
	outstanding int
	settled     *mailbox[*group]
	// flushing calls must end before the topic is stopped.
	flushing sync.WaitGroup

	// hungry: there is something to read, as far as we know.
	hungry  bool
	pollAt  time.Time
	pollGap time.Duration
	// gatherUntil: events come thick, and a read waits for more of them.
	gatherUntil time.Time

	// brokerFailures in a row, and until when nothing is sent. onTrial: a little was sent to see.
	brokerFailures int
	pausedUntil    time.Time
	onTrial        bool
	// databaseFailures in a row, and until when nothing is asked.
	databaseFailures int
	restUntil        time.Time

	renewAt, reportAt time.Time
	// startOverAt is when every lane is read from its start for no reason: a database that was replaced behind a
	// pooler does not tell, and what it has below the cursors would wait for ever.
	startOverAt time.Time
	// lag is the age of the oldest unread event when the database was asked last, at lagAt.
	lag       time.Duration
	lagAt     time.Time
	stopping  bool
	graceEnds time.Time
}

func newPump(opts Options, store Store, topic Topic, alarm Alarm, observer Observer, log *slog.Logger) *pump {
	return &pump{
		opts: opts, store: store, topic: topic, alarm: alarm, observer: observer, log: log,
		lanes: map[int32]*lane{}, keys: map[string]*key{}, retrying: map[string]*key{}, inHand: map[int64]*event{},
		settled: newMailbox[*group](), pollGap: fastestPoll, lagAt: time.Now(), reportAt: time.Now().Add(reportEvery),
	}
}

// run publishes until stop is closed and what is in hand has been settled, or the grace is over.
func (p *pump) run(ctx context.Context, stop <-chan struct{}) {
	for {
		for _, g := range p.settled.takeAll() {
			p.settle(ctx, g)
		}
		now := time.Now()
		p.tend(ctx, now)
		switch {
		case p.stopping && (len(p.inHand) == 0 || now.After(p.graceEnds)):
			p.leave(ctx)
			return
		case p.wantsVisit(now):
			p.visit(ctx)
		default:
			stop = p.wait(stop)
		}
	}
}

// wait returns when there is something to do; a stop is heard once.
func (p *pump) wait(stop <-chan struct{}) <-chan struct{} {
	timer := time.NewTimer(time.Until(p.nextDeadline()))
	defer timer.Stop()
	select {
	case <-p.settled.mail:
	case <-p.alarm.Woken():
		p.hungry = true
	case <-timer.C:
	case <-stop:
		p.beginStop()
		return nil
	}
	return stop
}

func (p *pump) nextDeadline() time.Time {
	next := earliest(p.renewAt, p.reportAt)
	held := latest(p.restUntil, p.pausedUntil)
	switch {
	case p.stopping:
		next = earliest(next, p.graceEnds)
	case !p.hungry:
		next = earliest(next, p.pollAt)
	case time.Now().Before(held):
		next = earliest(next, held)
	case time.Now().Before(p.gatherUntil):
		next = earliest(next, p.gatherUntil)
	} // otherwise the window is full, and mail will come
	if len(p.acknowledged) > 0 {
		next = earliest(next, latest(p.forgetAt, p.restUntil))
	}
	for _, k := range p.retrying {
		next = earliest(next, k.retryAt)
	}
	return next
}

// tend does what is due by time.
func (p *pump) tend(ctx context.Context, now time.Time) {
	if !now.Before(p.renewAt) {
		p.shareLanes(ctx, now)
	}
	p.releaseEmptied(ctx)
	for _, k := range p.retrying {
		if !now.Before(k.retryAt) {
			p.probe(ctx, k)
		}
	}
	if !now.Before(p.reportAt) {
		p.report(ctx, now)
	}
	if !now.Before(p.pollAt) {
		p.hungry = true
	}
	if !now.Before(p.startOverAt) && p.caughtUp() {
		p.startOver()
	}
}

func (p *pump) wantsVisit(now time.Time) bool {
	if now.Before(p.restUntil) {
		return false
	}
	gathering := now.Before(p.gatherUntil)
	if n := len(p.acknowledged); n > 0 && (n >= p.opts.Batch/2 || p.outstanding == 0 && !gathering || !now.Before(p.forgetAt)) {
		return true
	}
	return p.hungry && !gathering && p.room(now) > 0
}

// room is how many events may be read now. Small gaps are left to grow, so that one visit moves many.
func (p *pump) room(now time.Time) int {
	if p.stopping || now.Before(p.pausedUntil) || len(p.reading()) == 0 {
		return 0
	}
	if p.brokerFailures > 0 {
		return trialRoom
	}
	room := min(p.opts.Window-p.outstanding, p.opts.Batch)
	if room < p.opts.Batch/2 && p.outstanding > 0 {
		return 0
	}
	return room
}

// visit has the database forget what was acknowledged, and reads as much as there is room for.
func (p *pump) visit(ctx context.Context) {
	now := time.Now()
	request, acknowledged := po.Take{Snapshot: p.snapshot}, p.acknowledged
	if room := p.room(now); p.hungry && room > 0 {
		request.Lanes = p.share(p.reading(), room)
	}
	var taken po.Taken
	err := p.inQueue(ctx, func(ctx context.Context, tx *repositories.Tx) (err error) {
		if len(acknowledged) > 0 {
			if err := tx.Later(func(tx *repositories.Tx) error { return tx.Deliveries.Forget(ctx, acknowledged) }); err != nil {
				return err
			}
		}
		if len(request.Lanes) > 0 {
			taken, err = tx.Deliveries.Take(ctx, request)
		}
		return err
	})
	if err != nil {
		p.databaseFailed(err)
		return
	}
	p.databaseFailures = 0
	p.acknowledged = nil
	if len(request.Lanes) > 0 {
		p.snapshot = taken.Snapshot
		if sent := p.accept(ctx, taken.Deliveries, request); sent && p.brokerFailures > 0 {
			p.onTrial = true
			p.pausedUntil = now.Add(p.opts.BackoffMax)
		}
	}
	for _, d := range acknowledged {
		p.letGo(p.inHand[d.ID])
	}
}

// accept hands new events to the broker, as far as their keys flow; sent is whether there were any.
func (p *pump) accept(ctx context.Context, deliveries []po.Delivery, request po.Take) (sent bool) {
	now := time.Now()
	fresh := map[int32]int{}
	var groups []*group
	byKey := map[string]*group{}
	for _, d := range deliveries {
		l := p.lanes[d.Lane]
		p.highest = max(p.highest, d.ID)
		if d.ID > l.after {
			l.after = d.ID
			fresh[d.Lane]++
		}
		e := &event{Delivery: d, readAt: now}
		name := p.orderingKey(d)
		if !p.flows(name, e) {
			continue
		}
		p.inHand[d.ID] = e
		l.inHand++
		g := byKey[name]
		if g == nil {
			g = &group{key: name}
			byKey[name] = g
			groups = append(groups, g)
		}
		g.events = append(g.events, e)
	}
	p.hungry = false
	for _, c := range request.Lanes {
		l := p.lanes[c.Number]
		if l.more = fresh[c.Number] >= c.Limit; !l.more {
			l.after = max(l.after, p.highest) // nothing below that the snapshot showed is unread
		}
		p.hungry = p.hungry || l.more
	}
	if len(deliveries) >= thick && !p.hungry {
		p.gatherUntil = now.Add(gatherGap)
	}
	p.schedulePoll(now, len(deliveries) > 0)
	idle := p.outstanding == 0
	for _, g := range groups {
		p.send(ctx, g)
	}
	if idle && !p.hungry && len(groups) > 0 {
		p.flushing.Go(p.topic.Flush) // lingering for more is a third of the latency of an event that comes alone
	}
	return len(groups) > 0
}

// flows decides whether an event that was read may be sent. One that may not is either in hand already or
// noted, to be read again.
func (p *pump) flows(name string, e *event) bool {
	if p.inHand[e.ID] != nil {
		return false
	}
	k := p.keys[name]
	switch {
	case !e.Dead && (k == nil || k.mode == flowing):
		return true
	case k == nil:
		k = &key{name: name, mode: blocked}
		p.keys[name] = k
		p.log.Warn("a dead letter blocks its key; it waits for an operator", "event_id", e.EventID.String(), "user_id", e.Key.String(), "lane", e.Lane)
	case e.Dead && k.mode == flowing:
		k.mode = closing // others share the key
	}
	k.miss(e.Lane)
	return false
}

func (p *pump) schedulePoll(now time.Time, found bool) {
	p.pollGap = min(2*p.pollGap, slowestPoll)
	if found {
		p.pollGap = fastestPoll
	}
	gap := p.pollGap
	if p.alarm.Hears() {
		gap = safetyPoll
	}
	p.pollAt = now.Add(gap)
}

// inQueue runs fn in a transaction on the queue.
func (p *pump) inQueue(ctx context.Context, fn func(ctx context.Context, tx *repositories.Tx) error) error {
	ctx, cancel := context.WithTimeout(ctx, databaseTimeout)
	defer cancel()
	return p.store.Queue(ctx, fn)
}

// onLeases runs fn in a transaction on the lanes.
func (p *pump) onLeases(ctx context.Context, fn func(ctx context.Context, tx *repositories.Tx) error) error {
	ctx, cancel := context.WithTimeout(ctx, databaseTimeout)
	defer cancel()
	return p.store.Write(ctx, models.ServiceActor, fn)
}

// databaseFailed rests, and reads every lane from its start afterwards: whether the visit took place is
// unknown, and the database that answers next may be another one.
func (p *pump) databaseFailed(err error) {
	p.databaseFailures++
	p.restUntil = time.Now().Add(backoff(p.databaseFailures, p.opts.BackoffMin, p.opts.BackoffMax))
	p.log.Warn("database failed", "error", err, "count", p.databaseFailures)
	p.observer.DatabaseFailed()
	p.startOver()
}

// startOver reads every lane from its start again.
func (p *pump) startOver() {
	p.snapshot, p.highest = "", 0
	for number := range p.lanes {
		p.rewind(number)
	}
	p.startOverAt = time.Now().Add(p.opts.Reread)
}

// caughtUp: no lane is known to have more than was read.
func (p *pump) caughtUp() bool {
	for _, l := range p.lanes {
		if l.more {
			return false
		}
	}
	return true
}

// letGo takes an event out of hand.
func (p *pump) letGo(e *event) {
	delete(p.inHand, e.ID)
	if l := p.lanes[e.Lane]; l != nil {
		l.inHand--
	}
}

// report tells the observer how things stand.
func (p *pump) report(ctx context.Context, now time.Time) {
	p.reportAt = now.Add(reportEvery)
	status := Status{Lanes: len(p.lanes), Outstanding: p.outstanding}
	for _, e := range p.inHand {
		if !e.acknowledged {
			status.Lag = max(status.Lag, e.age(now))
		}
	}
	for _, k := range p.keys {
		if k.mode == blocked {
			status.BlockedKeys++
		}
	}
	if !now.Before(p.restUntil) {
		p.look(ctx, now)
	}
	status.Lag = max(status.Lag, p.lag+now.Sub(p.lagAt))
	p.observer.Observed(status)
}

// look asks the database what waits unread. While it does not answer, the lag is what it may be at most.
func (p *pump) look(ctx context.Context, now time.Time) {
	var unread time.Duration
	var backlog int64
	err := p.inQueue(ctx, func(ctx context.Context, tx *repositories.Tx) (err error) {
		if unread, err = tx.Deliveries.OldestUnread(ctx, p.cursors()); err != nil {
			return err
		}
		backlog, err = tx.Deliveries.EstimateBacklog(ctx)
		return err
	})
	if err != nil {
		p.databaseFailed(err)
		return
	}
	p.lag, p.lagAt = unread, now
	p.observer.Backlog(backlog)
}

func earliest(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
