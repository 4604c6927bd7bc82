package test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"

	profilev1 "github.com/lingo-services/profile/api/profile/v1"
	"github.com/lingo-services/profile/internal/infrastructure/config/confpb"
	"github.com/lingo-services/profile/internal/infrastructure/devstack"
	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/models/po"
	"github.com/lingo-services/profile/internal/services"
	"github.com/lingo-services/profile/test/testkit"
)

// claim is what a client says about time; zero fields are not sent.
type claim struct{ occurredAt, clientTime time.Time }

// claims sends one ADD that says so.
func (f fan) claims(c claim) (models.VideoID, error) {
	video := testkit.NewVideo()
	req := &profilev1.MutateFavoriteRequest{VideoId: video.String(), FavoriteType: likeType, Action: addAction}
	if !c.occurredAt.IsZero() {
		req.OccurredAt = timestamppb.New(c.occurredAt)
	}
	return video, f.send(req, c.clientTime)
}

func (f fan) send(req *profilev1.MutateFavoriteRequest, clientTime time.Time) error {
	client := f.client
	if !clientTime.IsZero() {
		client = f.s.As(append(userHeader(f.user), "x-md-client-time", clientTime.Format(time.RFC3339Nano))...)
	}
	_, err := client.MutateFavorite(f.t.Context(), req)
	return err
}

func TestS5_EffectiveTime(t *testing.T) {
	t.Parallel()
	s := testkit.New(t)
	now := testkit.At(t, "2026-03-01T10:00:00.000001Z")
	s.Clock.Set(now)
	millennium := testkit.At(t, "2000-01-01T00:00:00Z")
	const micro = time.Microsecond
	for name, c := range map[string]struct {
		claim
		want time.Time
	}{
		"NothingSaid":                    {claim{}, now},
		"PastIsKept":                     {claim{occurredAt: now.Add(-time.Hour)}, now.Add(-time.Hour)},
		"MicrosecondsAreKept":            {claim{occurredAt: now.Add(-micro)}, now.Add(-micro)},
		"NanosecondsAreDropped":          {claim{occurredAt: now.Add(-time.Hour + 999)}, now.Add(-time.Hour)},
		"SlightlyAheadIsNow":             {claim{occurredAt: now.Add(micro)}, now},
		"FiveMinutesAheadIsNow":          {claim{occurredAt: now.Add(5 * time.Minute)}, now},
		"TheFirstInstantOf2000":          {claim{occurredAt: millennium}, millennium},
		"ClientClockAlone":               {claim{clientTime: now.Add(-time.Hour)}, now},
		"FastClientIsMovedBack":          {claim{now.Add(9 * time.Minute), now.Add(10 * time.Minute)}, now.Add(-time.Minute)},
		"SlowClientIsMovedForward":       {claim{now.Add(-time.Hour - time.Second), now.Add(-time.Hour)}, now.Add(-time.Second)},
		"TwoSecondsOffAreTolerated":      {claim{now.Add(-time.Minute), now.Add(-2 * time.Second)}, now.Add(-time.Minute)},
		"MoreThanTwoSecondsAreCorrected": {claim{now.Add(-time.Minute), now.Add(-2*time.Second - micro)}, now.Add(-time.Minute + 2*time.Second + micro)},
		"AheadOfItsOwnClockIsNow":        {claim{now.Add(-time.Hour + time.Minute), now.Add(-time.Hour)}, now},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFan(t, s)
			video, err := f.claims(c.claim)
			require.NoError(t, err)
			require.Equal(t, c.want, f.row(video, models.Like).EngagedAt)
			require.Equal(t, c.want, f.state(video).GetState().GetLikedAt().AsTime())
			require.Equal(t, c.want, f.row(video, models.Like).StateAt)
		})
	}
}

func TestS5_ImpossibleTimesAreRefused(t *testing.T) {
	t.Parallel()
	s := testkit.New(t)
	now := testkit.At(t, "2026-03-01T10:00:00Z")
	s.Clock.Set(now)
	millennium := testkit.At(t, "2000-01-01T00:00:00Z")
	for name, c := range map[string]struct {
		claim
		reason models.Reason
	}{
		"OverFiveMinutesAhead":             {claim{occurredAt: now.Add(5*time.Minute + time.Microsecond)}, models.ReasonOccurredAtInFuture},
		"OverFiveMinutesAheadCorrected":    {claim{now, now.Add(-time.Hour)}, models.ReasonOccurredAtInFuture},
		"FarFuture":                        {claim{occurredAt: testkit.At(t, "9999-12-31T23:59:59Z")}, models.ReasonOccurredAtInFuture},
		"Before2000":                       {claim{occurredAt: millennium.Add(-time.Nanosecond)}, models.ReasonInvalidArgument},
		"Before2000Corrected":              {claim{millennium, now.Add(time.Hour)}, models.ReasonInvalidArgument},
		"Before2000ByAClockFromYear9999":   {claim{now, testkit.At(t, "9999-12-31T23:59:59Z")}, models.ReasonInvalidArgument},
		"TheEpochIsNotTheAbsenceOfATime":   {claim{occurredAt: time.Unix(0, 0).UTC()}, models.ReasonInvalidArgument},
		"FutureEvenIfTheClientSaysTheSame": {claim{now.Add(time.Hour), now.Add(time.Second)}, models.ReasonOccurredAtInFuture},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFan(t, s)
			_, err := f.claims(c.claim)
			details := testkit.RequireError(t, err, codes.InvalidArgument, c.reason)
			require.Equal(t, []string{"occurred_at"}, details.Fields())
			require.Empty(t, f.favorites().GetFavorites())
		})
	}
}

func TestS5_UnreadableTimesNameTheirField(t *testing.T) {
	t.Parallel()
	f := newFan(t, testkit.New(t))
	command := func() *profilev1.MutateFavoriteRequest {
		return &profilev1.MutateFavoriteRequest{VideoId: testkit.NewVideo().String(), FavoriteType: likeType, Action: addAction}
	}
	t.Run("Timestamp", func(t *testing.T) {
		t.Parallel()
		req := command()
		req.OccurredAt = &timestamppb.Timestamp{Seconds: 1_700_000_000, Nanos: -1}
		err := f.send(req, time.Time{})
		require.Equal(t, []string{"occurred_at"}, testkit.RequireError(t, err, codes.InvalidArgument, models.ReasonInvalidArgument).Fields())
	})
	for _, text := range []string{"yesterday", "1772359200", "2026-03-01 10:00:00", "2026-13-01T10:00:00Z"} {
		t.Run("ClientTime "+text, func(t *testing.T) {
			t.Parallel()
			client := f.s.As(append(userHeader(f.user), "x-md-client-time", text)...)
			_, err := client.MutateFavorite(t.Context(), command())
			require.Equal(t, []string{"x-md-client-time"}, testkit.RequireError(t, err, codes.InvalidArgument, models.ReasonInvalidArgument).Fields())
		})
	}
}

func TestS5_WithoutATimeACommandComesAfterEverythingStored(t *testing.T) {
	t.Parallel()
	f := newFan(t, testkit.New(t))
	video, start := testkit.NewVideo(), testkit.At(t, "2026-03-01T10:00:00Z")
	f.s.Clock.Set(start)
	f.add(likeType, video)
	require.True(t, f.remove(likeType, video).GetChanged())
	require.Equal(t, start.Add(time.Microsecond), f.row(video, models.Like).StateAt)

	f.s.Clock.Set(start.Add(-time.Hour)) // a fail-over to a server whose clock is behind
	require.True(t, f.add(likeType, video).GetChanged())
	row := f.row(video, models.Like)
	require.Equal(t, start.Add(2*time.Microsecond), row.StateAt)
	require.Equal(t, row.StateAt, row.EngagedAt)
}

func TestS11_OnlyWhatIsNotOlderApplies(t *testing.T) {
	t.Parallel()
	s := testkit.New(t)
	stored := s.Clock.Now().Add(-time.Hour)
	for name, c := range map[string]struct {
		at      time.Time
		applies bool
	}{
		"Newer":    {stored.Add(time.Microsecond), true},
		"SameTime": {stored, true},
		"Older":    {stored.Add(-time.Microsecond), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, video := newFan(t, s), testkit.NewVideo()
			f.add(likeType, video, stored)
			before := f.row(video, models.Like)

			resp := f.remove(likeType, video, c.at)

			require.Equal(t, c.applies, resp.GetChanged())
			require.Equal(t, !c.applies, resp.GetReason() == staleReason)
			require.Equal(t, !c.applies, resp.GetState().GetHasLiked(), "the answer is the stored state")
			if !c.applies {
				require.Equal(t, before, f.row(video, models.Like))
				require.Equal(t, int64(1), resp.GetStats().GetLikeCount())
				require.Len(t, s.Events(t, f.user), 1)
			}
		})
	}
}

// Commands of one time are decided by value: any order and any repetition ends alike.
func TestS11_OfOneTimeARemovalWins(t *testing.T) {
	t.Parallel()
	s := testkit.New(t)
	at := s.Clock.Now().Add(-time.Hour)
	for name, c := range map[string]struct {
		actions []profilev1.FavoriteAction
		liked   bool
		events  int
	}{
		"add, remove, add":    {[]profilev1.FavoriteAction{addAction, removeAction, addAction}, false, 2},
		"remove, add, add":    {[]profilev1.FavoriteAction{removeAction, addAction, addAction}, false, 0},
		"add, add, remove":    {[]profilev1.FavoriteAction{addAction, addAction, removeAction}, false, 2},
		"remove, remove, add": {[]profilev1.FavoriteAction{removeAction, removeAction, addAction}, false, 0},
		"add, add":            {[]profilev1.FavoriteAction{addAction, addAction}, true, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, video := newFan(t, s), testkit.NewVideo()
			var last *profilev1.MutateFavoriteResponse
			for _, action := range c.actions {
				var err error
				last, err = f.try(action, likeType, video, at)
				require.NoError(t, err)
			}
			require.Equal(t, c.liked, f.state(video).GetState().GetHasLiked())
			require.Len(t, s.Events(t, f.user), c.events)
			lost := !c.liked && c.actions[len(c.actions)-1] == addAction
			require.Equal(t, lost, last.GetReason() == staleReason)
		})
	}
	s.RequireNoDrift(t)
}

func TestS11_AnyArrivalOrderEndsInTheNewestState(t *testing.T) {
	t.Parallel()
	s := testkit.New(t)
	start := s.Clock.Now().Add(-time.Hour)
	type command struct {
		action profilev1.FavoriteAction
		at     time.Time
	}
	commands := []command{
		{addAction, start}, {removeAction, start.Add(time.Second)}, {addAction, start.Add(2 * time.Second)}, {removeAction, start.Add(3 * time.Second)},
	}
	for _, order := range permutations(len(commands)) {
		f, video := newFan(t, s), testkit.NewVideo()
		for _, i := range order {
			_, err := f.try(commands[i].action, likeType, video, commands[i].at)
			require.NoError(t, err)
		}
		require.False(t, f.state(video).GetState().GetHasLiked(), order)
		require.Equal(t, commands[3].at, f.row(video, models.Like).StateAt, order)
	}
	s.RequireNoDrift(t)
}

func permutations(n int) [][]int {
	if n == 0 {
		return [][]int{{}}
	}
	var out [][]int
	for _, shorter := range permutations(n - 1) {
		for i := range n {
			out = append(out, slices.Insert(slices.Clone(shorter), i, n-1))
		}
	}
	return out
}

func TestS17_EventTimesOfARegisterAlwaysGrow(t *testing.T) {
	t.Parallel()
	s := testkit.New(t)
	now := testkit.At(t, "2026-03-01T10:00:00Z")
	s.Clock.Set(now)
	claimed := now.Add(-time.Hour)
	for name, at := range map[string]func(i int) []time.Time{
		"TheClockStandsStill": func(int) []time.Time { return nil },
		"PairsClaimOneTime":   func(i int) []time.Time { return []time.Time{claimed.Add(time.Duration(i) * time.Microsecond)} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, video := newFan(t, s), testkit.NewVideo()
			for i := range 3 {
				f.add(likeType, video, at(i)...)
				f.remove(likeType, video, at(i)...)
			}
			events := s.Events(t, f.user)
			require.Len(t, events, 6)
			for i := 1; i < len(events); i++ {
				require.True(t, events[i].OccurredAt.After(events[i-1].OccurredAt), "%d: %v", i, events)
				require.Equal(t, events[i-1].Version+1, events[i].Version)
			}
		})
	}
}

func TestS17_EventTimesOfRegistersAreIndependent(t *testing.T) {
	t.Parallel()
	f := newFan(t, testkit.New(t))
	f.s.Clock.Set(testkit.At(t, "2026-03-01T10:00:00Z"))
	f.add(likeType, testkit.NewVideo())
	f.add(likeType, testkit.NewVideo())
	events := f.s.Events(t, f.user)
	require.Len(t, events, 2)
	require.Equal(t, events[0].OccurredAt, events[1].OccurredAt)
}

// One attempt per transaction: a deadlock would be answered TRANSACTION_CONFLICT instead of run again, so
// success says that the order of locks, not the retry, prevents it.
func TestS17_OppositeOrderBatchesNeverDeadlock(t *testing.T) {
	t.Parallel()
	s := testkit.New(t, func(c *confpb.Bootstrap) { c.Data.Postgres.MaxAttempts = 1 })
	const rounds, workers, size = 6, 6, 12
	for range rounds {
		users, videos := []fan{newFan(t, s), newFan(t, s), newFan(t, s)}, newVideos(size)
		for _, err := range testkit.Together(workers, func(w int) error { return applyMixed(t, s, users, videos, w) }) {
			require.NoError(t, err)
		}
	}
	s.RequireNoDrift(t)
}

// applyMixed is worker w: three batches over all users and videos, every second worker in opposite order;
// likes and progress share the video counters.
func applyMixed(t *testing.T, s *testkit.Service, users []fan, videos []models.VideoID, w int) error {
	var cmds []services.FavoriteCommand
	var reports []services.ProgressReport
	half := int32(po.FullRatio / 2)
	for _, f := range users {
		for _, video := range videos {
			cmds = append(cmds, services.FavoriteCommand{UserID: f.user, VideoID: video, Type: models.Like, Active: w%3 != 2})
			reports = append(reports, services.ProgressReport{UserID: f.user, VideoID: video, RatioBP: &half, TotalSeconds: int64(w)})
		}
	}
	if w%2 == 1 {
		slices.Reverse(cmds)
		slices.Reverse(reports)
	}
	for range 3 {
		if _, err := s.Engagements.Apply(t.Context(), models.ServiceActor, cmds); err != nil {
			return err
		}
		if _, err := s.Watch.Apply(t.Context(), models.ServiceActor, reports); err != nil {
			return err
		}
		for i := range cmds {
			cmds[i].Active = !cmds[i].Active
		}
	}
	return nil
}

// A batch that meets counters of which some do not exist yet must not wait for them while it holds others.
func TestS17_NewCountersBesideOldOnesNeverDeadlock(t *testing.T) {
	t.Parallel()
	like := func(user models.UserID, video models.VideoID) services.FavoriteCommand {
		return services.FavoriteCommand{UserID: user, VideoID: video, Type: models.Like, Active: true}
	}
	for table, c := range map[string]struct {
		create string
		// batch changes the counters of both a and b.
		batch func(a, b uuid.UUID) []services.FavoriteCommand
	}{
		"video_stats": {"INSERT INTO profile.video_stats (video_id) VALUES ($1)", func(a, b uuid.UUID) []services.FavoriteCommand {
			user := testkit.NewUser()
			return []services.FavoriteCommand{like(user, models.VideoID(a)), like(user, models.VideoID(b))}
		}},
		"user_stats": {"INSERT INTO profile.user_stats (user_id) VALUES ($1)", func(a, b uuid.UUID) []services.FavoriteCommand {
			video := testkit.NewVideo()
			return []services.FavoriteCommand{like(models.UserID(a), video), like(models.UserID(b), video)}
		}},
	} {
		t.Run(table, func(t *testing.T) {
			t.Parallel()
			s := testkit.New(t, func(c *confpb.Bootstrap) { c.Data.Postgres.MaxAttempts = 1 })
			const rounds = 10 // who goes first at the end is up to the database
			for range rounds {
				requireNoDeadlockAroundNewRow(t, s, c.create, c.batch)
			}
			s.RequireNoDrift(t)
		})
	}
}

// requireNoDeadlockAroundNewRow makes two batches over a missing and b wait for an unfinished third
// transaction that creates a: the first found neither, the second already finds b. Then the third goes away.
func requireNoDeadlockAroundNewRow(t *testing.T, s *testkit.Service, create string, batch func(a, b uuid.UUID) []services.FavoriteCommand) {
	t.Helper()
	pair := descending(newVideos(2))
	b, a := uuid.UUID(pair[0]), uuid.UUID(pair[1])
	release := hold(t, s, create, a)
	apply := func() <-chan error {
		cmds := batch(a, b)
		return testkit.Later(func() error {
			_, err := s.Engagements.Apply(t.Context(), models.ServiceActor, cmds)
			return err
		})
	}
	first := apply()
	awaitBlocked(t, s, 1)
	s.DB.Exec(t, create, b)
	second := apply()
	awaitBlocked(t, s, 2)
	release()
	require.NoError(t, <-first)
	require.NoError(t, <-second)
}

func userHeader(user models.UserID) []string {
	return []string{"x-apigateway-api-userinfo", devstack.UserInfo(user.String())}
}
