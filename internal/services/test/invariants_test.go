package test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/models/po"
	"github.com/lingo-services/profile/internal/services"
	"github.com/lingo-services/profile/test/testkit"
)

// draw returns a number in [0, n).
type draw func(n int) int

func seeded(seed uint64) draw { return rand.New(rand.NewPCG(seed, 0)).IntN }

// pick chooses one of the values.
func pick[T any](d draw, values ...T) T { return values[d(len(values))] }

// command is one thing a user does; exactly one of its parts is set.
type command struct {
	user     models.UserID
	favorite *services.FavoriteCommand
	report   *services.ProgressReport
	goal     *string
}

func (c command) String() string {
	switch {
	case c.favorite != nil:
		return fmt.Sprintf("%s %s active=%v at %v", c.user, c.favorite.Type, c.favorite.Active, c.favorite.Claimed.OccurredAt)
	case c.report != nil:
		return fmt.Sprintf("%s ratio=%d total=%d at %v", c.user, *c.report.RatioBP, c.report.TotalSeconds, c.report.Claimed.OccurredAt)
	}
	return fmt.Sprintf("%s goal=%s", c.user, *c.goal)
}

// anyCommand is a random one; when is its occurred_at, nil for "now".
func anyCommand(d draw, user models.UserID, video models.VideoID, when *time.Time) command {
	claimed := models.ClaimedTime{OccurredAt: when}
	switch d(8) {
	case 0:
		return command{user: user, goal: pick(d, new("read"), new("listen"), new("speak"))}
	case 1, 2, 3:
		bp := pick(d, 0, 300, 499, 500, 1000, 1499, 3000, 9499, 9500, int32(d(po.FullRatio+1)))
		return command{user: user, report: &services.ProgressReport{
			UserID: user, VideoID: video, Claimed: claimed, PositionSeconds: int64(d(3600)), RatioBP: &bp, TotalSeconds: int64(d(80_000)),
		}}
	}
	return command{user: user, favorite: &services.FavoriteCommand{
		UserID: user, VideoID: video, Type: pick(d, models.Like, models.Bookmark), Active: d(5) < 3, Claimed: claimed,
	}}
}

// run sends a command and reports whether it changed a favourite.
func (c command) run(t testing.TB, s *testkit.Service) (changed bool, err error) {
	call := models.Call{Actor: models.UserActor(c.user), Subject: c.user}
	switch {
	case c.favorite != nil:
		answer, err := s.Engagements.Mutate(t.Context(), call, *c.favorite)
		return answer.Value.Changed, err
	case c.report != nil:
		_, err := s.Watch.Report(t.Context(), call, *c.report)
		return false, err
	}
	_, err = s.Profiles.Update(t.Context(), call, services.UpdateProfile{
		PreferencesOnly: true, Patch: po.ProfilePatch{LearningGoal: po.Set(c.goal)},
	})
	return false, err
}

// requireCountersEqualRows recounts everything that is kept as a number (S42, S75).
func requireCountersEqualRows(t testing.TB, s *testkit.Service) {
	t.Helper()
	s.RequireNoDrift(t)
	require.Zero(t, testkit.One[int64](t, s.DB, `
		SELECT count(*) FROM profile.user_stats u WHERE (u.like_count, u.bookmark_count, u.watched_count, u.event_seq) <> (
			(SELECT count(*) FROM profile.engagements e WHERE e.user_id = u.user_id AND e.engagement_type = 'like' AND e.deleted_at IS NULL),
			(SELECT count(*) FROM profile.engagements e WHERE e.user_id = u.user_id AND e.engagement_type = 'bookmark' AND e.deleted_at IS NULL),
			(SELECT count(*) FROM profile.watch_logs w WHERE w.user_id = u.user_id AND w.qualified_at IS NOT NULL),
			(SELECT count(*) FROM profile.outbox_events o WHERE o.ordering_key = u.user_id))`), "users whose counters differ from a recount")
}

// requireOrderedEvents checks that a user's events are dense in the order they were written and that the
// events of each favourite alternate, later each time, and end in the stored state. It returns how many
// events of favourites there are.
func requireOrderedEvents(t testing.TB, s *testkit.Service, user models.UserID) (favorites int) {
	t.Helper()
	rows, err := s.DB.Owner.Query(t.Context(), "SELECT version FROM profile.outbox_events WHERE ordering_key = $1 ORDER BY id", uuid.UUID(user))
	require.NoError(t, err)
	versions, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	require.NoError(t, err)
	for i, version := range versions {
		require.Equal(t, int64(i+1), version, "versions of %s by id", user)
	}
	active, last := map[register]bool{}, map[register]time.Time{}
	for _, e := range s.Events(t, user) {
		key, added, ok := registerOf(t, e)
		if !ok {
			continue
		}
		favorites++
		require.NotEqual(t, active[key], added, "one event per transition of %v", key)
		require.True(t, e.OccurredAt.After(last[key]), "occurred_at grows")
		active[key], last[key] = added, e.OccurredAt
	}
	for key, on := range active {
		require.Equal(t, on, storedRegister(t, s, key).active, "the last event tells the state")
	}
	return favorites
}

// requireNoErrors reports the first failure.
func requireNoErrors(t testing.TB, errs <-chan error) {
	t.Helper()
	for err := range errs {
		require.NoError(t, err)
	}
}

func TestS42_SixtyFourWritersKeepCountersRight(t *testing.T) {
	t.Parallel()
	s := testkit.New(t, patient)
	const writers, single, batches, batch = 64, 20, 9, 20 // 200 mutations each
	users, videos := newUsers(20), newVideos(5)
	start := s.Clock.Now()
	errs := make(chan error, writers*(single+batches))
	var group sync.WaitGroup
	for writer := range writers {
		d := seeded(uint64(writer))
		mutation := func() command {
			var when *time.Time
			if d(2) == 0 {
				when = new(start.Add(-time.Duration(d(3600)) * time.Second))
			}
			return anyCommand(d, pick(d, users...), pick(d, videos...), when)
		}
		group.Go(func() {
			for range batches {
				errs <- applyBatch(t, s, d, batch, []models.UserID{pick(d, users...), pick(d, users...), pick(d, users...)}, videos)
				for range single / batches {
					_, err := mutation().run(t, s)
					errs <- err
				}
			}
			for range single % batches {
				_, err := mutation().run(t, s)
				errs <- err
			}
		})
	}
	group.Wait()
	close(errs)
	requireNoErrors(t, errs)
	require.Zero(t, testkit.One[int64](t, s.DB, "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"),
		"one lock order for everybody (S17): a retry hides a deadlock, but costs a second")
	requireCountersEqualRows(t, s)
	for _, user := range users {
		requireOrderedEvents(t, s, user)
	}
}

// applyBatch sends n favourites or n reports of many users and videos in one transaction, as offline
// synchronisation does: the case that locks several rows of every table.
func applyBatch(t testing.TB, s *testkit.Service, d draw, n int, users []models.UserID, videos []models.VideoID) error {
	if d(2) == 0 {
		cmds := make([]services.FavoriteCommand, n)
		for i := range cmds {
			cmds[i] = services.FavoriteCommand{
				UserID: pick(d, users...), VideoID: pick(d, videos...), Type: pick(d, models.Like, models.Bookmark), Active: d(2) == 0,
			}
		}
		_, err := s.Engagements.Apply(t.Context(), models.ServiceActor, cmds)
		return err
	}
	reports := make([]services.ProgressReport, n)
	for i := range reports {
		reports[i] = services.ProgressReport{
			UserID: pick(d, users...), VideoID: pick(d, videos...), RatioBP: new(int32(d(po.FullRatio))), TotalSeconds: int64(d(500_000)),
		}
	}
	_, err := s.Watch.Apply(t.Context(), models.ServiceActor, reports)
	return err
}

func newUsers(n int) []models.UserID {
	users := make([]models.UserID, n)
	for i := range users {
		users[i] = testkit.NewUser()
	}
	return users
}

// world is one run of the state machine: fresh users and videos of a shared service.
type world struct {
	t      testing.TB
	s      *testkit.Service
	d      draw
	model  *model
	users  []models.UserID
	videos []models.VideoID
	// changed counts the transitions that answers told of.
	changed int
}

func TestS42_StateMachineAgreesWithASimpleModel(t *testing.T) {
	t.Parallel()
	s := newCinema(t)
	rapid.Check(t, func(rt *rapid.T) {
		d := func(n int) int { return rapid.IntRange(0, n-1).Draw(rt, "choice") }
		w := &world{t: shrinkable{t, rt}, s: s, d: d, model: newModel(), users: newUsers(2), videos: newVideos(2)}
		w.sequential(30)
		w.concurrent(8, 8)
		w.requireInvariants()
	})
}

// shrinkable fails the rapid case rather than the test, so that rapid looks for a smaller one.
type shrinkable struct {
	testing.TB
	rt *rapid.T
}

func (s shrinkable) Errorf(format string, args ...any) { s.rt.Errorf(format, args...) }
func (s shrinkable) FailNow()                          { s.rt.FailNow() }
func (s shrinkable) Logf(format string, args ...any)   { s.rt.Logf(format, args...) }

// sequential checks every answer against the model.
func (w *world) sequential(steps int) {
	w.t.Helper()
	for range steps {
		if w.d(6) == 0 {
			w.s.Clock.Advance(time.Duration(w.d(5)) * time.Minute)
		}
		now := w.s.Clock.Now()
		var when *time.Time
		if w.d(2) == 0 {
			// Equal times are likely; some lie ahead and count as now.
			when = new(now.Add(time.Duration(60-w.d(5)*60) * time.Second))
		}
		c := anyCommand(w.d, pick(w.d, w.users...), pick(w.d, w.videos...), when)
		w.step(c, now)
	}
}

func (w *world) step(c command, now time.Time) {
	w.t.Helper()
	wantChanged := w.model.apply(c, now)
	changed, err := c.run(w.t, w.s)
	require.NoError(w.t, err, c)
	require.Equal(w.t, wantChanged, changed, c)
	if changed {
		w.changed++
	}
	w.requireModel(c)
}

// concurrent lets writers race. The first video gets only commands with times of their own, all different:
// whatever the order of arrival, the model says where they end. Everything else is under the invariants.
func (w *world) concurrent(writers, each int) {
	w.t.Helper()
	w.s.Clock.Advance(2 * time.Hour)
	now := w.s.Clock.Now()
	dated, others := w.videos[0], w.videos[1:]
	plans := make([][]command, writers)
	for i := range plans {
		for n := range each {
			if w.d(2) == 0 {
				plans[i] = append(plans[i], anyCommand(w.d, pick(w.d, w.users...), pick(w.d, others...), nil))
				continue
			}
			// The last digits make the times different.
			when := now.Add(-time.Duration(1000*w.d(3_000_000)+1+i*each+n) * time.Microsecond)
			c := anyCommand(w.d, pick(w.d, w.users...), dated, &when)
			if c.goal == nil {
				w.model.apply(c, now)
			}
			plans[i] = append(plans[i], c)
		}
	}
	errs := make(chan error, writers*each)
	var group sync.WaitGroup
	var mu sync.Mutex
	for _, plan := range plans {
		group.Go(func() {
			for _, c := range plan {
				changed, err := c.run(w.t, w.s)
				errs <- err
				mu.Lock()
				if changed {
					w.changed++
				}
				mu.Unlock()
			}
		})
	}
	group.Wait()
	close(errs)
	requireNoErrors(w.t, errs)
	for _, user := range w.users {
		w.requirePair(user, dated)
	}
}

func (w *world) requireInvariants() {
	w.t.Helper()
	requireCountersEqualRows(w.t, w.s)
	events := 0
	for _, user := range w.users {
		events += requireOrderedEvents(w.t, w.s, user)
		require.Equal(w.t,
			testkit.One[int64](w.t, w.s.DB, "SELECT coalesce(max(profile_version), 0) FROM profile.users WHERE user_id = $1", uuid.UUID(user)),
			testkit.One[int64](w.t, w.s.DB, `SELECT count(*) FROM profile.outbox_events
				WHERE ordering_key = $1 AND event_type = 'profile.preferences.updated'`, uuid.UUID(user)), "one event per version")
	}
	require.Equal(w.t, w.changed, events, "as many events as answers that told of a change")
}

// requireModel compares everything the command may have touched.
func (w *world) requireModel(c command) {
	w.t.Helper()
	var video models.VideoID
	switch {
	case c.goal != nil:
		user, err := w.s.Profiles.Get(w.t.Context(), models.Call{Actor: models.UserActor(c.user), Subject: c.user})
		require.NoError(w.t, err)
		require.Equal(w.t, w.model.versions[c.user], user.Version, c)
		require.Equal(w.t, w.model.goals[c.user], *user.LearningGoal, c)
		return
	case c.favorite != nil:
		video = c.favorite.VideoID
		key := register{c.user, video, c.favorite.Type}
		require.Equal(w.t, w.model.registers[key].engagedAt, storedRegister(w.t, w.s, key).engagedAt, c)
	case c.report != nil:
		video = c.report.VideoID
	}
	w.requirePair(c.user, video)
	likes, bookmarks, watchers, seconds := w.model.stats(video)
	stats := viewing{w.s, c.user, video}.stats(w.t)
	require.Equal(w.t, []int64{likes, bookmarks, watchers, seconds},
		[]int64{stats.LikeCount, stats.BookmarkCount, stats.UniqueWatchers, stats.TotalWatchSeconds}, c)
}

// requirePair compares what does not depend on the order in which dated commands arrived.
func (w *world) requirePair(user models.UserID, video models.VideoID) {
	w.t.Helper()
	for _, kind := range []models.FavoriteType{models.Like, models.Bookmark} {
		key := register{user, video, kind}
		want, got := w.model.registers[key], storedRegister(w.t, w.s, key)
		want.engagedAt, got.engagedAt = time.Time{}, time.Time{}
		require.Equal(w.t, want, got, key)
	}
	row := viewing{w.s, user, video}.row(w.t)
	got := watchedState{
		position: row.PositionSeconds, seconds: row.CountedSeconds, ratio: row.RatioBP, greatest: row.MaxRatioBP,
		resumed: row.ResumeAt, first: row.FirstWatchedAt, last: row.LastWatchedAt,
		qualified: row.QualifiedAt != nil, completed: row.CompletedAt != nil,
	}
	require.Equal(w.t, w.model.watched(pair{user, video}), got, "%s watching %s", user, video)
}

func TestS75_EventsOfOneUserAreDenseAndInOrder(t *testing.T) {
	t.Parallel()
	s := testkit.New(t, patient)
	const writers, each = 16, 12
	user, videos := testkit.NewUser(), newVideos(4)
	start := s.Clock.Now()
	errs := make(chan error, writers*each)
	var group sync.WaitGroup
	for writer := range writers {
		d := seeded(uint64(writer))
		group.Go(func() {
			for range each {
				// Client times jump about; versions must not care.
				when := start.Add(-time.Duration(d(86_400)) * time.Second)
				_, err := anyCommand(d, user, pick(d, videos...), pick(d, nil, &when)).run(t, s)
				errs <- err
			}
		})
	}
	group.Wait()
	close(errs)
	requireNoErrors(t, errs)
	requireOrderedEvents(t, s, user)
	events := s.Events(t, user)
	require.Greater(t, len(events), writers)
	require.Equal(t, int64(len(events)), tallyOf(t, s, user).EventSeq)
	require.Equal(t, int64(1), testkit.One[int64](t, s.DB, "SELECT count(DISTINCT lane) FROM profile.outbox_deliveries"), "one user, one lane")
}

func TestS75_UsersHaveVersionsOfTheirOwn(t *testing.T) {
	t.Parallel()
	s := testkit.New(t)
	users, video := newUsers(4), testkit.NewVideo()
	cmds := make([]services.FavoriteCommand, 0, 2*len(users))
	for _, active := range []bool{true, false} {
		for _, user := range users {
			cmds = append(cmds, services.FavoriteCommand{UserID: user, VideoID: video, Type: models.Like, Active: active})
		}
	}
	_, err := s.Engagements.Apply(t.Context(), models.ServiceActor, cmds)
	require.NoError(t, err)
	for _, user := range users {
		require.Equal(t, 2, requireOrderedEvents(t, s, user))
	}
}

func TestS74_RowsAndPayloadsSayTheSame(t *testing.T) {
	t.Parallel()
	s := newCinema(t)
	user, video, hourAgo := testkit.NewUser(), testkit.NewVideo(), showtime.Add(-time.Hour)
	like := services.FavoriteCommand{UserID: user, VideoID: video, Type: models.Like, Active: true, Claimed: models.ClaimedTime{OccurredAt: &hourAgo}}
	unlike := like
	unlike.Active = false
	for _, c := range []command{
		{user: user, favorite: &like},
		{user: user, favorite: &unlike},
		{user: user, report: &services.ProgressReport{UserID: user, VideoID: video, RatioBP: new(int32(5000)), Claimed: like.Claimed}},
		{user: user, goal: new("read")},
	} {
		_, err := c.run(t, s)
		require.NoError(t, err)
	}
	type written struct {
		EventID       string
		AggregateType string
		AggregateID   string
		EventType     string
		OrderingKey   string
		Version       int64
		OccurredAt    time.Time
		AvailableAt   time.Time
		Attempts      int32
	}
	rows, err := s.DB.Owner.Query(t.Context(), `
		SELECT e.event_id::text, e.aggregate_type, e.aggregate_id::text, e.event_type, e.ordering_key::text, e.version, e.occurred_at,
		       d.available_at, d.delivery_attempts
		FROM profile.outbox_events e JOIN profile.outbox_deliveries d USING (id) ORDER BY e.id`)
	require.NoError(t, err)
	stored, err := pgx.CollectRows(rows, pgx.RowToStructByPos[written])
	require.NoError(t, err)
	events := s.Events(t, user)
	require.Len(t, stored, 4)
	require.Len(t, events, 4)
	seen := map[string]bool{}
	for i, want := range []struct {
		kind string
		at   time.Time
	}{
		{"profile.engagement.added", hourAgo},
		{"profile.engagement.removed", hourAgo.Add(time.Microsecond)},
		{"profile.watch.progressed", hourAgo},
		{"profile.preferences.updated", showtime},
	} {
		row := stored[i]
		require.Equal(t, want.kind, row.EventType)
		require.Equal(t, want.at, row.OccurredAt.UTC(), want.kind)
		require.Equal(t, "user", row.AggregateType)
		require.Equal(t, user.String(), row.AggregateID)
		require.Equal(t, user.String(), row.OrderingKey)
		require.Equal(t, int64(i+1), row.Version)
		require.Equal(t, showtime, row.AvailableAt.UTC(), "never a client's time")
		require.Zero(t, row.Attempts)

		id, err := uuid.Parse(row.EventID)
		require.NoError(t, err)
		require.Equal(t, uuid.Version(7), id.Version())
		require.False(t, seen[row.EventID], "ids are unique")
		seen[row.EventID] = true

		payload, ok := events[i].Message.(interface {
			GetEventId() string
			GetUserId() string
			GetOccurredAt() *timestamppb.Timestamp
		})
		require.True(t, ok)
		require.Equal(t, row.EventID, payload.GetEventId())
		require.Equal(t, user.String(), payload.GetUserId())
		require.Equal(t, want.at, payload.GetOccurredAt().AsTime())
	}
}
