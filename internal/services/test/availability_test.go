package test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	profilev1 "github.com/lingo-services/profile/api/profile/v1"
	"github.com/lingo-services/profile/internal/infrastructure/config/confpb"
	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/models/po"
	"github.com/lingo-services/profile/internal/services"
	"github.com/lingo-services/profile/test/testkit"
)

func withUnavailable(req *profilev1.ListFavoritesRequest) { req.IncludeUnavailable = true }

func TestS21_AvailabilityFollowsStatusAndVisibility(t *testing.T) {
	t.Parallel()
	s := testkit.New(t)
	const (
		available = profilev1.Availability_AVAILABILITY_AVAILABLE
		private   = profilev1.Availability_AVAILABILITY_PRIVATE
		notReady  = profilev1.Availability_AVAILABILITY_NOT_READY
		deleted   = profilev1.Availability_AVAILABILITY_DELETED
		unknown   = profilev1.Availability_AVAILABILITY_UNKNOWN
	)
	for _, c := range []struct {
		status, visibility string
		want               profilev1.Availability
	}{
		{"", "", available},
		{"ready", "", available},
		{"published", "public", available},
		{"published", "unlisted", available},
		{"", "public", available},
		{"published", "private", private},
		{"", "private", private},
		{"published", "friends", private},
		{"pending_upload", "public", notReady},
		{"processing", "", notReady},
		{"some_new_status", "public", notReady},
		{"deleted", "public", deleted},
		{"archived", "", deleted},
		{"rejected", "private", deleted},
		{"failed", "public", deleted},
	} {
		t.Run(c.status+"/"+c.visibility, func(t *testing.T) {
			t.Parallel()
			f, video := newFan(t, s), testkit.NewVideo()
			f.add(likeType, video)
			require.Equal(t, unknown, f.favorites().GetFavorites()[0].GetAvailability(), "no row yet")

			s.Publish(t, video, videoIn(c.status, c.visibility, 1))

			listed := f.favorites(withUnavailable).GetFavorites()
			require.Len(t, listed, 1)
			require.Equal(t, c.want.String(), listed[0].GetAvailability().String())
			shown := len(f.favorites().GetFavorites()) == 1
			require.Equal(t, c.want == available, shown)
		})
	}
}

func TestS22_PoliciesDecideAboutVideosWeDoNotKnow(t *testing.T) {
	t.Parallel()
	known := testkit.New(t)
	instances := map[string]*testkit.Service{"known": known}
	for _, policy := range []string{"strict", "lenient"} {
		instances[policy] = testkit.NewOn(t, known.DB, func(c *confpb.Bootstrap) { c.Engagement.VideoPolicy = policy })
	}
	videos := map[models.Availability]models.VideoID{
		models.Unknown: testkit.NewVideo(), models.Deleted: testkit.NewVideo(), models.Private: testkit.NewVideo(),
		models.NotReady: testkit.NewVideo(), models.Available: testkit.NewVideo(),
	}
	known.Publish(t, videos[models.Deleted], videoIn("deleted", "public", 1))
	known.Publish(t, videos[models.Private], videoIn("published", "private", 1))
	known.Publish(t, videos[models.NotReady], videoIn("processing", "public", 1))
	known.Publish(t, videos[models.Available])
	for _, c := range []struct {
		policy        string
		video         models.Availability
		add, progress bool
	}{
		{"known", models.Unknown, true, true},
		{"known", models.Available, true, true},
		{"known", models.NotReady, true, true},
		{"known", models.Private, false, true},
		{"known", models.Deleted, false, false},
		{"strict", models.Unknown, false, false},
		{"strict", models.Available, true, true},
		{"strict", models.NotReady, true, true},
		{"strict", models.Private, false, true},
		{"strict", models.Deleted, false, false},
		{"lenient", models.Unknown, true, true},
		{"lenient", models.Private, true, true},
		{"lenient", models.Deleted, true, true},
	} {
		t.Run(c.policy+"/"+string(c.video), func(t *testing.T) {
			t.Parallel()
			f, video := newFan(t, instances[c.policy]), videos[c.video]
			requireAllowed(t, f.watch(video, 0.5), c.progress)
			_, err := f.try(addAction, likeType, video)
			requireAllowed(t, err, c.add)
			require.Equal(t, c.add, f.state(video).GetState().GetHasLiked())
			require.Equal(t, c.add, f.remove(likeType, video).GetChanged(), "REMOVE works under every policy")
		})
	}
}

func requireAllowed(t *testing.T, err error, allowed bool) {
	t.Helper()
	if allowed {
		require.NoError(t, err)
		return
	}
	testkit.RequireError(t, err, codes.FailedPrecondition, models.ReasonVideoUnavailable)
}

func TestS23_UnavailableVideosCannotBeAdded(t *testing.T) {
	t.Parallel()
	s := testkit.New(t)
	uploader, stranger := newFan(t, s), newFan(t, s)
	deleted, private := testkit.NewVideo(), testkit.NewVideo()
	s.Publish(t, deleted, videoIn("deleted", "public", 1), uploadedBy(uploader.user))
	s.Publish(t, private, videoIn("published", "private", 1), uploadedBy(uploader.user))
	before := storedFavorites(t, s.DB)

	_, aboutDeleted := stranger.try(addAction, likeType, deleted)
	_, aboutPrivate := stranger.try(addAction, bookmarkType, private)
	_, ownDeleted := uploader.try(addAction, likeType, deleted)

	for _, err := range []error{aboutDeleted, aboutPrivate, ownDeleted} {
		testkit.RequireError(t, err, codes.FailedPrecondition, models.ReasonVideoUnavailable)
		require.True(t, proto.Equal(status.Convert(aboutDeleted).Proto(), status.Convert(err).Proto()), "one answer: nobody can probe")
	}
	require.Equal(t, before, storedFavorites(t, s.DB))
	require.True(t, uploader.add(likeType, private).GetChanged(), "their own")
}

func TestS23_AnAddThatChangesNothingWorksWhateverBecameOfTheVideo(t *testing.T) {
	t.Parallel()
	s := testkit.New(t)
	for name, state := range map[string][2]string{"deleted": {"deleted", "public"}, "private": {"published", "private"}} {
		for _, kind := range []profilev1.FavoriteType{likeType, bookmarkType} {
			t.Run(name+" "+kind.String(), func(t *testing.T) {
				t.Parallel()
				f, video := newFan(t, s), testkit.NewVideo()
				at := s.Clock.Now().Add(-time.Hour)
				f.add(kind, video, at)
				s.Publish(t, video, videoIn(state[0], state[1], 1))
				for _, again := range [][]time.Time{{at}, {at.Add(time.Minute)}, nil} {
					require.False(t, f.add(kind, video, again...).GetChanged())
				}
				require.Len(t, s.Events(t, f.user), 1)
				f.remove(kind, video)
				_, err := f.try(addAction, kind, video)
				testkit.RequireError(t, err, codes.FailedPrecondition, "VIDEO_UNAVAILABLE")
			})
		}
	}
}

func TestS23_RemoveAlwaysWorks(t *testing.T) {
	t.Parallel()
	s := testkit.New(t)
	for _, state := range [][2]string{{"deleted", "public"}, {"published", "private"}, {"processing", "public"}} {
		t.Run(state[0]+"/"+state[1], func(t *testing.T) {
			t.Parallel()
			f, video := newFan(t, s), testkit.NewVideo()
			f.add(likeType, video)
			s.Publish(t, video, videoIn(state[0], state[1], 1))
			resp := f.remove(likeType, video)
			require.True(t, resp.GetChanged())
			require.Equal(t, int64(0), resp.GetStats().GetLikeCount())
		})
	}
}

func TestS23_ABatchWithOneRefusedCommandChangesNothing(t *testing.T) {
	t.Parallel()
	s := testkit.New(t)
	f, fine, deleted := newFan(t, s), testkit.NewVideo(), testkit.NewVideo()
	s.Publish(t, deleted, videoIn("deleted", "public", 1))
	before := storedFavorites(t, s.DB)
	_, err := s.Engagements.Apply(t.Context(), models.ServiceActor, []services.FavoriteCommand{
		{UserID: f.user, VideoID: fine, Type: models.Like, Active: true},
		{UserID: f.user, VideoID: deleted, Type: models.Like, Active: true},
	})
	require.ErrorIs(t, err, models.ErrVideoUnavailable)
	require.Equal(t, before, storedFavorites(t, s.DB))
}

func TestS25_UnavailabilityOnlyHides(t *testing.T) {
	t.Parallel()
	updated := func(kind po.ChangeKind) func(*po.VideoChange) {
		return func(c *po.VideoChange) { c.Kind = kind }
	}
	for name, hide := range map[string][]func(*po.VideoChange){
		"private":       {videoIn("published", "private", 2), updated(po.VideoUpdated)},
		"archived":      {videoIn("archived", "public", 2), updated(po.VideoUpdated)},
		"processing":    {videoIn("processing", "public", 2), updated(po.VideoUpdated)},
		"deleted event": {videoIn("", "", 2), updated(po.VideoDeleted)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := testkit.New(t)
			f, videos := newFan(t, s), newVideos(3)
			start := s.Clock.Now().Add(-time.Hour)
			for i, video := range videos {
				s.Publish(t, video)
				at := start.Add(time.Duration(i) * time.Second)
				f.add(likeType, video, at)
				require.NoError(t, f.watch(video, 0.5, at))
			}
			want := texts([]models.VideoID{videos[2], videos[1], videos[0]})
			require.Equal(t, want, favoriteIDs(f.favorites()))
			rows := storedFavorites(t, s.DB)

			s.Publish(t, videos[1], hide...)

			hidden := texts([]models.VideoID{videos[2], videos[0]})
			require.Equal(t, hidden, favoriteIDs(f.favorites()))
			require.Equal(t, hidden, historyIDs(f.history()))
			require.Equal(t, rows, storedFavorites(t, s.DB))
			require.True(t, f.state(videos[1]).GetState().GetHasLiked(), "their own state stays known to them")

			s.Publish(t, videos[1], videoIn("published", "public", 3), updated(po.VideoUpdated))

			require.Equal(t, want, favoriteIDs(f.favorites()))
			require.Equal(t, want, historyIDs(f.history()))
			require.Equal(t, rows, storedFavorites(t, s.DB))
			s.RequireNoDrift(t)
		})
	}
}

func TestS51_UnknownVideosAreListedWithoutTheirVideo(t *testing.T) {
	t.Parallel()
	f := newFan(t, testkit.New(t))
	video := testkit.NewVideo()
	f.add(likeType, video)
	require.NoError(t, f.watch(video, 0.5))
	item, entry := f.favorites().GetFavorites()[0], f.history().GetItems()[0]
	require.Nil(t, item.GetVideo())
	require.Equal(t, int64(1), item.GetStats().GetLikeCount())
	require.True(t, item.GetState().GetHasLiked())
	require.Nil(t, entry.GetVideo())
	require.InDelta(t, 0.5, entry.GetProgress().GetProgressRatio(), 0)
	require.Equal(t, profilev1.Availability_AVAILABILITY_UNKNOWN, entry.GetAvailability())
}

func TestS51_UploadersSeeTheirOwn(t *testing.T) {
	t.Parallel()
	s := testkit.New(t)
	uploader, stranger := newFan(t, s), newFan(t, s)
	states := map[string][2]string{"private": {"published", "private"}, "not ready": {"processing", "public"}, "deleted": {"deleted", "public"}}
	for name, state := range states {
		t.Run(name, func(t *testing.T) {
			video := testkit.NewVideo()
			for _, f := range []fan{uploader, stranger} {
				f.add(likeType, video)
				require.NoError(t, f.watch(video, 0.5))
			}
			s.Publish(t, video, videoIn(state[0], state[1], 1), uploadedBy(uploader.user))
			require.Equal(t, name != "deleted", slices.Contains(favoriteIDs(uploader.favorites()), video.String()))
			require.Equal(t, name != "deleted", slices.Contains(historyIDs(uploader.history()), video.String()))
			require.NotContains(t, favoriteIDs(stranger.favorites()), video.String())
			require.NotContains(t, historyIDs(stranger.history()), video.String())
		})
	}
}

// P14: the earlier service listed private and deleted videos, playlist and all. What is the user's own stays (S51).
func TestP14_PlaceholdersTellOnlyWhatIsTheUsersOwn(t *testing.T) {
	t.Parallel()
	s := testkit.New(t)
	playlist := "https://cdn.example/secret.m3u8"
	for name, state := range map[string][2]string{"private": {"published", "private"}, "deleted": {"deleted", "public"}, "not ready": {"processing", "public"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, video := newFan(t, s), testkit.NewVideo()
			f.add(likeType, video)
			f.add(bookmarkType, video)
			require.NoError(t, f.watch(video, 0.5))
			own, watched := f.favorites().GetFavorites(), f.history().GetItems()[0]
			s.Publish(t, video, videoIn(state[0], state[1], 1), func(c *po.VideoChange) { c.HLSMasterPlaylist = &playlist })

			require.Empty(t, f.favorites().GetFavorites())
			require.Empty(t, f.history().GetItems())
			placeholders := f.favorites(withUnavailable).GetFavorites()
			require.Len(t, placeholders, 2)
			require.Equal(t, []profilev1.FavoriteType{bookmarkType, likeType}, []profilev1.FavoriteType{placeholders[0].GetFavoriteType(), placeholders[1].GetFavoriteType()})
			require.True(t, placeholders[1].GetCreatedAt().AsTime().Before(placeholders[0].GetCreatedAt().AsTime()), "each has its time")
			require.True(t, placeholders[1].GetState().GetHasLiked())
			for i, want := range own {
				want.Video, want.Stats, want.Availability = nil, nil, placeholders[i].GetAvailability()
				require.True(t, proto.Equal(want, placeholders[i]), placeholders[i])
			}
			entry := f.history(func(r *profilev1.ListWatchHistoryRequest) { r.IncludeUnavailable = true }).GetItems()[0]
			require.InDelta(t, 0.5, entry.GetProgress().GetProgressRatio(), 1e-9)
			watched.Video, watched.Stats, watched.Availability = nil, nil, placeholders[0].GetAvailability()
			require.True(t, proto.Equal(watched, entry), entry)
			require.NotContains(t, f.state(video).String(), playlist)
		})
	}
}

func TestS51_AvailableEntriesCarryTheVideo(t *testing.T) {
	t.Parallel()
	f := newFan(t, testkit.New(t))
	video, playlist := testkit.NewVideo(), "https://cdn.example/v.m3u8"
	f.s.Publish(t, video, func(c *po.VideoChange) { c.HLSMasterPlaylist = &playlist })
	f.add(bookmarkType, video)
	item := f.favorites().GetFavorites()[0]
	require.Equal(t, bookmarkType, item.GetFavoriteType())
	require.Equal(t, "Title of "+video.String(), item.GetVideo().GetTitle())
	require.Equal(t, playlist, item.GetVideo().GetHlsMasterPlaylist())
	require.Equal(t, item.GetCreatedAt().AsTime(), item.GetState().GetBookmarkedAt().AsTime())
	require.False(t, item.GetState().GetHasLiked(), "an entry is about its own kind")
}

func TestS51_AHiddenRowDoesNotShortenAPage(t *testing.T) {
	t.Parallel()
	f := newFan(t, testkit.New(t))
	videos := f.seedLikes(30, f.s.Clock.Now().Add(-time.Hour))
	for i, video := range videos {
		if i%3 != 0 {
			f.s.Publish(t, video, videoIn("published", "private", 1))
		}
	}
	page := func(token string) *profilev1.ListFavoritesResponse {
		return f.favorites(func(r *profilev1.ListFavoritesRequest) { r.PageSize, r.PageToken = 4, token })
	}
	first := page("")
	second := page(first.GetNextPageToken())
	third := page(second.GetNextPageToken())
	require.Len(t, first.GetFavorites(), 4)
	require.Len(t, second.GetFavorites(), 4)
	require.Len(t, third.GetFavorites(), 2)
	require.Empty(t, third.GetNextPageToken())
}
