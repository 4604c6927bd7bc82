package test

import (
	"cmp"
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	profilev1 "github.com/lingo-services/profile/api/profile/v1"
	"github.com/lingo-services/profile/internal/infrastructure/cache"
	"github.com/lingo-services/profile/internal/infrastructure/config/confpb"
	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/models/po"
	"github.com/lingo-services/profile/internal/repositories"
	"github.com/lingo-services/profile/internal/services"
	"github.com/lingo-services/profile/test/testkit"
)

const (
	belowReason      = profilev1.OutcomeReason_OUTCOME_REASON_BELOW_THRESHOLD
	expiredReason    = profilev1.OutcomeReason_OUTCOME_REASON_EXPIRED
	nothingToExplain = profilev1.OutcomeReason_OUTCOME_REASON_UNSPECIFIED

	watchRetention = 180 * 24 * time.Hour
)

// showtime is where the clock of a cinema stands.
var showtime = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)

// patient waits as long as a crowd on a slow machine needs: these tests are about results.
func patient(c *confpb.Bootstrap) {
	const enough = 60
	c.Data.Postgres.StatementTimeout.Seconds, c.Data.Postgres.LockTimeout.Seconds = enough, enough
}

// newCinema is a patient service whose clock stands still.
func newCinema(t testing.TB, configure ...func(*confpb.Bootstrap)) *testkit.Service {
	t.Helper()
	s := testkit.New(t, append([]func(*confpb.Bootstrap){patient}, configure...)...)
	s.Clock.Set(showtime)
	return s
}

// viewing is one new user watching one new video.
type viewing struct {
	s     *testkit.Service
	user  models.UserID
	video models.VideoID
}

func newViewing(s *testkit.Service) viewing {
	return viewing{s, testkit.NewUser(), testkit.NewVideo()}
}

// lasting is a viewing of an available video of that many seconds.
func lasting(t testing.TB, s *testkit.Service, seconds int64) viewing {
	t.Helper()
	v := newViewing(s)
	micros := seconds * int64(time.Second/time.Microsecond)
	s.Publish(t, v.video, func(c *po.VideoChange) { c.DurationMicros = &micros })
	return v
}

// detail is one thing a report says.
type detail func(*profilev1.UpsertWatchProgressRequest)

func at(when time.Time) detail {
	return func(r *profilev1.UpsertWatchProgressRequest) { r.OccurredAt = timestamppb.New(when) }
}

// ago is at, before showtime.
func ago(d time.Duration) detail { return at(showtime.Add(-d)) }

func ratio(value float64) detail {
	return func(r *profilev1.UpsertWatchProgressRequest) { r.Progress.ProgressRatio = &value }
}

func position(seconds int64) detail {
	return func(r *profilev1.UpsertWatchProgressRequest) { r.Progress.PositionSeconds = seconds }
}

func total(seconds int64) detail {
	return func(r *profilev1.UpsertWatchProgressRequest) { r.Progress.TotalWatchSeconds = seconds }
}

func numbered(session string, seq int64) detail {
	return func(r *profilev1.UpsertWatchProgressRequest) { r.Progress.SessionId, r.Seq = session, seq }
}

func (v viewing) try(t testing.TB, details ...detail) (*profilev1.UpsertWatchProgressResponse, error) {
	req := &profilev1.UpsertWatchProgressRequest{VideoId: v.video.String(), Progress: &profilev1.WatchProgress{}}
	for _, d := range details {
		d(req)
	}
	return v.s.AsUser(v.user).UpsertWatchProgress(t.Context(), req)
}

func (v viewing) report(t testing.TB, details ...detail) *profilev1.UpsertWatchProgressResponse {
	t.Helper()
	resp, err := v.try(t, details...)
	require.NoError(t, err)
	return resp
}

// direct reports without gRPC and its deadline, for crowds.
func (v viewing) direct(t testing.TB, ratioBP int32, total int64) error {
	_, err := v.s.Watch.Report(t.Context(), models.Call{Actor: models.UserActor(v.user), Subject: v.user}, services.ProgressReport{
		UserID: v.user, VideoID: v.video, RatioBP: &ratioBP, TotalSeconds: total,
	})
	return err
}

// row is what is stored, the zero value when there is nothing.
func (v viewing) row(t testing.TB) po.WatchLog {
	t.Helper()
	key := repositories.WatchKey{UserID: v.user, VideoID: v.video}
	var row po.WatchLog
	err := v.s.Store.Write(t.Context(), models.UserActor(v.user), func(ctx context.Context, tx *repositories.Tx) error {
		logs, err := tx.WatchLogs.Get(ctx, []repositories.WatchKey{key})
		row = logs[key]
		return err
	})
	require.NoError(t, err)
	return row
}

func (v viewing) stats(t testing.TB) po.VideoStats {
	t.Helper()
	stats, err := cache.Uncached(v.s.Store).BatchGetStats(t.Context(), []models.VideoID{v.video})
	require.NoError(t, err)
	return stats[0]
}

// entries is the user's history.
func (v viewing) entries(t testing.TB) []*profilev1.WatchHistoryEntry {
	t.Helper()
	resp, err := v.s.AsUser(v.user).ListWatchHistory(t.Context(), &profilev1.ListWatchHistoryRequest{})
	require.NoError(t, err)
	return resp.GetItems()
}

// events are the progress events of the user, oldest first.
func (v viewing) events(t testing.TB) []*profilev1.WatchProgressedEvent {
	t.Helper()
	var events []*profilev1.WatchProgressedEvent
	for _, e := range v.s.Events(t, v.user) {
		event, ok := e.Message.(*profilev1.WatchProgressedEvent)
		require.True(t, ok, "unexpected %s", e.Type)
		events = append(events, event)
	}
	return events
}

// causes are those of an event.
func causes(e *profilev1.WatchProgressedEvent) []string {
	out := []string{}
	for _, name := range []string{"first_watch", "progressed", "completed"} {
		if e.GetContext().GetFields()[name].GetBoolValue() {
			out = append(out, name)
		}
	}
	return out
}

// userTally is a row of profile.user_stats.
type userTally struct{ Likes, Bookmarks, Watched, EventSeq int64 }

func tallyOf(t testing.TB, s *testkit.Service, user models.UserID) userTally {
	t.Helper()
	read := func(column string) int64 {
		return testkit.One[int64](t, s.DB, "SELECT "+column+" FROM profile.user_stats WHERE user_id = $1", uuid.UUID(user))
	}
	return userTally{read("like_count"), read("bookmark_count"), read("watched_count"), read("event_seq")}
}

// doubtsCounted is how many reports were hard to believe in that way.
func doubtsCounted(t testing.TB, s *testkit.Service, doubt string) float64 {
	t.Helper()
	families, err := s.Metrics.Registry.Gather()
	require.NoError(t, err)
	for _, family := range families {
		for _, m := range family.GetMetric() {
			if family.GetName() == "profile_watch_doubt_total" && m.GetLabel()[0].GetValue() == doubt {
				return m.GetCounter().GetValue()
			}
		}
	}
	return 0
}

// model says what must be stored, the slow and obvious way: registers keep their newest command, and a
// watch row is whatever the reports heard so far amount to.
type model struct {
	registers map[register]registerState
	reports   map[pair][]heard
	goals     map[models.UserID]string
	versions  map[models.UserID]int64
}

type register struct {
	user  models.UserID
	video models.VideoID
	kind  models.FavoriteType
}

// registerState is zero when there is no row; engagedAt only while active.
type registerState struct {
	known, active bool
	at, engagedAt time.Time
}

type pair struct {
	user  models.UserID
	video models.VideoID
}

type heard struct {
	at              time.Time
	position, total int64
	ratio           int32
}

// watchedState is what the set of reports decides about a watch row.
type watchedState struct {
	position, seconds    int64
	ratio, greatest      int32
	resumed, first, last time.Time
	qualified, completed bool
}

func newModel() *model {
	return &model{map[register]registerState{}, map[pair][]heard{}, map[models.UserID]string{}, map[models.UserID]int64{}}
}

// apply is the next command; it returns whether a favourite must change.
func (m *model) apply(c command, now time.Time) (changed bool) {
	switch {
	case c.favorite != nil:
		return m.applyFavorite(*c.favorite, now)
	case c.report != nil:
		key := pair{c.user, c.report.VideoID}
		m.reports[key] = append(m.reports[key], heard{
			effectiveAt(c.report.Claimed, now, m.watched(key).resumed), c.report.PositionSeconds, c.report.TotalSeconds, *c.report.RatioBP,
		})
	case m.versions[c.user] == 0 || m.goals[c.user] != *c.goal:
		m.versions[c.user]++
		m.goals[c.user] = *c.goal
	}
	return false
}

func (m *model) applyFavorite(c services.FavoriteCommand, now time.Time) (changed bool) {
	key := register{c.UserID, c.VideoID, c.Type}
	state := m.registers[key]
	when := effectiveAt(c.Claimed, now, state.at)
	beaten := state.known && c.Active && !state.active && when.Equal(state.at) // S11: of one time a removal wins
	if when.Before(state.at) || beaten || (!c.Active && !state.known && c.Claimed.OccurredAt == nil) {
		return false
	}
	changed = c.Active != state.active
	switch {
	case !c.Active:
		state.engagedAt = time.Time{}
	case changed:
		state.engagedAt = when
	}
	state.known, state.active, state.at = true, c.Active, when
	m.registers[key] = state
	return changed
}

func effectiveAt(claimed models.ClaimedTime, now, last time.Time) time.Time {
	switch {
	case claimed.OccurredAt == nil && now.After(last):
		return now
	case claimed.OccurredAt == nil:
		return last.Add(time.Microsecond)
	case claimed.OccurredAt.After(now):
		return now
	}
	return *claimed.OccurredAt
}

func (m *model) watched(key pair) (w watchedState) {
	for i, r := range m.reports[key] {
		if i == 0 || r.at.Before(w.first) {
			w.first = r.at
		}
		if cmp.Or(r.at.Compare(w.resumed), cmp.Compare(r.position, w.position), cmp.Compare(r.ratio, w.ratio)) > 0 { // S32
			w.resumed, w.position, w.ratio = r.at, r.position, r.ratio
		}
		w.seconds, w.greatest = max(w.seconds, r.total), max(w.greatest, r.ratio)
	}
	w.last = w.resumed
	w.qualified, w.completed = w.greatest >= 500, w.greatest >= 9500
	return w
}

// stats counts a video over all users.
func (m *model) stats(video models.VideoID) (likes, bookmarks, watchers, seconds int64) {
	for key, state := range m.registers {
		switch {
		case key.video != video || !state.active:
		case key.kind == models.Like:
			likes++
		default:
			bookmarks++
		}
	}
	for key := range m.reports {
		if w := m.watched(key); key.video == video && w.qualified {
			watchers++
			seconds += w.seconds
		}
	}
	return likes, bookmarks, watchers, seconds
}

func storedRegister(t testing.TB, s *testkit.Service, key register) registerState {
	t.Helper()
	rows, err := s.DB.Owner.Query(t.Context(), `SELECT deleted_at IS NULL, state_at, engaged_at FROM profile.engagements
		WHERE (user_id, video_id, engagement_type) = ($1, $2, $3)`, uuid.UUID(key.user), uuid.UUID(key.video), string(key.kind))
	require.NoError(t, err)
	states, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (state registerState, err error) {
		state.known = true
		err = row.Scan(&state.active, &state.at, &state.engagedAt)
		state.at, state.engagedAt = state.at.UTC(), state.engagedAt.UTC()
		if !state.active {
			state.engagedAt = time.Time{}
		}
		return state, err
	})
	require.NoError(t, err)
	if len(states) == 0 {
		return registerState{}
	}
	return states[0]
}

// registerOf is the favourite an event speaks of, and whether it was added; ok is false for other events.
func registerOf(t testing.TB, e testkit.Event) (key register, added, ok bool) {
	t.Helper()
	message, ok := e.Message.(interface {
		GetUserId() string
		GetVideoId() string
		GetFavoriteType() profilev1.FavoriteType
	})
	if !ok {
		return key, false, false
	}
	user, err := models.ParseUserID(message.GetUserId())
	require.NoError(t, err)
	video, err := models.ParseVideoID(message.GetVideoId())
	require.NoError(t, err)
	kind := models.Bookmark
	if message.GetFavoriteType() == likeType {
		kind = models.Like
	}
	_, added = message.(*profilev1.EngagementAddedEvent)
	return register{user, video, kind}, added, true
}
