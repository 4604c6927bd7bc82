package repositories_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/models/po"
	"github.com/lingo-services/profile/internal/repositories"
	"github.com/lingo-services/profile/test/testkit"
)

type statsByVideo = map[models.VideoID]po.VideoStats

func moveVideos(t testing.TB, s schema, deltas ...po.StatsDelta) statsByVideo {
	t.Helper()
	return write(t, s, func(ctx context.Context, tx *repositories.Tx) (statsByVideo, error) {
		return increment(ctx, tx, deltas)
	})
}

func statsOf(t testing.TB, s schema, ids ...models.VideoID) statsByVideo {
	t.Helper()
	return read(t, s, func(ctx context.Context, tx *repositories.Tx) (statsByVideo, error) {
		return tx.VideoStats.BatchGet(ctx, ids)
	})
}

func TestM97_VideoCountersMoveAndComeBack(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.stopClock(t, noon)
	require.Empty(t, moveVideos(t, s))
	one := statsByVideo{video(2): {LikeCount: 1, BookmarkCount: 2, UniqueWatchers: 3, TotalWatchSeconds: 4, Version: 1, UpdatedAt: noon}}
	require.Equal(t, one, moveVideos(t, s, po.StatsDelta{VideoID: video(2), Likes: 1, Bookmarks: 2, Watchers: 3, Seconds: 4}))
	s.stopClock(t, noon.Add(time.Second))
	many := statsByVideo{
		video(1): {LikeCount: 1, Version: 1, UpdatedAt: noon.Add(time.Second)},
		video(2): {BookmarkCount: 3, UniqueWatchers: 1, TotalWatchSeconds: 4, Version: 2, UpdatedAt: noon.Add(time.Second)},
		video(3): {TotalWatchSeconds: 9, Version: 1, UpdatedAt: noon.Add(time.Second)},
	}
	require.Equal(t, many, moveVideos(t, s,
		po.StatsDelta{VideoID: video(3), Seconds: 9},
		po.StatsDelta{VideoID: video(2), Likes: -1, Bookmarks: 1, Watchers: -2},
		po.StatsDelta{VideoID: video(1), Likes: 1},
	), "new and known videos in one call")
	require.Equal(t, many, statsOf(t, s, video(1), video(2), video(3), video(4), video(1)), "only rows that exist")
	require.Empty(t, statsOf(t, s))
}

func TestS78_StatsVersionGrowsByOnePerChange(t *testing.T) {
	t.Parallel()
	s := open(t)
	id := newVideo()
	const writers = 20
	seen := make([]int64, writers)
	for _, err := range testkit.Together(writers, func(i int) error {
		return s.Write(t.Context(), models.ServiceActor, func(ctx context.Context, tx *repositories.Tx) error {
			stats, err := increment(ctx, tx, []po.StatsDelta{{VideoID: id, Likes: 1}})
			seen[i] = stats[id].Version
			return err
		})
	}) {
		require.NoError(t, err)
	}
	slices.Sort(seen)
	for i, version := range seen {
		require.Equal(t, int64(i+1), version)
	}
	require.Equal(t, int64(writers), statsOf(t, s, id)[id].LikeCount)
}

// Every round also has a video nobody touched before: creating rows must not break the order either.
func TestS17_VideosLockInKeyOrderWhateverTheCallSays(t *testing.T) {
	t.Parallel()
	s := open(t, func(o *repositories.TxOptions) { o.MaxAttempts = 1 })
	const writers, rounds = 16, 10
	for _, err := range testkit.Together(writers, func(i int) error {
		for round := range rounds {
			var deltas []po.StatsDelta
			for _, n := range []int{1, 2, 3, 10 + round, 100, 101} {
				deltas = append(deltas, po.StatsDelta{VideoID: video(byte(n)), Likes: 1})
			}
			if i%2 == 0 {
				slices.Reverse(deltas)
			}
			if err := s.Write(t.Context(), models.ServiceActor, func(ctx context.Context, tx *repositories.Tx) error {
				_, err := increment(ctx, tx, deltas)
				return err
			}); err != nil {
				return err
			}
		}
		return nil
	}) {
		require.NoError(t, err, "a deadlock is a collision, and there is one attempt only")
	}
	stats := statsOf(t, s, video(1), video(10))
	require.Equal(t, int64(writers*rounds), stats[video(1)].LikeCount)
	require.Equal(t, int64(writers), stats[video(10)].LikeCount)
}

func TestS42_DriftNamesExactlyTheVideosThatDiffer(t *testing.T) {
	t.Parallel()
	s := open(t)
	favor(t, s, adding(user(1), video(1), noon), adding(user(2), video(1), noon), bookmarking(user(1), video(2), noon))
	watched := watchLog(user(1), video(3))
	watched.ReportedSeconds, watched.CountedSeconds = 90, 90
	hidden := watchLog(user(2), video(3))
	hidden.QualifiedAt = nil
	storeLogs(t, s, watched, hidden)
	drift := func() []po.StatsDrift {
		return read(t, s, func(ctx context.Context, tx *repositories.Tx) ([]po.StatsDrift, error) {
			return tx.VideoStats.Drift(ctx)
		})
	}
	require.Equal(t, []po.StatsDrift{
		{VideoID: video(1), Counted: po.VideoStats{LikeCount: 2}},
		{VideoID: video(2), Counted: po.VideoStats{BookmarkCount: 1}},
		{VideoID: video(3), Counted: po.VideoStats{UniqueWatchers: 1, TotalWatchSeconds: 90}},
	}, drift(), "rows without counters")
	moveVideos(t, s, po.StatsDelta{VideoID: video(1), Likes: 2}, po.StatsDelta{VideoID: video(2), Bookmarks: 1},
		po.StatsDelta{VideoID: video(3), Watchers: 1, Seconds: 90})
	require.Empty(t, drift())
	moveVideos(t, s, po.StatsDelta{VideoID: video(3), Seconds: 1}, po.StatsDelta{VideoID: video(4), Likes: 1})
	require.Equal(t, []po.StatsDrift{
		{
			VideoID: video(3), Stored: po.VideoStats{UniqueWatchers: 1, TotalWatchSeconds: 91},
			Counted: po.VideoStats{UniqueWatchers: 1, TotalWatchSeconds: 90},
		},
		{VideoID: video(4), Stored: po.VideoStats{LikeCount: 1}},
	}, drift())
}
