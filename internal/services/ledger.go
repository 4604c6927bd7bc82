package services

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/models/po"
	"github.com/lingo-services/profile/internal/repositories"
)

// ledger collects what changed rows mean for counters and events, and books it once, in lock order:
// video counters, user counters, event log.
type ledger struct {
	users  map[models.UserID]*po.UserDelta
	videos map[models.VideoID]*po.StatsDelta
	events []pendingEvent
}

// pendingEvent is built after the counters have moved, because it carries them.
type pendingEvent struct {
	user  models.UserID
	video models.VideoID
	build func(id uuid.UUID, stats po.VideoStats) (po.Event, error)
}

func newLedger() *ledger {
	return &ledger{users: map[models.UserID]*po.UserDelta{}, videos: map[models.VideoID]*po.StatsDelta{}}
}

func (l *ledger) user(id models.UserID) *po.UserDelta {
	if l.users[id] == nil {
		l.users[id] = &po.UserDelta{UserID: id}
	}
	return l.users[id]
}

func (l *ledger) video(id models.VideoID) *po.StatsDelta {
	if l.videos[id] == nil {
		l.videos[id] = &po.StatsDelta{VideoID: id}
	}
	return l.videos[id]
}

// announce queues an event about a user and, unless it is zero, a video.
func (l *ledger) announce(user models.UserID, video models.VideoID, build func(uuid.UUID, po.VideoStats) (po.Event, error)) {
	l.events = append(l.events, pendingEvent{user, video, build})
	l.user(user).Events++
}

// book stores everything collected. Users must be locked. With nothing collected it does nothing.
func (l *ledger) book(ctx context.Context, tx *repositories.Tx, newID NewID) error {
	stats, err := l.bookVideos(ctx, tx)
	if err != nil {
		return err
	}
	if len(l.users) == 0 {
		return nil
	}
	deltas := make([]po.UserDelta, 0, len(l.users))
	for _, d := range l.users {
		deltas = append(deltas, *d)
	}
	last, err := tx.UserStats.Increment(ctx, deltas)
	if err != nil {
		return err
	}
	next := make(map[models.UserID]int64, len(last))
	for id, version := range last {
		next[id] = version - l.users[id].Events
	}
	events := make([]po.Event, len(l.events))
	for i, pending := range l.events {
		if events[i], err = pending.build(newID(), stats[pending.video]); err != nil {
			return fmt.Errorf("build event: %w", err)
		}
		next[pending.user]++
		events[i].Version = next[pending.user]
	}
	return tx.Outbox.Append(ctx, events)
}

// bookVideos moves counters and returns those of every video an event speaks of.
func (l *ledger) bookVideos(ctx context.Context, tx *repositories.Tx) (map[models.VideoID]po.VideoStats, error) {
	var deltas []po.StatsDelta
	var unmoved []models.VideoID
	for id, d := range l.videos {
		if d.IsZero() {
			unmoved = append(unmoved, id)
			continue
		}
		deltas = append(deltas, *d)
	}
	stats := map[models.VideoID]po.VideoStats{}
	if len(deltas) > 0 {
		slices.SortFunc(deltas, func(a, b po.StatsDelta) int { return bytes.Compare(a.VideoID[:], b.VideoID[:]) })
		var err error
		if stats, err = tx.VideoStats.Increment(ctx, deltas); err != nil {
			return nil, err
		}
	}
	if len(unmoved) > 0 {
		current, err := tx.VideoStats.BatchGet(ctx, unmoved)
		if err != nil {
			return nil, err
		}
		for id, s := range current {
			stats[id] = s
		}
	}
	return stats, nil
}
