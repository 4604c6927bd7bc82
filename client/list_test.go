package client_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	profilev1 "github.com/lingo-services/profile/api/profile/v1"
	"github.com/lingo-services/profile/client"
	"github.com/lingo-services/profile/test/testkit"
)

// learner is a user with that many likes and watched videos, as what a caller needs to call for them.
func learner(t testing.TB, s *testkit.Service, count int) (ctx context.Context, videos []string) {
	t.Helper()
	ctx = client.AsUser(t.Context(), testkit.NewUser().String())
	c := to(t, s)
	for range count {
		id := testkit.NewVideo().String()
		req := like()
		req.VideoId = id
		_, err := c.MutateFavorite(ctx, req)
		require.NoError(t, err)
		_, err = c.UpsertWatchProgress(ctx, &profilev1.UpsertWatchProgressRequest{VideoId: id, Progress: &profilev1.WatchProgress{
			PositionSeconds: 30, ProgressRatio: new(0.5), TotalWatchSeconds: 30,
		}})
		require.NoError(t, err)
		videos = append(videos, id)
	}
	return ctx, videos
}

func sending() *journal {
	return &journal{answer: func(_ int, send func() error) error { return send() }}
}

func TestListsAreIteratedToTheirEnd(t *testing.T) {
	t.Parallel()
	service := testkit.New(t)
	for count, pages := range map[int]int{0: 1, 1: 1, 4: 1, 5: 2, 9: 3} {
		ctx, videos := learner(t, service, count)
		calls := sending()
		c := to(t, service, calls.option())
		req := &profilev1.ListFavoritesRequest{PageSize: 4, IncludeUnavailable: true}
		favorites := c.Favorites(ctx, req)
		for range 2 { // they can be ranged over again
			calls.attempts = nil
			var got []string
			for item, err := range favorites {
				require.NoError(t, err)
				got = append(got, item.GetVideoId())
			}
			require.ElementsMatch(t, videos, got)
			require.Len(t, calls.attempts, pages)
		}
		require.Empty(t, req.GetPageToken(), "the caller's message stays as it is")

		calls.attempts = nil
		var got []string
		for entry, err := range c.WatchHistory(ctx, &profilev1.ListWatchHistoryRequest{PageSize: 4, IncludeUnavailable: true}) {
			require.NoError(t, err)
			got = append(got, entry.GetVideoId())
		}
		require.ElementsMatch(t, videos, got)
		require.Len(t, calls.attempts, pages)
	}
}

func TestAListThatIsLeftAsksNoMore(t *testing.T) {
	t.Parallel()
	service := testkit.New(t)
	ctx, _ := learner(t, service, 5)
	calls := sending()
	c := to(t, service, calls.option())
	seen := 0
	for _, err := range c.Favorites(ctx, &profilev1.ListFavoritesRequest{PageSize: 2, IncludeUnavailable: true}) {
		require.NoError(t, err)
		if seen++; seen == 2 {
			break
		}
	}
	require.Len(t, calls.attempts, 1)
}

func TestAListEndsWithItsFirstError(t *testing.T) {
	t.Parallel()
	service := testkit.New(t)
	ctx, _ := learner(t, service, 5)
	calls := &journal{answer: func(number int, send func() error) error {
		if number == 2 {
			return status.Error(codes.Internal, "of a proxy")
		}
		return send()
	}}
	c := to(t, service, calls.option())
	seen, failed := 0, 0
	for entry, err := range c.WatchHistory(ctx, &profilev1.ListWatchHistoryRequest{PageSize: 2, IncludeUnavailable: true}) {
		if err != nil {
			require.Nil(t, entry)
			require.Equal(t, codes.Internal, status.Code(err))
			failed++
			continue
		}
		seen++
	}
	require.Equal(t, []int{2, 1}, []int{seen, failed})
	require.Len(t, calls.attempts, 2)
}

func TestAListContinuesFromAToken(t *testing.T) {
	t.Parallel()
	service := testkit.New(t)
	ctx, videos := learner(t, service, 3)
	c := to(t, service)
	req := &profilev1.ListFavoritesRequest{PageSize: 2, IncludeUnavailable: true}
	first, err := c.ListFavorites(ctx, req)
	require.NoError(t, err)
	req.PageToken = first.GetNextPageToken()
	var got []string
	for item, err := range c.Favorites(ctx, req) {
		require.NoError(t, err)
		got = append(got, item.GetVideoId())
	}
	require.Equal(t, videos[:1], got)
}

func TestAListTakesFullPages(t *testing.T) {
	t.Parallel()
	c, calls := offline(t, nil)
	for item, err := range c.Favorites(t.Context(), nil) {
		require.Fail(t, "there is nothing", "%v %v", item, err)
	}
	for entry, err := range c.WatchHistory(t.Context(), nil) {
		require.Fail(t, "there is nothing", "%v %v", entry, err)
	}
	require.Len(t, calls.attempts, 2)
	for _, call := range calls.attempts {
		require.EqualValues(t, 100, call.req.(interface{ GetPageSize() int32 }).GetPageSize())
	}
}
