package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	profilev1 "github.com/lingo-services/profile/api/profile/v1"
	outboxevents "github.com/lingo-services/profile/internal/models/outbox_events"
	"github.com/lingo-services/profile/internal/repositories/profiledb"
)

// slots is how many calls that share transactions the overloaded API works on at a time.
const slots = 16

// apiFaults are the faults between callers and database.
func apiFaults() []*fault {
	serving := func(env ...string) setup { return setup{publishers: 1, shipped: true, served: true, serverEnv: env} }
	usually := habits{users: 96, videos: 5, gap: 60 * time.Millisecond, watchers: 30, look: 30}
	impatient, poisoned := usually, usually
	impatient.impatient = 60
	poisoned.users, poisoned.watchers, poisoned.poisoned, poisoned.gap = 256, 0, 6, 100*time.Millisecond
	f := func(name string, s setup, h habits, strike func(context.Context, *round) error) *fault {
		return &fault{name: name, setup: s, strike: strike, harmless: true, full: 10, play: func(ctx context.Context, r *round) error { return called(ctx, r, h) }}
	}
	killed := f("api-postgres-killed", serving(), usually, postgresCrashed(syscall.SIGKILL))
	killed.harmless = false
	overload := f("overload-broker-down", serving(fmt.Sprintf("PROFILE_ADMISSION_SHARED_SLOTS=%d", slots)),
		habits{users: 160, videos: 5, gap: 10 * time.Millisecond, look: 10}, overloadedWithoutBroker)
	overload.harmless, overload.slack = false, reconnect
	return []*fault{
		f("api-killed", serving(), usually, apiKilled),
		f("callers-leave", serving(), impatient, nothingForLonger),
		f("poisoned-command", serving(), poisoned, nothingForLonger),
		overload,
		f("reads-race-writes", serving("PROFILE_COALESCING_WRITERS=1", "PROFILE_CACHE_SIZE=128"),
			habits{users: 48, videos: 4, gap: 4 * time.Millisecond, readers: 48, look: 60}, nothingForLonger),
		killed,
	}
}

// called plays a round with a crowd of callers in place of the writers.
func called(ctx context.Context, r *round, h habits) error {
	r.crowd = startCrowd(ctx, r.world, h, r.seed)
	if h.poisoned > 0 {
		r.poisons[r.crowd.poison] = true
		if err := r.exec(ctx, "INSERT INTO profile.video_stats (video_id, like_count) VALUES ($1, $2)", r.crowd.poison, int64(math.MaxInt64)); err != nil {
			r.crowd.wait()
			return err
		}
	}
	err := r.underLoad(ctx)
	r.crowd.wait()
	if err != nil {
		return fmt.Errorf("strike: %w\n%s", err, r.tails())
	}
	if h.poisoned > 0 && r.crowd.poisonings.Load() == 0 {
		return errors.New("A3: nobody was refused for liking the poisoned video")
	}
	r.tally.notes = append(r.tally.notes, fmt.Sprintf("%d calls acknowledged, %d refused; made again after %v",
		r.crowd.acknowledged.Load(), r.crowd.refused.Load(), r.crowd.again))
	return errors.Join(r.judgeCalls(ctx), r.slow, r.settle(ctx))
}

// judgeCalls compares what callers were told with what there is, and with what is read now.
func (r *round) judgeCalls(ctx context.Context) error {
	var group sync.WaitGroup
	for i, u := range r.crowd.users {
		one := &caller{crowd: r.crowd, number: i, user: u}
		group.Go(func() { one.check(ctx) })
	}
	group.Wait()
	s, err := r.stored(ctx)
	if err != nil {
		return err
	}
	if problems := judgeAnswers(r.crowd.answers, s); len(problems) > 0 {
		return errors.New(strings.Join(append(problems, r.server.process.failures(3)...), "\n"))
	}
	return nil
}

// stored reads what the database has of the round's users.
func (r *round) stored(ctx context.Context) (s stored, err error) {
	s = stored{values: map[register]int64{}, events: map[register][]int64{}}
	var users []string
	for _, u := range r.crowd.users {
		users = append(users, u.String())
	}
	rows, err := r.look.Query(ctx, `SELECT user_id, video_id, engagement_type, (deleted_at IS NULL)::int::bigint
		FROM profile.engagements WHERE user_id = ANY ($1::text[]::uuid[])
		UNION ALL SELECT user_id, video_id, 'watch', position_seconds FROM profile.watch_logs WHERE user_id = ANY ($1::text[]::uuid[])`, users)
	if err != nil {
		return s, err
	}
	var at register
	var value int64
	if _, err := pgx.ForEachRow(rows, []any{&at.user, &at.video, &at.kind, &value}, func() error {
		s.values[at] = value
		return nil
	}); err != nil {
		return s, err
	}
	if err := r.storedEvents(ctx, users, s.events); err != nil {
		return s, err
	}
	s.drifted, err = r.drift(ctx, users)
	return s, err
}

func (r *round) storedEvents(ctx context.Context, users []string, events map[register][]int64) error {
	rows, err := r.look.Query(ctx, `SELECT event_type, payload FROM profile.outbox_events
		WHERE ordering_key = ANY ($1::text[]::uuid[]) ORDER BY ordering_key, version`, users)
	if err != nil {
		return err
	}
	var kind string
	var payload []byte
	_, err = pgx.ForEachRow(rows, []any{&kind, &payload}, func() error {
		message, err := outboxevents.Decode(kind, payload)
		if err != nil {
			return err
		}
		event, is := message.(interface {
			GetUserId() string
			GetVideoId() string
			GetFavoriteType() profilev1.FavoriteType
		})
		if !is {
			return nil
		}
		at := register{uuid.MustParse(event.GetUserId()), uuid.MustParse(event.GetVideoId()), liked}
		if event.GetFavoriteType() == profilev1.FavoriteType_FAVORITE_TYPE_BOOKMARK {
			at.kind = bookmarked
		}
		_, added := message.(*profilev1.EngagementAddedEvent)
		events[at] = append(events[at], int64(btoi(added)))
		return nil
	})
	return err
}

// drift names the counters that are not what a recount says.
func (r *round) drift(ctx context.Context, users []string) (lines []string, err error) {
	videos, err := profiledb.New(r.look).FindStatsDrift(ctx)
	if err != nil {
		return nil, err
	}
	for _, v := range videos {
		if !r.poisons[v.VideoID] {
			lines = append(lines, fmt.Sprintf("counters of video %s drifted: %+v", v.VideoID, v))
		}
	}
	rows, err := r.look.Query(ctx, `SELECT s.user_id::text FROM profile.user_stats s WHERE s.user_id = ANY ($1::text[]::uuid[])
		AND (s.like_count, s.bookmark_count, s.watched_count, s.event_seq) IS DISTINCT FROM (
			(SELECT count(*) FROM profile.engagements e WHERE e.user_id = s.user_id AND e.deleted_at IS NULL AND e.engagement_type = 'like'),
			(SELECT count(*) FROM profile.engagements e WHERE e.user_id = s.user_id AND e.deleted_at IS NULL AND e.engagement_type = 'bookmark'),
			(SELECT count(*) FROM profile.watch_logs l WHERE l.user_id = s.user_id AND l.qualified_at IS NOT NULL),
			(SELECT count(*) FROM profile.outbox_events o WHERE o.ordering_key = s.user_id))`, users)
	if err != nil {
		return nil, err
	}
	drifted, err := pgx.CollectRows(rows, pgx.RowTo[string])
	for _, u := range drifted {
		lines = append(lines, "counters of user "+u+" drifted")
	}
	return lines, err
}

func nothingForLonger(ctx context.Context, r *round) error {
	return r.pause(ctx, time.Second, 2*time.Second)
}

// apiKilled kills the API with batches in flight, again and again.
func apiKilled(ctx context.Context, r *round) error {
	for range 3 {
		if err := r.pause(ctx, 100*time.Millisecond, 500*time.Millisecond); err != nil {
			return err
		}
		r.server.process.kill()
		if err := r.startServer(ctx); err != nil {
			return err
		}
	}
	return r.pause(ctx, 100*time.Millisecond, 300*time.Millisecond)
}

// overloadedWithoutBroker: there are more callers than slots, no broker, and now and then nobody is done, because
// somebody has locked a table.
func overloadedWithoutBroker(ctx context.Context, r *round) error {
	r.wire.set(rules{refuse: true})
	defer r.wire.set(rules{})
	r.wire.cut()
	for range 3 {
		if err := r.pause(ctx, 100*time.Millisecond, 300*time.Millisecond); err != nil {
			return err
		}
		if err := r.standstill(ctx); err != nil {
			return err
		}
	}
	if r.crowd.refused.Load() == 0 {
		r.crowd.complain("A7", "%d callers found %d slots, and nobody was refused", r.crowd.habits.users, slots)
	}
	return nil
}

// standstill keeps every call in work from ending for a moment, and counts the calls on their way meanwhile. Those who
// are refused come and go, so that the least count is that of the calls in work.
func (r *round) standstill(ctx context.Context) error {
	tx, err := r.look.Begin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	if _, err := tx.Exec(ctx, "LOCK TABLE profile.user_stats IN EXCLUSIVE MODE"); err != nil {
		return err
	}
	least := int64(math.MaxInt64)
	for range 150 {
		if !waited(ctx, 2*time.Millisecond) {
			return ctx.Err()
		}
		least = min(least, r.crowd.calling.Load())
	}
	if least > slots {
		r.crowd.complain("A7", "%d calls were in work at a time, there are %d slots", least, slots)
	}
	return nil
}
