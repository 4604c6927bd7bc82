package test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.uber.org/mock/gomock"

	"github.com/lingo-services/profile/internal/infrastructure/cache"
	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/models/po"
	"github.com/lingo-services/profile/internal/repositories"
	"github.com/lingo-services/profile/internal/repositories/mocks"
	"github.com/lingo-services/profile/internal/services"
	"github.com/lingo-services/profile/internal/services/coalesce"
	"github.com/lingo-services/profile/internal/services/pagetoken"
)

var errInjected = errors.New("injected")

// broken is a transaction whose repositories do only what a test expects of them, in that order.
type broken struct {
	profiles    *mocks.MockProfileRepository
	users       *mocks.MockUserStatsRepository
	engagements *mocks.MockEngagementRepository
	watch       *mocks.MockWatchLogRepository
	videos      *mocks.MockVideoProjectionRepository
	stats       *mocks.MockVideoStatsRepository
	outbox      *mocks.MockOutboxRepository
	keys        *mocks.MockIdempotencyRepository
}

func newBroken(ctrl *gomock.Controller) broken {
	return broken{
		mocks.NewMockProfileRepository(ctrl), mocks.NewMockUserStatsRepository(ctrl), mocks.NewMockEngagementRepository(ctrl),
		mocks.NewMockWatchLogRepository(ctrl), mocks.NewMockVideoProjectionRepository(ctrl), mocks.NewMockVideoStatsRepository(ctrl),
		mocks.NewMockOutboxRepository(ctrl), mocks.NewMockIdempotencyRepository(ctrl),
	}
}

// oneRun is a Store that runs fn once, as a transaction that meets no collision does.
type oneRun struct{ tx *repositories.Tx }

func (s oneRun) Write(ctx context.Context, _ models.Actor, fn func(context.Context, *repositories.Tx) error) error {
	return fn(ctx, s.tx)
}

func (s oneRun) WriteFor(ctx context.Context, _ []models.UserID, fn func(context.Context, *repositories.Tx) error) error {
	return fn(ctx, s.tx)
}

func (s oneRun) Read(ctx context.Context, _ models.Actor, fn func(context.Context, *repositories.Tx) error) error {
	return fn(ctx, s.tx)
}

func (s oneRun) ReadFor(ctx context.Context, _ []models.UserID, fn func(context.Context, *repositories.Tx) error) error {
	return fn(ctx, s.tx)
}

func (b broken) store() oneRun {
	return oneRun{&repositories.Tx{
		Profiles: b.profiles, UserStats: b.users, Engagements: b.engagements, WatchLogs: b.watch,
		Videos: b.videos, VideoStats: b.stats, Outbox: b.outbox, Idempotency: b.keys,
	}}
}

// silent panics when it is told of anything but drift: a failed call has changed nothing worth counting.
type silent struct {
	services.Observer
	drifts *int
}

func (s silent) CounterDrift() { *s.drifts++ }

func (silent) BatchTaken(string, int, time.Duration) {}

// step is one repository call of an operation; err nil lets it succeed.
type step struct {
	name   string
	expect func(b broken, err error) *gomock.Call
}

// operation is what a service does, as the repository calls it makes.
type operation struct {
	steps []step
	run   func(b broken, o services.Observer) error
}

var (
	failUser  = models.UserID(uuid.MustParse("00000000-0000-4000-8000-000000000001"))
	failVideo = models.VideoID(uuid.MustParse("00000000-0000-4000-8000-000000000002"))
	failCall  = models.Call{Actor: models.UserActor(failUser), Subject: failUser, IdempotencyKey: "k"}
	failOpts  = services.Options{
		VideoPolicy: models.PolicyKnown, MaxActivePerType: 10, IdempotencyRetention: time.Hour, PublishEvents: true, PublishPreferences: true,
		Watch:      po.WatchRules{Retention: 24 * time.Hour, UnqualifiedRetention: time.Hour},
		Coalescing: coalesce.Options{Enabled: true, Writers: 1, Batch: 10, PerUser: 10},
	}
)

// Steps that several operations share.
var (
	lockKey = step{"Idempotency.Lock", func(b broken, err error) *gomock.Call {
		return b.keys.EXPECT().Lock(gomock.Any(), gomock.Len(1)).Return([]bool{true}, err)
	}}
	getKey = step{"Idempotency.Get", func(b broken, err error) *gomock.Call {
		return b.keys.EXPECT().Get(gomock.Any(), gomock.Len(1)).Return(nil, err)
	}}
	putKey = step{"Idempotency.Put", func(b broken, err error) *gomock.Call {
		return b.keys.EXPECT().Put(gomock.Any(), gomock.Len(1), time.Hour).Return(err)
	}}
	lockUser = step{"UserStats.Lock", func(b broken, err error) *gomock.Call {
		now := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
		return b.users.EXPECT().Lock(gomock.Any(), gomock.Any()).Return(map[models.UserID]po.UserCounters{failUser: {UserID: failUser, Now: now}}, err)
	}}
	lockFreeUser = step{"UserStats.LockFree", func(b broken, err error) *gomock.Call {
		now := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
		return b.users.EXPECT().LockFree(gomock.Any(), gomock.Any()).Return(map[models.UserID]po.UserCounters{failUser: {UserID: failUser, Now: now}}, err)
	}}
	moveUser = step{"UserStats.Increment", func(b broken, err error) *gomock.Call {
		return b.users.EXPECT().Increment(gomock.Any(), gomock.Any()).Return(map[models.UserID]int64{failUser: 1}, err)
	}}
	moveVideo = step{"VideoStats.Increment", func(b broken, err error) *gomock.Call {
		return b.stats.EXPECT().Increment(gomock.Any(), gomock.Any()).Return(map[models.VideoID]po.VideoStats{failVideo: {LikeCount: 1}}, err)
	}}
	readStats = step{"VideoStats.BatchGet", func(b broken, err error) *gomock.Call {
		return b.stats.EXPECT().BatchGet(gomock.Any(), gomock.Any()).Return(map[models.VideoID]po.VideoStats{failVideo: {}}, err)
	}}
	appendEvents = step{"Outbox.Append", func(b broken, err error) *gomock.Call {
		return b.outbox.EXPECT().Append(gomock.Any(), gomock.Len(1)).Return(err)
	}}
	lockAbsentProfile = step{"Profiles.Lock", func(b broken, err error) *gomock.Call {
		if err == nil {
			err = models.ErrProfileNotFound
		}
		return b.profiles.EXPECT().Lock(gomock.Any(), failUser).Return(po.User{}, err)
	}}
	lockProfile = step{"Profiles.Lock", func(b broken, err error) *gomock.Call {
		return b.profiles.EXPECT().Lock(gomock.Any(), failUser).Return(po.User{UserID: failUser, Version: 4}, err)
	}}
	createProfile = step{"Profiles.Upsert", func(b broken, err error) *gomock.Call {
		return b.profiles.EXPECT().Upsert(gomock.Any(), failUser, gomock.Any()).Return(aimingUser(1), err == nil, err)
	}}
	changeProfile = step{"Profiles.IncrementVersion", func(b broken, err error) *gomock.Call {
		return b.profiles.EXPECT().IncrementVersion(gomock.Any(), failUser, int64(4), gomock.Any()).Return(aimingUser(5), err)
	}}
	setFavorite = step{"Engagements.Upsert", func(b broken, err error) *gomock.Call {
		return b.engagements.EXPECT().Upsert(gomock.Any(), gomock.Any(), gomock.Any()).Return([]po.FavoriteChange{{Changed: true}}, err)
	}}
	readFavorites = step{"Engagements.BatchGet", func(b broken, err error) *gomock.Call {
		return b.engagements.EXPECT().BatchGet(gomock.Any(), failUser, gomock.Any()).Return([]po.FavoriteState{{VideoID: failVideo}}, err)
	}}
	ensureVideo = step{"VideoStats.Ensure", func(b broken, err error) *gomock.Call {
		return b.stats.EXPECT().Ensure(gomock.Any(), gomock.Any()).Return(err)
	}}
	readWatch = step{"WatchLogs.Get", func(b broken, err error) *gomock.Call {
		return b.watch.EXPECT().Get(gomock.Any(), gomock.Any()).Return(nil, err)
	}}
	readFacts = step{"Videos.Facts", func(b broken, err error) *gomock.Call {
		return b.videos.EXPECT().Facts(gomock.Any(), gomock.Any()).Return(map[models.VideoID]po.VideoFacts{failVideo: {Availability: models.Available}}, err)
	}}
	readVideos = step{"Videos.ListByIDs", func(b broken, err error) *gomock.Call {
		return b.videos.EXPECT().ListByIDs(gomock.Any(), gomock.Any()).Return(nil, err)
	}}
	saveWatch = step{"WatchLogs.UpsertProgress", func(b broken, err error) *gomock.Call {
		return b.watch.EXPECT().UpsertProgress(gomock.Any(), gomock.Len(1)).Return(err)
	}}
)

// aimingUser is a stored user who has just set a goal.
func aimingUser(version int64) po.User {
	goal := "B2"
	return po.User{UserID: failUser, Version: version, Content: po.Content{Preferences: po.Preferences{LearningGoal: &goal}}}
}

func newEventID() uuid.UUID { return uuid.Must(uuid.NewV7()) }

func operations(t *testing.T) map[string]operation {
	t.Helper()
	tokens, err := pagetoken.NewCodec([]string{"0123456789abcdef"})
	require.NoError(t, err)
	goal, half := "B2", int32(5000)
	prefer := func(b broken, o services.Observer) error {
		cmd := services.UpdateProfile{PreferencesOnly: true, Patch: po.ProfilePatch{LearningGoal: po.Set(&goal)}}
		return second(services.NewProfileService(b.store(), o, newEventID, failOpts).Update(t.Context(), failCall, cmd))
	}
	engagements := func(b broken, o services.Observer) services.EngagementService {
		return services.NewEngagementService(b.store(), tokens, o, newEventID, cache.Uncached(b.store()), cache.UncachedVideos(b.store()), failOpts)
	}
	watch := func(b broken, o services.Observer) services.WatchHistoryService {
		return services.NewWatchHistoryService(b.store(), tokens, o, newEventID, cache.UncachedVideos(b.store()), failOpts)
	}
	favorite := services.FavoriteCommand{UserID: failUser, VideoID: failVideo, Type: models.Like, Active: true}
	report := services.ProgressReport{UserID: failUser, VideoID: failVideo, RatioBP: &half, PositionSeconds: 50, TotalSeconds: 50}
	return map[string]operation{
		"CreateProfile": {[]step{lockKey, getKey, lockUser, lockAbsentProfile, createProfile, moveUser, appendEvents, putKey}, prefer},
		"ChangeProfile": {[]step{lockKey, getKey, lockUser, lockProfile, changeProfile, moveUser, appendEvents, putKey}, prefer},
		"GetProfile": {[]step{{"Profiles.BatchGet", func(b broken, err error) *gomock.Call {
			return b.profiles.EXPECT().BatchGet(gomock.Any(), []models.UserID{failUser}).Return(map[models.UserID]po.User{failUser: {}}, err)
		}}}, func(b broken, o services.Observer) error {
			return second(services.NewProfileService(b.store(), o, newEventID, failOpts).Get(t.Context(), failCall))
		}},
		"MutateFavorite": {
			[]step{lockKey, getKey, lockFreeUser, setFavorite, moveUser, ensureVideo, moveVideo, appendEvents, putKey},
			func(b broken, o services.Observer) error {
				return second(engagements(b, o).Mutate(t.Context(), failCall, favorite))
			},
		},
		"ApplyFavorites": {[]step{lockUser, setFavorite, moveUser, ensureVideo, moveVideo, appendEvents}, func(b broken, o services.Observer) error {
			return second(engagements(b, o).Apply(t.Context(), models.ServiceActor, []services.FavoriteCommand{favorite}))
		}},
		"BatchQueryFavorite": {[]step{readFavorites}, func(b broken, o services.Observer) error {
			return second(engagements(b, o).BatchQuery(t.Context(), failCall, []models.VideoID{failVideo}))
		}},
		"ListFavorites": {[]step{
			{"Engagements.ListByUser", func(b broken, err error) *gomock.Call {
				return b.engagements.EXPECT().ListByUser(gomock.Any(), gomock.Any()).Return(nil, err)
			}},
			{"Engagements.CountByUser", func(b broken, err error) *gomock.Call {
				return b.engagements.EXPECT().CountByUser(gomock.Any(), gomock.Any()).Return(int64(0), err)
			}},
		}, func(b broken, o services.Observer) error {
			return second(engagements(b, o).List(t.Context(), failCall, services.FavoriteListQuery{WithCount: true}))
		}},
		"ReportProgress": {
			[]step{lockKey, getKey, lockFreeUser, readWatch, readFacts, saveWatch, moveUser, ensureVideo, moveVideo, appendEvents, putKey},
			func(b broken, o services.Observer) error {
				return second(watch(b, o).Report(t.Context(), failCall, report))
			},
		},
		"ApplyProgress": {
			[]step{lockUser, readWatch, readFacts, saveWatch, moveUser, ensureVideo, moveVideo, appendEvents},
			func(b broken, o services.Observer) error {
				return second(watch(b, o).Apply(t.Context(), models.ServiceActor, []services.ProgressReport{report}))
			},
		},
		"ListWatchHistory": {[]step{{"WatchLogs.ListRecent", func(b broken, err error) *gomock.Call {
			return b.watch.EXPECT().ListRecent(gomock.Any(), gomock.Any()).Return(nil, err)
		}}}, func(b broken, o services.Observer) error {
			return second(watch(b, o).List(t.Context(), failCall, services.WatchListQuery{}))
		}},
		"UpsertVideos": {[]step{{"Videos.UpsertFromCatalogEvent", func(b broken, err error) *gomock.Call {
			return b.videos.EXPECT().UpsertFromCatalogEvent(gomock.Any(), gomock.Len(1)).Return(nil, err)
		}}}, func(b broken, _ services.Observer) error {
			return second(services.NewVideoProjectionService(b.store()).Upsert(t.Context(), []services.VideoChange{{VideoID: failVideo, Kind: po.VideoCreated, Version: 1}}))
		}},
		"ListVideos": {[]step{readVideos}, func(b broken, _ services.Observer) error {
			return second(services.NewVideoProjectionService(b.store()).ListByIDs(t.Context(), []models.VideoID{failVideo}))
		}},
		"BatchGetStats": {[]step{readStats}, func(b broken, _ services.Observer) error {
			return second(services.NewVideoStatsService(b.store(), cache.Uncached(b.store())).BatchGet(t.Context(), []models.VideoID{failVideo}))
		}},
		"VerifyStats": {[]step{{"VideoStats.Drift", func(b broken, err error) *gomock.Call {
			return b.stats.EXPECT().Drift(gomock.Any()).Return(nil, err)
		}}}, func(b broken, _ services.Observer) error {
			return second(services.NewVideoStatsService(b.store(), cache.Uncached(b.store())).Verify(t.Context()))
		}},
	}
}

// expect scripts the operation up to and including the failing step; gomock refuses every call after it.
func (o operation) expect(b broken, failing int, err error) {
	calls := make([]any, 0, failing+1)
	for i, s := range o.steps[:failing+1] {
		if i == failing {
			calls = append(calls, s.expect(b, err))
			continue
		}
		calls = append(calls, s.expect(b, nil))
	}
	gomock.InOrder(calls...)
}

func TestS89_EveryRepositoryErrorStopsTheOperation(t *testing.T) {
	t.Parallel()
	for name, o := range operations(t) {
		for i, s := range o.steps {
			t.Run(name+"/"+s.name, func(t *testing.T) {
				t.Parallel()
				b, drifts := newBroken(gomock.NewController(t)), 0
				o.expect(b, i, errInjected)
				require.ErrorIs(t, o.run(b, silent{drifts: &drifts}), errInjected)
				require.Zero(t, drifts)
			})
		}
	}
}

func TestS16_DriftIsReportedWhenCountersRefuse(t *testing.T) {
	t.Parallel()
	for name, o := range operations(t) {
		for i, s := range o.steps {
			if s.name != moveVideo.name && s.name != moveUser.name {
				continue
			}
			t.Run(name+"/"+s.name, func(t *testing.T) {
				t.Parallel()
				b, drifts := newBroken(gomock.NewController(t)), 0
				o.expect(b, i, repositories.ErrCounterDrift)
				require.ErrorIs(t, o.run(b, silent{drifts: &drifts}), repositories.ErrCounterDrift)
				require.Equal(t, 1, drifts)
			})
		}
	}
}

// TestS62_LostCreationIsNotAnAnswer: a row that appears although its user is locked means that somebody
// writes without the lock.
func TestS62_LostCreationIsNotAnAnswer(t *testing.T) {
	t.Parallel()
	b, drifts := newBroken(gomock.NewController(t)), 0
	create := operations(t)["CreateProfile"]
	create.expect(b, 3, nil)
	b.profiles.EXPECT().Upsert(gomock.Any(), failUser, gomock.Any()).Return(po.User{}, false, nil)
	require.ErrorIs(t, create.run(b, silent{drifts: &drifts}), models.ErrTransactionConflict)
}

func TestS85_UnreadableStoredAnswerIsAnError(t *testing.T) {
	t.Parallel()
	b, drifts := newBroken(gomock.NewController(t)), 0
	gomock.InOrder(
		b.keys.EXPECT().Lock(gomock.Any(), gomock.Any()).Return([]bool{true}, nil),
		b.keys.EXPECT().Get(gomock.Any(), gomock.Any()).Return(map[int]po.IdempotencyRecord{0: {Response: []byte("not JSON")}}, nil),
	)
	require.ErrorContains(t, operations(t)["ChangeProfile"].run(b, silent{drifts: &drifts}), "decode stored answer")
}
