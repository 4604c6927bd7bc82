package test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/lingo-services/profile/internal/infrastructure/config/confpb"
	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/models/vo"
	"github.com/lingo-services/profile/internal/services"
	"github.com/lingo-services/profile/test/testkit"
)

// crowded is a service whose calls share transactions a lot, and whose users reach their limits soon.
func crowded(conf *confpb.Bootstrap) {
	patient(conf)
	conf.Engagement.MaxActivePerType = fewFavorites
	conf.Coalescing.Writers = 1
}

const fewFavorites = 2

// theater is what the members of a crowd do things to.
type theater struct {
	s *testkit.Service
	// settled: what a caller left behind is over before the next command of the user begins. It is not where a call that
	// is given up has its connection closed: the database may still be at work on it then.
	settled bool
	// videos are the user's own to like; deleted is nobody's.
	videos  []models.VideoID
	deleted models.VideoID
}

func newTheater(t testing.TB, configure func(*confpb.Bootstrap)) *theater {
	t.Helper()
	h := &theater{videos: newVideos(4), deleted: testkit.NewVideo()}
	h.s = testkit.New(t, configure, func(conf *confpb.Bootstrap) {
		h.settled = conf.Coalescing.Enabled || conf.Data.Postgres.QueryMode != "exec"
	})
	h.s.Publish(t, h.deleted, videoIn("deleted", "public", 1))
	return h
}

// member is one user of a crowd, who does one thing after the other, so that it is known what each must come to.
type member struct {
	*theater
	user   models.UserID
	active map[register]bool
	// kept are the answers given for keys, left the keys of calls whose caller left.
	kept map[string]answered
	left map[string]bool
	// gone: the member left a call behind that may not be over, and does nothing more.
	gone bool
}

type answered struct {
	cmd     services.FavoriteCommand
	changed bool
}

// act is one planned call: a like or bookmark of a video, or a progress report.
type act struct {
	video, kind, key int
	active, report   bool
	// leaving callers give up after a moment.
	leaving time.Duration
}

const deletedVideo = 4

func anyAct(d draw) act {
	a := act{video: d(deletedVideo + 1), kind: d(2), active: d(3) > 0, report: d(6) == 0, key: d(8), leaving: -1}
	if d(6) == 0 {
		a.leaving = time.Duration(d(4000)) * time.Microsecond
	}
	return a
}

func (m *member) do(ctx context.Context, a act) error {
	if m.gone {
		return nil
	}
	if a.leaving >= 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, a.leaving)
		defer cancel()
	}
	video := m.deleted
	if a.video < deletedVideo {
		video = m.videos[a.video]
	}
	call := models.Call{Actor: models.UserActor(m.user), Subject: m.user}
	if a.report {
		return m.report(ctx, call, video, a)
	}
	cmd := services.FavoriteCommand{UserID: m.user, VideoID: video, Type: []models.FavoriteType{models.Like, models.Bookmark}[a.kind], Active: a.active}
	if a.key < 2 {
		call.IdempotencyKey = fmt.Sprint("key ", a.key)
		call.Fingerprint = [32]byte{byte(a.kind), 1}
		if a.active {
			call.Fingerprint[2] = 1
		}
	}
	answer, err := m.mutate(ctx, call, cmd)
	return m.judge(a, call, cmd, answer, err)
}

// mutate comes again when it is told that a key is in use whose caller left: the transaction of a connection that was closed
// may have it for a moment more.
func (m *member) mutate(ctx context.Context, call models.Call, cmd services.FavoriteCommand) (services.Answer[vo.FavoriteOutcome], error) {
	answer, err := m.s.Engagements.Mutate(ctx, call, cmd)
	for m.left[scopeOf(call, cmd)] && errors.Is(err, models.ErrIdempotencyInProgress) {
		answer, err = m.s.Engagements.Mutate(ctx, call, cmd)
	}
	return answer, err
}

func scopeOf(call models.Call, cmd services.FavoriteCommand) string {
	return call.IdempotencyKey + cmd.VideoID.String()
}

func (m *member) report(ctx context.Context, call models.Call, video models.VideoID, a act) error {
	answer, err := m.s.Watch.Report(ctx, call, services.ProgressReport{UserID: m.user, VideoID: video, RatioBP: new(int32(5000)), TotalSeconds: 10})
	switch {
	case a.leaving >= 0 && gaveUp(err):
		m.gone = !m.settled
		return nil
	case video == m.deleted:
		if !errors.Is(err, models.ErrVideoUnavailable) {
			return fmt.Errorf("progress on a deleted video: %w", err)
		}
		return nil
	case err != nil:
		return err
	case answer.Value.Progress.Log.UserID != m.user || answer.Value.Progress.Log.VideoID != video || answer.Value.Stats.UniqueWatchers < 1:
		return fmt.Errorf("somebody else's answer: %+v", answer)
	}
	return nil
}

func gaveUp(err error) bool {
	return errors.Is(err, models.ErrDeadlineExceeded) || errors.Is(err, models.ErrCancelled)
}

// judge compares an answer with what this member's own past says it must be.
func (m *member) judge(a act, call models.Call, cmd services.FavoriteCommand, got services.Answer[vo.FavoriteOutcome], err error) error {
	key := register{m.user, cmd.VideoID, cmd.Type}
	scope := scopeOf(call, cmd)
	earlier, repeated := m.kept[scope]
	repeated = repeated && call.IdempotencyKey != ""
	is := func(want error) error {
		if !errors.Is(err, want) {
			return fmt.Errorf("%+v: want %w, got %+v, %w", a, want, got, err)
		}
		return nil
	}
	switch {
	case a.leaving >= 0 && gaveUp(err) && !m.settled:
		m.gone = true
		delete(m.active, key)
		return nil
	case a.leaving >= 0 && gaveUp(err):
		return m.adopt(key, scope, call, cmd)
	case repeated && earlier.cmd != cmd:
		return is(models.ErrIdempotencyKeyReused)
	case repeated:
		if err != nil || !got.Replayed || got.Value.Changed != earlier.changed {
			return fmt.Errorf("%+v: want the answer of before, got %+v, %w", a, got, err)
		}
		return nil
	case cmd.Active && !m.active[key] && cmd.VideoID == m.deleted:
		return is(models.ErrVideoUnavailable)
	case cmd.Active && !m.active[key] && m.count(cmd.Type) >= fewFavorites:
		return is(models.ErrFavoriteLimitReached)
	case err != nil:
		return fmt.Errorf("%+v: %w", a, err)
	}
	changed := m.active[key] != cmd.Active
	m.active[key] = cmd.Active
	m.keep(scope, call, cmd, changed)
	at := func(t models.FavoriteType) bool { return m.active[register{m.user, cmd.VideoID, t}] }
	state := got.Value.State
	if got.Replayed || got.Value.Changed != changed || state.VideoID != cmd.VideoID ||
		(state.LikedAt != nil) != at(models.Like) || (state.BookmarkedAt != nil) != at(models.Bookmark) {
		return fmt.Errorf("%+v: want changed=%v liked=%v bookmarked=%v, got %+v", a, changed, at(models.Like), at(models.Bookmark), got)
	}
	return nil
}

func (m *member) keep(scope string, call models.Call, cmd services.FavoriteCommand, changed bool) {
	if call.IdempotencyKey != "" {
		m.kept[scope] = answered{cmd, changed}
	}
}

// adopt learns what became of a command whose caller left: it took effect wholly or not at all, with the answer for its
// key. The next command of the user waits for it, so that it is known after one.
func (m *member) adopt(key register, scope string, call models.Call, cmd services.FavoriteCommand) error {
	probe := models.Call{Actor: call.Actor, Subject: call.Subject}
	if _, err := m.s.Engagements.Mutate(context.Background(), probe, services.FavoriteCommand{
		UserID: m.user, VideoID: models.VideoID(uuid.New()), Type: models.Like,
	}); err != nil {
		return err
	}
	m.active[key] = m.stored(key)
	if call.IdempotencyKey == "" {
		return nil
	}
	m.left[scope] = true
	if _, known := m.kept[scope]; !known && m.hasKey(call, cmd) {
		return m.learn(scope, call, cmd)
	}
	return nil
}

func (m *member) stored(key register) (active bool) {
	_ = m.s.DB.Owner.QueryRow(context.Background(), `SELECT deleted_at IS NULL FROM profile.engagements
		WHERE (user_id, video_id, engagement_type) = ($1, $2, $3)`, uuid.UUID(key.user), uuid.UUID(key.video), string(key.kind)).Scan(&active)
	return active // no row: not active
}

func (m *member) hasKey(call models.Call, cmd services.FavoriteCommand) (found bool) {
	_ = m.s.DB.Owner.QueryRow(context.Background(), `SELECT true FROM profile.idempotency_keys
		WHERE (user_id, resource_id, idempotency_key) = ($1, $2, $3)`, uuid.UUID(m.user), uuid.UUID(cmd.VideoID), call.IdempotencyKey).Scan(&found)
	return found
}

// learn replays the kept answer.
func (m *member) learn(scope string, call models.Call, cmd services.FavoriteCommand) error {
	answer, err := m.mutate(context.Background(), call, cmd)
	if err != nil || !answer.Replayed {
		return fmt.Errorf("the kept answer of a caller that left: %+v, %w", answer, err)
	}
	m.keep(scope, call, cmd, answer.Value.Changed)
	return nil
}

func (m *member) count(kind models.FavoriteType) (n int) {
	for key, active := range m.active {
		if active && key.kind == kind {
			n++
		}
	}
	return n
}

// Many users at once, with keys, limits, videos that are not to be had, and callers who leave: each caller's own outcome
// is what it would have got alone, whoever shared its transaction.
func TestS10_EachCallerGetsItsOwnOutcomeFromASharedTransaction(t *testing.T) {
	t.Parallel()
	for name, configure := range map[string]func(*confpb.Bootstrap){
		"Shared": crowded,
		"Alone": func(conf *confpb.Bootstrap) {
			crowded(conf)
			conf.Coalescing.Enabled, conf.Admission.Enabled = false, false
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newTheater(t, configure)
			h.s.DB.Exec(t, "CREATE INDEX ON profile.outbox_events (ordering_key)") // each of 10,000 cases looks for its own
			rapid.Check(t, func(rt *rapid.T) {
				const users, each = 8, 6
				d := func(n int) int { return rapid.IntRange(0, n-1).Draw(rt, "choice") }
				plans := make([][]act, users)
				for i := range plans {
					for range each {
						plans[i] = append(plans[i], anyAct(d))
					}
				}
				crowd := make([]*member, users)
				for i, err := range testkit.Together(users, func(i int) error {
					crowd[i] = &member{theater: h, user: testkit.NewUser(), active: map[register]bool{}, kept: map[string]answered{}, left: map[string]bool{}}
					for _, a := range plans[i] {
						if err := crowd[i].do(t.Context(), a); err != nil {
							return err
						}
					}
					return nil
				}) {
					if err != nil {
						t.Logf("user %d: %v", i, err) // rapid forgets it when it cannot make it happen again
					}
					require.NoError(rt, err, "user %d", i)
				}
				tb := shrinkable{t, rt}
				for _, m := range crowd {
					requireOrderedEvents(tb, h.s, m.user)
					for key, active := range m.active {
						require.Equal(rt, active, m.stored(key))
					}
				}
			})
			requireCountersEqualRows(t, h.s)
		})
	}
}

// A counter that would wrap fails the transaction it is in: whoever caused that gets the error, alone.
func TestS89_APoisonedCommandAmongManyIsTheOnlyOneThatFails(t *testing.T) {
	t.Parallel()
	s := testkit.New(t, patient, func(conf *confpb.Bootstrap) { conf.Coalescing.Writers = 1 })
	poisoned, video := testkit.NewVideo(), testkit.NewVideo()
	s.DB.Exec(t, "INSERT INTO profile.video_stats (video_id, like_count) VALUES ($1, 9223372036854775807)", uuid.UUID(poisoned))
	const neighbours = 255
	like := func(video models.VideoID) error {
		user := testkit.NewUser()
		_, err := s.Engagements.Mutate(t.Context(), models.Call{Actor: models.UserActor(user), Subject: user},
			services.FavoriteCommand{UserID: user, VideoID: video, Type: models.Like, Active: true})
		return err
	}
	release := hold(t, s, "LOCK TABLE profile.engagements IN EXCLUSIVE MODE")
	first := testkit.Later(func() error { return like(video) })
	awaitBlocked(t, s, 1)
	var group sync.WaitGroup
	errs := make([]error, neighbours+1)
	for i := range errs {
		group.Go(func() {
			if i == neighbours/2 {
				errs[i] = like(poisoned)
				return
			}
			errs[i] = like(video)
		})
	}
	release()
	require.NoError(t, <-first)
	group.Wait()
	for i, err := range errs {
		if i == neighbours/2 {
			require.ErrorIs(t, err, models.ErrCounterOverflow)
			continue
		}
		require.NoError(t, err)
	}
	require.Equal(t, int64(neighbours+1), testkit.One[int64](t, s.DB, "SELECT like_count FROM profile.video_stats WHERE video_id = $1", uuid.UUID(video)))
	require.Equal(t, int64(neighbours+1), testkit.One[int64](t, s.DB, "SELECT count(*) FROM profile.outbox_events"))
}

// What does not depend on an answer travels together.
func TestA81_CallsMakeFewRoundTrips(t *testing.T) {
	t.Parallel()
	s := testkit.New(t)
	f := newFan(t, s)
	video := testkit.NewVideo()
	s.Publish(t, video)
	f.add(likeType, video)
	require.NoError(t, f.watch(video, 0.3))
	tr := newTraced(t, s)
	for name, c := range map[string]struct {
		most int
		call func() error
	}{
		"Like": {4, func() error {
			return second(tr.engagements.Mutate(t.Context(), f.call(), services.FavoriteCommand{UserID: f.user, VideoID: video, Type: models.Bookmark, Active: true}))
		}},
		"LikeThatChangesNothing": {4, func() error {
			return second(tr.engagements.Mutate(t.Context(), f.call(), services.FavoriteCommand{UserID: f.user, VideoID: video, Type: models.Like, Active: true}))
		}},
		"LikeWithKey": {4, func() error {
			call := f.call()
			call.IdempotencyKey = "k"
			return second(tr.engagements.Mutate(t.Context(), call, services.FavoriteCommand{UserID: f.user, VideoID: video, Type: models.Like}))
		}},
		"Progress": {4, func() error {
			return second(tr.watch.Report(t.Context(), f.call(), services.ProgressReport{UserID: f.user, VideoID: video, RatioBP: new(int32(9000)), TotalSeconds: 100}))
		}},
		"BatchRead": {1, func() error { return second(tr.engagements.BatchQuery(t.Context(), f.call(), newVideos(50))) }},
		// Of rows whose videos are not cached.
		"List":    {2, func() error { return second(tr.engagements.List(t.Context(), f.call(), services.FavoriteListQuery{})) }},
		"History": {2, func() error { return second(tr.watch.List(t.Context(), f.call(), services.WatchListQuery{})) }},
	} {
		t.Run(name, func(t *testing.T) {
			tr.take()
			require.NoError(t, c.call())
			require.LessOrEqual(t, tr.roundTrips(), c.most, "%v", tr.take())
		})
	}
}
