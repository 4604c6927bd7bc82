// Package test proves the S-rules of the services through gRPC, on a real Postgres.
package test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"

	profilev1 "github.com/lingo-services/profile/api/profile/v1"
	"github.com/lingo-services/profile/internal/infrastructure/config/confpb"
	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/services"
	"github.com/lingo-services/profile/test/testkit"
)

func TestS10_LikeAndBookmarkAreIndependent(t *testing.T) {
	t.Parallel()
	f := newFan(t, testkit.New(t))
	video := testkit.NewVideo()
	f.add(likeType, video)
	f.add(bookmarkType, video)
	both := f.state(video)
	require.True(t, both.GetState().GetHasLiked())
	require.True(t, both.GetState().GetHasBookmarked())

	require.True(t, f.remove(likeType, video).GetChanged())

	left := f.state(video)
	require.False(t, left.GetState().GetHasLiked())
	require.Nil(t, left.GetState().GetLikedAt())
	require.Equal(t, both.GetState().GetBookmarkedAt().AsTime(), left.GetState().GetBookmarkedAt().AsTime())
	require.Equal(t, int64(0), left.GetStats().GetLikeCount())
	require.Equal(t, int64(1), left.GetStats().GetBookmarkCount())
	f.s.RequireNoDrift(t)
}

func TestS10_ABatchAppliesInOrderAndAnswersInOrder(t *testing.T) {
	t.Parallel()
	s := testkit.New(t)
	one, other := newFan(t, s), newFan(t, s)
	first, second := testkit.NewVideo(), testkit.NewVideo()
	command := func(f fan, video models.VideoID, kind models.FavoriteType, active bool) services.FavoriteCommand {
		return services.FavoriteCommand{UserID: f.user, VideoID: video, Type: kind, Active: active}
	}
	outcomes, err := s.Engagements.Apply(t.Context(), models.ServiceActor, []services.FavoriteCommand{
		command(one, first, models.Like, true),
		command(one, first, models.Like, false),
		command(other, second, models.Bookmark, true),
		command(one, first, models.Like, true),
		command(one, first, models.Like, true),
		command(one, second, models.Like, false),
	})
	require.NoError(t, err)
	changed := make([]bool, len(outcomes))
	for i, o := range outcomes {
		changed[i] = o.Changed
	}
	require.Equal(t, []bool{true, true, true, true, false, false}, changed)
	require.True(t, one.state(first).GetState().GetHasLiked())
	require.True(t, other.state(second).GetState().GetHasBookmarked())
	require.Equal(t, second, outcomes[2].State.VideoID)
	require.Len(t, s.Events(t, one.user), 3)
	require.Len(t, s.Events(t, other.user), 1)
	s.RequireNoDrift(t)
}

func TestS12_AddActivates(t *testing.T) {
	t.Parallel()
	f := newFan(t, testkit.New(t))
	video, start := testkit.NewVideo(), testkit.At(t, "2026-03-01T10:00:00Z")
	f.s.Clock.Set(start)

	resp := f.add(likeType, video)
	require.True(t, resp.GetChanged())
	require.Equal(t, start, resp.GetState().GetLikedAt().AsTime())
	require.Equal(t, int64(1), resp.GetStats().GetLikeCount())
	first := f.row(video, models.Like)
	require.Equal(t, start, first.EngagedAt)
	require.Nil(t, first.DeletedAt)

	f.s.Clock.Advance(time.Hour)
	f.remove(likeType, video)
	f.s.Clock.Advance(time.Hour)
	again := f.add(likeType, video)
	require.True(t, again.GetChanged())
	require.Equal(t, int64(1), again.GetStats().GetLikeCount())
	row := f.row(video, models.Like)
	require.Equal(t, start.Add(2*time.Hour), row.EngagedAt)
	require.Nil(t, row.DeletedAt)
	require.Equal(t, first.CreatedAt, row.CreatedAt, "created_at is the first time ever")

	events := f.s.Events(t, f.user)
	require.Len(t, events, 3)
	added, ok := events[0].Message.(*profilev1.EngagementAddedEvent)
	require.True(t, ok)
	require.Equal(t, events[0].ID, added.GetEventId())
	require.Equal(t, f.user.String(), added.GetUserId())
	require.Equal(t, video.String(), added.GetVideoId())
	require.Equal(t, likeType, added.GetFavoriteType())
	require.Equal(t, start, added.GetOccurredAt().AsTime())
	require.Equal(t, int64(1), added.GetStats().GetLikeCount())
	require.Equal(t, "manual", added.GetSource())
	f.s.RequireNoDrift(t)
}

func TestS13_RepeatedAddOnlyAdvancesTheRegister(t *testing.T) {
	t.Parallel()
	f := newFan(t, testkit.New(t))
	video, start := testkit.NewVideo(), testkit.At(t, "2026-03-01T10:00:00Z")
	f.s.Clock.Set(start)
	f.add(likeType, video)
	before := f.row(video, models.Like)
	f.s.Clock.Advance(time.Hour)

	resp := f.add(likeType, video)

	require.False(t, resp.GetChanged())
	require.Equal(t, profilev1.OutcomeReason_OUTCOME_REASON_UNSPECIFIED, resp.GetReason())
	require.Equal(t, start, resp.GetState().GetLikedAt().AsTime())
	require.Equal(t, int64(1), resp.GetStats().GetLikeCount())
	require.Equal(t, int64(1), resp.GetStats().GetStatsVersion())
	after := f.row(video, models.Like)
	require.Equal(t, start.Add(time.Hour), after.StateAt)
	after.StateAt = before.StateAt
	require.Equal(t, before, after, "nothing else moves, updated_at included")
	require.Len(t, f.s.Events(t, f.user), 1)

	older := f.remove(likeType, video, start.Add(time.Hour/2))
	require.Equal(t, staleReason, older.GetReason())
	require.True(t, older.GetState().GetHasLiked())
}

func TestS14_RemoveDeactivates(t *testing.T) {
	t.Parallel()
	f := newFan(t, testkit.New(t))
	video, start := testkit.NewVideo(), testkit.At(t, "2026-03-01T10:00:00Z")
	f.s.Clock.Set(start)
	f.add(bookmarkType, video)
	f.s.Clock.Advance(time.Hour)

	resp := f.remove(bookmarkType, video)

	require.True(t, resp.GetChanged())
	require.False(t, resp.GetState().GetHasBookmarked())
	require.Equal(t, int64(0), resp.GetStats().GetBookmarkCount())
	row := f.row(video, models.Bookmark)
	require.NotNil(t, row.DeletedAt)
	require.Equal(t, start.Add(time.Hour), *row.DeletedAt)
	events := f.s.Events(t, f.user)
	require.Len(t, events, 2)
	removed, ok := events[1].Message.(*profilev1.EngagementRemovedEvent)
	require.True(t, ok)
	require.Equal(t, video.String(), removed.GetVideoId())
	require.Equal(t, bookmarkType, removed.GetFavoriteType())
	require.Equal(t, start.Add(time.Hour), removed.GetDeletedAt().AsTime())
	require.Equal(t, int64(0), removed.GetStats().GetBookmarkCount())
	f.s.RequireNoDrift(t)
}

func TestS15_RemovingNothing(t *testing.T) {
	t.Parallel()
	s := testkit.New(t)
	past := s.Clock.Now().Add(-time.Hour)
	engagements := func(t *testing.T, f fan) int64 {
		return testkit.One[int64](t, s.DB, "SELECT count(*) FROM profile.engagements WHERE user_id = $1", uuid.UUID(f.user))
	}
	requireUntouched := func(t *testing.T, f fan, video models.VideoID, resp *profilev1.MutateFavoriteResponse) {
		t.Helper()
		require.False(t, resp.GetChanged())
		require.False(t, resp.GetState().GetHasLiked())
		require.Equal(t, int64(0), testkit.One[int64](t, s.DB, "SELECT count(*) FROM profile.video_stats WHERE video_id = $1", uuid.UUID(video)))
		require.Empty(t, s.Events(t, f.user))
	}
	t.Run("AbsentWithoutATimeStoresNothing", func(t *testing.T) {
		t.Parallel()
		f, video := newFan(t, s), testkit.NewVideo()
		requireUntouched(t, f, video, f.remove(likeType, video))
		require.Equal(t, int64(0), engagements(t, f))
	})
	t.Run("AbsentWithATimeBeatsALateOlderAdd", func(t *testing.T) {
		t.Parallel()
		f, video := newFan(t, s), testkit.NewVideo()
		requireUntouched(t, f, video, f.remove(likeType, video, past))
		require.Equal(t, past, *f.row(video, models.Like).DeletedAt)
		late := f.add(likeType, video, past.Add(-time.Hour))
		require.Equal(t, staleReason, late.GetReason())
		requireUntouched(t, f, video, late)
		require.True(t, f.add(likeType, video, past.Add(time.Hour/2)).GetChanged())
	})
	t.Run("RemovedChangesNothing", func(t *testing.T) {
		t.Parallel()
		f, video := newFan(t, s), testkit.NewVideo()
		f.add(likeType, video)
		f.remove(likeType, video)
		before := f.row(video, models.Like)
		resp := f.remove(likeType, video)
		require.False(t, resp.GetChanged())
		after := f.row(video, models.Like)
		require.Equal(t, before.DeletedAt, after.DeletedAt)
		require.Equal(t, before.UpdatedAt, after.UpdatedAt)
		require.Equal(t, int64(0), resp.GetStats().GetLikeCount())
		require.Len(t, s.Events(t, f.user), 2)
	})
}

func TestS16_ParallelAddsCountOnce(t *testing.T) {
	t.Parallel()
	s := testkit.New(t)
	f, video := newFan(t, s), testkit.NewVideo()
	const writers = 20
	changed := make([]bool, writers)
	errs := testkit.Together(writers, func(i int) error {
		resp, err := f.try(addAction, likeType, video)
		changed[i] = resp.GetChanged()
		return err
	})
	transitions := 0
	for i := range writers {
		require.NoError(t, errs[i])
		if changed[i] {
			transitions++
		}
	}
	require.Equal(t, 1, transitions)
	require.Equal(t, int64(1), testkit.One[int64](t, s.DB, "SELECT like_count FROM profile.video_stats WHERE video_id = $1", video.String()))
	require.Len(t, s.Events(t, f.user), 1)
	s.RequireNoDrift(t)
}

func TestS16_ParallelUsersAndTogglesKeepCountersEqualToRows(t *testing.T) {
	t.Parallel()
	s := testkit.New(t)
	video := testkit.NewVideo()
	const users, toggles = 8, 6
	fans := make([]fan, users)
	for i := range fans {
		fans[i] = newFan(t, s)
	}
	// Two devices of each user toggle against each other.
	for _, err := range testkit.Together(users*2, func(device int) error {
		for i := range toggles {
			action := addAction
			if (i+device)%2 == 1 {
				action = removeAction
			}
			if _, err := fans[device/2].try(action, likeType, video); err != nil {
				return err
			}
		}
		return nil
	}) {
		require.NoError(t, err)
	}
	s.RequireNoDrift(t)
	require.Equal(t,
		testkit.One[int64](t, s.DB, "SELECT sum(like_count)::bigint FROM profile.user_stats"),
		testkit.One[int64](t, s.DB, "SELECT like_count FROM profile.video_stats WHERE video_id = $1", uuid.UUID(video)))
	require.LessOrEqual(t, testkit.One[int64](t, s.DB, "SELECT stats_version FROM profile.video_stats WHERE video_id = $1", uuid.UUID(video)),
		testkit.One[int64](t, s.DB, "SELECT count(*) FROM profile.outbox_events"), "calls that share a transaction move a counter together")
}

func TestS16_ACounterBelowZeroAbortsAndAlarms(t *testing.T) {
	t.Parallel()
	for _, table := range []string{"video_stats", "user_stats"} {
		t.Run(table, func(t *testing.T) {
			t.Parallel()
			f := newFan(t, testkit.New(t))
			video := testkit.NewVideo()
			f.add(likeType, video)
			f.s.DB.Exec(t, fmt.Sprintf("UPDATE profile.%s SET like_count = 0", table))
			before := storedFavorites(t, f.s.DB)
			moved := counterValue(t, f.s, "profile_engagement_total")

			_, err := f.try(removeAction, likeType, video)

			testkit.RequireError(t, err, codes.Internal, models.ReasonInternal)
			require.NotContains(t, err.Error(), "check", "callers do not see the database's words")
			require.Equal(t, before, storedFavorites(t, f.s.DB))
			require.InDelta(t, 1, counterValue(t, f.s, "profile_stats_drift_total"), 0)
			require.InDelta(t, moved, counterValue(t, f.s, "profile_engagement_total"), 0)
			require.True(t, f.state(video).GetState().GetHasLiked())
		})
	}
}

func TestS19_OnlyARealAddOverTheLimitIsRefused(t *testing.T) {
	t.Parallel()
	const limit = 3
	f := newFan(t, testkit.New(t, func(c *confpb.Bootstrap) { c.Engagement.MaxActivePerType = limit }))
	videos := newVideos(limit)
	for _, video := range videos {
		f.add(likeType, video)
	}
	before := storedFavorites(t, f.s.DB)
	_, err := f.try(addAction, likeType, testkit.NewVideo())
	testkit.RequireError(t, err, codes.ResourceExhausted, models.ReasonFavoriteLimitReached)
	require.Equal(t, before, storedFavorites(t, f.s.DB))

	require.False(t, f.add(likeType, videos[0]).GetChanged(), "repeating is not a real add")
	require.True(t, f.add(bookmarkType, videos[0]).GetChanged(), "the other kind has a limit of its own")
	require.False(t, f.remove(likeType, testkit.NewVideo()).GetChanged())
	require.True(t, newFan(t, f.s).add(likeType, videos[0]).GetChanged(), "the limit is per user")
	require.True(t, f.remove(likeType, videos[0]).GetChanged())
	require.True(t, f.add(likeType, testkit.NewVideo()).GetChanged(), "a removed one makes room")
}

func TestS19_ParallelAddsStopAtTheLimit(t *testing.T) {
	t.Parallel()
	const limit, writers = 3, 12
	f := newFan(t, testkit.New(t, func(c *confpb.Bootstrap) { c.Engagement.MaxActivePerType = limit }))
	errs := testkit.Together(writers, func(int) error {
		_, err := f.try(addAction, likeType, testkit.NewVideo())
		return err
	})
	accepted := 0
	for _, err := range errs {
		if err == nil {
			accepted++
			continue
		}
		testkit.RequireError(t, err, codes.ResourceExhausted, models.ReasonFavoriteLimitReached)
	}
	require.Equal(t, limit, accepted)
	require.Equal(t, int64(limit), testkit.One[int64](t, f.s.DB, "SELECT like_count FROM profile.user_stats WHERE user_id = $1", uuid.UUID(f.user)))
	f.s.RequireNoDrift(t)
}

func TestS20_AMutationAnswersWithItsOwnWrite(t *testing.T) {
	t.Parallel()
	s := testkit.New(t)
	one, other := newFan(t, s), newFan(t, s)
	video := testkit.NewVideo()
	one.add(likeType, video)
	other.add(bookmarkType, video)

	resp := other.add(likeType, video)

	require.True(t, resp.GetState().GetHasLiked())
	require.True(t, resp.GetState().GetHasBookmarked())
	require.Equal(t, int64(2), resp.GetStats().GetLikeCount())
	require.Equal(t, int64(1), resp.GetStats().GetBookmarkCount())
	require.Equal(t, int64(3), resp.GetStats().GetStatsVersion())
}

func TestS20_AnUntouchedVideoHasZeroCounters(t *testing.T) {
	t.Parallel()
	f := newFan(t, testkit.New(t))
	video := testkit.NewVideo()
	require.Equal(t, &profilev1.VideoStats{}, plain(f.remove(likeType, video).GetStats()))
	require.Equal(t, &profilev1.VideoStats{}, plain(f.state(video).GetStats()))
}

// plain is stats as a value of its own, without what decoding attached to it.
func plain(s *profilev1.VideoStats) *profilev1.VideoStats {
	return &profilev1.VideoStats{
		LikeCount: s.GetLikeCount(), BookmarkCount: s.GetBookmarkCount(), UniqueWatchers: s.GetUniqueWatchers(),
		TotalWatchSeconds: s.GetTotalWatchSeconds(), StatsVersion: s.GetStatsVersion(), UpdatedAt: s.GetUpdatedAt(),
	}
}

func TestP1_RepeatsCountOnceAndPublishOnce(t *testing.T) {
	t.Parallel()
	f := newFan(t, testkit.New(t))
	video := testkit.NewVideo()
	require.Equal(t, int64(0), f.remove(likeType, video).GetStats().GetLikeCount(), "a first REMOVE does not count down")
	for range 3 {
		require.Equal(t, int64(1), f.add(likeType, video).GetStats().GetLikeCount())
	}
	require.Len(t, f.s.Events(t, f.user), 1)
	for range 3 {
		require.Equal(t, int64(0), f.remove(likeType, video).GetStats().GetLikeCount())
	}
	require.Len(t, f.s.Events(t, f.user), 2)
	f.s.RequireNoDrift(t)
}
