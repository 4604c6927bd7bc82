package test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/durationpb"

	profilev1 "github.com/lingo-services/profile/api/profile/v1"
	"github.com/lingo-services/profile/internal/infrastructure/cache"
	"github.com/lingo-services/profile/internal/infrastructure/config/confpb"
	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/models/po"
	"github.com/lingo-services/profile/internal/repositories"
	"github.com/lingo-services/profile/internal/services"
	"github.com/lingo-services/profile/test/testkit"
)

// shelf is a store of one user's likes, of whose videos it counts the reads.
type shelf struct {
	repositories.EngagementRepository
	repositories.VideoProjectionRepository

	mu    sync.Mutex
	likes []models.VideoID
	title string
	// reads are the videos of each read.
	reads  [][]models.VideoID
	broken error
}

func (s *shelf) WriteFor(context.Context, []models.UserID, func(context.Context, *repositories.Tx) error) error {
	return errors.New("this test only reads")
}

func (s *shelf) ReadFor(ctx context.Context, _ []models.UserID, fn func(context.Context, *repositories.Tx) error) error {
	return s.Read(ctx, models.ServiceActor, fn)
}

func (s *shelf) Write(ctx context.Context, _ models.Actor, fn func(context.Context, *repositories.Tx) error) error {
	return s.Read(ctx, models.ServiceActor, fn)
}

func (s *shelf) Read(ctx context.Context, _ models.Actor, fn func(context.Context, *repositories.Tx) error) error {
	return fn(ctx, &repositories.Tx{Engagements: s, Videos: s})
}

func (s *shelf) ListByUser(context.Context, []po.FavoriteQuery) ([][]po.Favorite, error) {
	rows := make([]po.Favorite, len(s.likes))
	for i, id := range s.likes {
		rows[i] = po.Favorite{VideoID: id, Type: models.Like}
	}
	return [][]po.Favorite{rows}, nil
}

func (s *shelf) Listed(_ context.Context, ids []models.VideoID) (map[models.VideoID]po.ListedVideo, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads = append(s.reads, ids)
	listed := map[models.VideoID]po.ListedVideo{}
	for _, id := range ids {
		title := s.title
		listed[id] = po.ListedVideo{Availability: models.Available, Video: &po.Video{VideoID: id, Title: &title, Version: 1}}
	}
	return listed, s.broken
}

func (s *shelf) set(title string, broken error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.title, s.broken = title, broken
}

func (s *shelf) took() [][]models.VideoID {
	s.mu.Lock()
	defer s.mu.Unlock()
	reads := s.reads
	s.reads = nil
	return reads
}

const (
	listedTTL = 4 * time.Second
	// renewalGap is a little longer than the service's.
	renewalGap = 110 * time.Millisecond
)

// titles lists with a cache in memory whose clock is the bubble's.
func (s *shelf) titles() func(t *testing.T) []string {
	videos := services.NewListedVideos(s, cache.NewListed(1000, listedTTL, time.Now), &uses{})
	engagements := services.NewEngagementService(s, nil, deaf{}, newEventID, cache.Uncached(s), videos, services.Options{})
	return func(t *testing.T) []string {
		t.Helper()
		page, err := engagements.List(t.Context(), models.Call{Subject: testkit.NewUser()}, services.FavoriteListQuery{})
		require.NoError(t, err)
		titles := make([]string, len(page.Items))
		for i, item := range page.Items {
			titles[i] = *item.Video.Title
		}
		return titles
	}
}

// A list that somebody looks at is never slow: its videos are read again before they are too old, all at a time.
func TestS90_ListedVideosInUseAreRenewedBehindTheCallers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &shelf{likes: newVideos(3), title: "old"}
		list := s.titles()
		require.Equal(t, []string{"old", "old", "old"}, list(t))
		require.Equal(t, [][]models.VideoID{s.likes}, s.took())
		s.set("new", nil)
		renewals := 0
		for range 10 * listedTTL / time.Second {
			time.Sleep(time.Second) //nolint:forbidigo // a bubble's time
			list(t)
			require.Empty(t, s.took(), "no caller reads")
			time.Sleep(renewalGap) //nolint:forbidigo // a bubble's time
			synctest.Wait()
			for _, read := range s.took() {
				require.ElementsMatch(t, s.likes, read, "all at a time")
				renewals++
			}
		}
		require.Equal(t, []string{"new", "new", "new"}, list(t))
		require.InDelta(t, 10*listedTTL/(listedTTL/2), renewals, 5, "one in half of their time")

		time.Sleep(10 * listedTTL) //nolint:forbidigo // a bubble's time
		synctest.Wait()
		s.took()
		time.Sleep(10 * listedTTL) //nolint:forbidigo // a bubble's time
		synctest.Wait()
		require.Empty(t, s.took(), "what nobody looks at is not renewed")
	})
}

func TestS90_AFailedRenewalIsAReadLater(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &shelf{likes: newVideos(1), title: "old"}
		list := s.titles()
		list(t)
		s.set("new", errors.New("the database is away"))
		time.Sleep(listedTTL / 2) //nolint:forbidigo // a bubble's time
		require.Equal(t, []string{"old"}, list(t))
		time.Sleep(time.Second) //nolint:forbidigo // a bubble's time
		require.Len(t, s.took(), 2)
		require.Equal(t, []string{"old"}, list(t), "it is not too old yet")
		s.set("new", nil)
		time.Sleep(listedTTL) //nolint:forbidigo // a bubble's time
		require.Equal(t, []string{"new"}, list(t))
	})
}

func TestS90_ListsFollowTheCatalogWithinTheTimeToLiveAndAtOnceWhenStrong(t *testing.T) {
	t.Parallel()
	s := testkit.New(t, func(c *confpb.Bootstrap) {
		c.Cache.Backend, c.Cache.StatsTtl = "memory", durationpb.New(300*time.Millisecond)
	})
	f, video := newFan(t, s), testkit.NewVideo()
	s.Publish(t, video)
	f.add(likeType, video)
	require.NoError(t, f.watch(video, 0.5))
	shown := func(ctx context.Context) (entries int) {
		favorites, err := f.client.ListFavorites(ctx, &profilev1.ListFavoritesRequest{})
		require.NoError(t, err)
		history, err := f.client.ListWatchHistory(ctx, &profilev1.ListWatchHistoryRequest{})
		require.NoError(t, err)
		return len(favorites.GetFavorites()) + len(history.GetItems())
	}
	require.Equal(t, 2, shown(t.Context()))
	s.Publish(t, video, videoIn("published", "private", 2), func(c *po.VideoChange) { c.Kind = po.VideoUpdated })
	require.Zero(t, shown(strong(t.Context())))
	require.Eventually(t, func() bool { return shown(t.Context()) == 0 }, 10*time.Second, 50*time.Millisecond)
}

// Whoever liked a thousand videos that are gone still gets full pages, in a few round trips.
func TestS51_AThousandHiddenRowsCostFewRoundTrips(t *testing.T) {
	t.Parallel()
	s := testkit.New(t)
	f := newFan(t, s)
	s.DB.Exec(t, `INSERT INTO profile.videos_projection (video_id, version, created_version, status, visibility_status, created_at, updated_at)
		SELECT md5('listed ' || n)::uuid, 1, 1, CASE WHEN n <= 30 THEN 'published' ELSE 'deleted' END, 'public', now(), now() FROM generate_series(1, 1530) n`)
	s.DB.Exec(t, `WITH watched AS (
			INSERT INTO profile.watch_logs (user_id, video_id, position_seconds, ratio_bp, resume_at, max_ratio_bp, qualified_at,
			                                first_watched_at, last_watched_at, expires_at, created_at, updated_at)
			SELECT $1::uuid, md5('listed ' || n)::uuid, 10, 5000, now(), 5000, now(), now() - interval '2 days', now() - interval '1 day' + n * interval '1 second', now() + interval '1 day', now(), now()
			FROM generate_series(1, 1530) n)
		INSERT INTO profile.engagements (user_id, video_id, engagement_type, engaged_at, state_at, created_at, updated_at)
		SELECT $1::uuid, md5('listed ' || n)::uuid, 'like', now() - interval '1 day' + n * interval '1 second', now(), now(), now() FROM generate_series(1, 1530) n`, uuid.UUID(f.user))
	tr := newTraced(t, s)
	const most = 2 * 3 // rows and their videos: the first ones, as many as nothing shown of those suggests, the rest
	tr.take()
	favorites, err := tr.engagements.List(t.Context(), f.call(), services.FavoriteListQuery{})
	require.NoError(t, err)
	require.LessOrEqual(t, tr.roundTrips(), most)
	tr.take()
	history, err := tr.watch.List(t.Context(), f.call(), services.WatchListQuery{})
	require.NoError(t, err)
	require.LessOrEqual(t, tr.roundTrips(), most)
	var liked, watched []models.VideoID
	for i := range favorites.Items {
		liked, watched = append(liked, favorites.Items[i].VideoID), append(watched, history.Items[i].Log.VideoID)
	}
	want := testkit.One[[]uuid.UUID](t, s.DB, "SELECT array_agg(md5('listed ' || n)::uuid ORDER BY n DESC) FROM generate_series(11, 30) n")
	require.Len(t, want, 20)
	for i, id := range want {
		require.Equal(t, models.VideoID(id), liked[i])
		require.Equal(t, models.VideoID(id), watched[i])
	}
	for _, l := range lists {
		require.Len(t, l.walk(f, 7), 30, l.name)
	}
}
