// Package test proves the S-rules of the services through gRPC, on a real Postgres.
package test

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	profilev1 "github.com/lingo-services/profile/api/profile/v1"
	"github.com/lingo-services/profile/test/testkit"
)

func TestS16_ParallelAddsCountOnce(t *testing.T) {
	t.Parallel()
	s := testkit.New(t)
	user, video := testkit.NewUser(), testkit.NewVideo()
	const writers = 20
	var group sync.WaitGroup
	changed := make([]bool, writers)
	errs := make([]error, writers)
	for i := range writers {
		group.Go(func() {
			resp, err := s.AsUser(user).MutateFavorite(t.Context(), &profilev1.MutateFavoriteRequest{
				VideoId: video.String(), FavoriteType: profilev1.FavoriteType_FAVORITE_TYPE_LIKE, Action: profilev1.FavoriteAction_FAVORITE_ACTION_ADD,
			})
			changed[i], errs[i] = resp.GetChanged(), err
		})
	}
	group.Wait()
	transitions := 0
	for i := range writers {
		require.NoError(t, errs[i])
		if changed[i] {
			transitions++
		}
	}
	require.Equal(t, 1, transitions)
	require.Equal(t, int64(1), testkit.One[int64](t, s.DB, "SELECT like_count FROM profile.video_stats WHERE video_id = $1", video.String()))
	require.Len(t, s.Events(t, user), 1)
	s.RequireNoDrift(t)
}

func TestSmoke_EveryRPC(t *testing.T) {
	t.Parallel()
	s := testkit.New(t)
	user, video := testkit.NewUser(), testkit.NewVideo()
	s.Publish(t, video)
	c := s.AsUser(user)
	p, err := c.UpdateProfile(t.Context(), &profilev1.UpdateProfileRequest{Profile: &profilev1.Profile{DisplayName: " Ada "}})
	require.NoError(t, err)
	require.Equal(t, "Ada", p.GetProfile().GetDisplayName())
	ratio := 0.42
	w, err := c.UpsertWatchProgress(t.Context(), &profilev1.UpsertWatchProgressRequest{VideoId: video.String(), Progress: &profilev1.WatchProgress{
		PositionSeconds: 42, ProgressRatio: &ratio, TotalWatchSeconds: 42,
	}})
	require.NoError(t, err)
	require.True(t, w.GetRecorded())
	h, err := c.ListWatchHistory(t.Context(), &profilev1.ListWatchHistoryRequest{})
	require.NoError(t, err)
	require.Len(t, h.GetItems(), 1)
	require.Len(t, s.Events(t, user), 1)
}
