package vo_test

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	profilev1 "github.com/lingo-services/profile/api/profile/v1"
	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/models/po"
	"github.com/lingo-services/profile/internal/models/vo"
)

func TestBasisPointsRoundDown(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		ratio float64
		want  int32
	}{
		{0, 0},
		{math.Copysign(0, -1), 0},
		{math.SmallestNonzeroFloat64, 0},
		{0.00009, 0},
		{0.0001, 1},
		{0.0499, 499},
		{0.0499999, 499}, // the threshold is never called reached too early
		{0.04999999, 499},
		{0.05, 500},
		{0.0500001, 500},
		{0.0999, 999},
		{0.29, 2900}, // 0.29*10000 is 2899.9999999999995
		{0.57, 5700},
		{0.58, 5800},
		{0.9499999, 9499},
		{0.95, 9500},
		{0.9999, 9999},
		{0.99999, 9999},
		{1, 10000},
		{1.0000001, 10000},
		{1.001, 10000},
	} {
		require.Equal(t, tc.want, vo.BasisPoints(tc.ratio), "%v", tc.ratio)
	}
}

func TestBasisPointsKeepEveryStoredRatio(t *testing.T) {
	t.Parallel()
	for bp := range int32(po.FullRatio + 1) {
		require.Equal(t, bp, vo.BasisPoints(vo.Ratio(bp)))
		text := fmt.Sprintf("%.4f", vo.Ratio(bp))
		var decimal float64
		_, err := fmt.Sscan(text, &decimal)
		require.NoError(t, err)
		require.Equal(t, bp, vo.BasisPoints(decimal), "the ratio as a client writes it: %s", text)
	}
}

func TestWatchProgressOnTheWire(t *testing.T) {
	t.Parallel()
	require.Nil(t, vo.WatchProgress(po.WatchLog{}, 5_000_000), "no row, no message")
	first := time.Date(2030, 1, 2, 3, 4, 5, 6000, time.UTC)
	session := "s-1"
	row := po.WatchLog{
		UserID: models.UserID(uuid.New()), PositionSeconds: 42, RatioBP: 0, MaxRatioBP: 9_600, ReportedSeconds: 99_999, CountedSeconds: 77,
		CompletedAt: &first, CompletedCount: 2, SessionID: &session, FirstWatchedAt: first, LastWatchedAt: first.Add(time.Hour),
		ExpiresAt: first.Add(time.Hour * 24),
	}
	wire := vo.WatchProgress(row, 61_999_999)
	require.Equal(t, int64(42), wire.GetPositionSeconds())
	require.NotNil(t, wire.ProgressRatio, "zero is a value, not an absence")
	require.InDelta(t, 0.96, wire.GetMaxRatio(), 1e-12)
	require.Equal(t, int64(77), wire.GetTotalWatchSeconds(), "what counts, not what was claimed")
	require.Equal(t, int64(61), wire.GetDurationSeconds())
	require.Equal(t, first, wire.GetCompletedAt().AsTime())
	require.Equal(t, int32(2), wire.GetCompletedCount())
	require.Equal(t, session, wire.GetSessionId())
	require.Equal(t, row.ExpiresAt, wire.GetExpiresAt().AsTime())

	row.CompletedAt, row.SessionID = nil, nil
	wire = vo.WatchProgress(row, 0)
	require.Nil(t, wire.GetCompletedAt())
	require.Empty(t, wire.GetSessionId())
	require.Zero(t, wire.GetDurationSeconds())
}

func TestStatsOfAVideoNobodyTouchedHaveNoTime(t *testing.T) {
	t.Parallel()
	require.Nil(t, vo.Stats(po.VideoStats{}).GetUpdatedAt())
	at := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	stats := vo.Stats(po.VideoStats{LikeCount: 1, BookmarkCount: 2, UniqueWatchers: 3, TotalWatchSeconds: 4, Version: 5, UpdatedAt: at})
	require.Equal(t, []int64{1, 2, 3, 4, 5}, []int64{
		stats.GetLikeCount(), stats.GetBookmarkCount(), stats.GetUniqueWatchers(), stats.GetTotalWatchSeconds(), stats.GetStatsVersion(),
	})
	require.Equal(t, at, stats.GetUpdatedAt().AsTime())
}

func TestFavoriteTypesOnTheWire(t *testing.T) {
	t.Parallel()
	require.Equal(t, profilev1.FavoriteType_FAVORITE_TYPE_LIKE, vo.FavoriteType(models.Like))
	require.Equal(t, profilev1.FavoriteType_FAVORITE_TYPE_BOOKMARK, vo.FavoriteType(models.Bookmark))
}
