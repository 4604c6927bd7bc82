package services

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/google/uuid"

	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/models/po"
	"github.com/lingo-services/profile/internal/repositories"
)

// ledger collects what changed rows mean for counters and events, and books it once, in lock order: user counters,
// video counters, event log.
type ledger struct {
	users map[models.UserID]*po.UserDelta
	// asked are videos whose counters are asked for.
	asked map[models.VideoID]bool
	// videos are those about which something changed, though their counters may end where they began: they are
	// locked, so that no change tells an older snapshot than the change before it (S78).
	videos map[models.VideoID]*po.StatsDelta
	// uncounted videos have no row of counters yet.
	uncounted map[models.VideoID]bool
	events    []pendingEvent
}

// pendingEvent is built after the counters have moved, because it carries them.
type pendingEvent struct {
	user  models.UserID
	video models.VideoID
	// trace is the traceparent of the call.
	trace string
	build func(id uuid.UUID, stats po.VideoStats) (po.Event, error)
}

func newLedger() *ledger {
	return &ledger{
		users: map[models.UserID]*po.UserDelta{}, asked: map[models.VideoID]bool{},
		videos: map[models.VideoID]*po.StatsDelta{}, uncounted: map[models.VideoID]bool{},
	}
}

func (l *ledger) user(id models.UserID) *po.UserDelta {
	if l.users[id] == nil {
		l.users[id] = &po.UserDelta{UserID: id}
	}
	return l.users[id]
}

// ask has book return a video's counters.
func (l *ledger) ask(id models.VideoID) { l.asked[id] = true }

// video is what moves a video's counters, which book will return. counted: it has a row of them.
func (l *ledger) video(id models.VideoID, counted bool) *po.StatsDelta {
	if l.videos[id] == nil {
		l.videos[id] = &po.StatsDelta{VideoID: id}
	}
	if !counted {
		l.uncounted[id] = true
	}
	return l.videos[id]
}

// announce queues an event about a user and, unless it is zero, a video.
func (l *ledger) announce(e pendingEvent) {
	l.events = append(l.events, e)
	l.user(e.user).Events++
}

// errUnlocked says that somebody moved a user's events while the user was locked here.
var errUnlocked = errors.New("events of a locked user were numbered by somebody else")

// book stores everything collected and returns the counters of every video it was asked for. Users are locked, with
// their counters as they were then. What it writes last travels with COMMIT.
func (l *ledger) book(ctx context.Context, tx *repositories.Tx, counters map[models.UserID]po.UserCounters, newID NewID) (map[models.VideoID]po.VideoStats, error) {
	stats, err := l.move(ctx, tx, counters)
	if err != nil || len(l.events) == 0 {
		return stats, err
	}
	next := make(map[models.UserID]int64, len(l.users))
	events := make([]po.Event, len(l.events))
	for i, pending := range l.events {
		if events[i], err = pending.build(newID(), stats[pending.video]); err != nil {
			return nil, fmt.Errorf("build event: %w", err)
		}
		next[pending.user]++
		events[i].Version = counters[pending.user].EventSeq + next[pending.user]
		events[i].TraceParent = pending.trace
	}
	return stats, tx.Later(func(tx *repositories.Tx) error { return tx.Outbox.Append(ctx, events) })
}

// move moves all counters in one round trip.
func (l *ledger) move(ctx context.Context, tx *repositories.Tx, counters map[models.UserID]po.UserCounters) (map[models.VideoID]po.VideoStats, error) {
	var moved []po.StatsDelta
	var unmoved, created []models.VideoID
	for id, d := range l.videos {
		moved = append(moved, *d)
		if l.uncounted[id] {
			created = append(created, id)
		}
	}
	for id := range l.asked {
		if l.videos[id] == nil {
			unmoved = append(unmoved, id)
		}
	}
	stats := make(map[models.VideoID]po.VideoStats, len(moved)+len(unmoved))
	var steps []func(tx *repositories.Tx) error
	if len(l.users) > 0 {
		steps = append(steps, func(tx *repositories.Tx) error { return l.moveUsers(ctx, tx, counters) })
	}
	if len(created) > 0 {
		steps = append(steps, func(tx *repositories.Tx) error { return tx.VideoStats.Ensure(ctx, created) })
	}
	if len(moved) > 0 {
		steps = append(steps, func(tx *repositories.Tx) error {
			now, err := tx.VideoStats.Increment(ctx, moved)
			maps.Copy(stats, now)
			return err
		})
	}
	if len(unmoved) > 0 {
		steps = append(steps, func(tx *repositories.Tx) error {
			now, err := tx.VideoStats.BatchGet(ctx, unmoved)
			maps.Copy(stats, now)
			return err
		})
	}
	return stats, tx.Together(ctx, steps...)
}

func (l *ledger) moveUsers(ctx context.Context, tx *repositories.Tx, counters map[models.UserID]po.UserCounters) error {
	deltas := make([]po.UserDelta, 0, len(l.users))
	for _, id := range slices.Collect(maps.Keys(l.users)) {
		deltas = append(deltas, *l.users[id])
	}
	last, err := tx.UserStats.Increment(ctx, deltas)
	if err != nil {
		return err
	}
	for id, version := range last {
		if version != counters[id].EventSeq+l.users[id].Events {
			return errUnlocked
		}
	}
	return nil
}
