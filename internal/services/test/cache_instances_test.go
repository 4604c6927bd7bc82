package test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"

	profilev1 "github.com/lingo-services/profile/api/profile/v1"
	"github.com/lingo-services/profile/internal/infrastructure/config/confpb"
	"github.com/lingo-services/profile/internal/infrastructure/devstack"
	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/services"
	"github.com/lingo-services/profile/test/testkit"
	"github.com/lingo-services/profile/test/testkit/redistest"
)

const (
	// cacheLag is how soon other instances see a change.
	cacheLag      = time.Second
	cachePatience = 10 * time.Second
	cacheTick     = 5 * time.Millisecond
)

// cached keeps states so long that only a drop can end them.
func cached(change ...func(*confpb.Cache)) func(*confpb.Bootstrap) {
	return func(c *confpb.Bootstrap) {
		c.Cache.Backend, c.Cache.Ttl = "memory", durationpb.New(time.Minute)
		for _, f := range change {
			f(c.GetCache())
		}
	}
}

// listening is an instance that hears the others, whatever stands before the database.
func listening(t *testing.T, db *testkit.Database, change ...func(*confpb.Bootstrap)) *testkit.Service {
	t.Helper()
	s := testkit.NewOn(t, db, append([]func(*confpb.Bootstrap){cached(), func(c *confpb.Bootstrap) {
		c.Messaging.Outbox.ListenUrl = testkit.Server(t).AppURL(db.Name)
	}}, change...)...)
	awaitLine(t, s, "listening for changes of cached keys", 1)
	return s
}

// awaitLine returns when the service has logged a text n times.
func awaitLine(t *testing.T, s *testkit.Service, text string, n int) {
	t.Helper()
	require.Eventually(t, func() bool { return strings.Count(s.Log.String(), text) >= n }, cachePatience, cacheTick, text)
}

// likes asks an instance, through its cache.
func likes(t testing.TB, s *testkit.Service, user models.UserID, video models.VideoID) bool {
	t.Helper()
	resp, err := s.AsUser(user).BatchQueryFavorite(t.Context(), &profilev1.BatchQueryFavoriteRequest{VideoIds: []string{video.String()}})
	require.NoError(t, err)
	return resp.GetSummaries()[0].GetState().GetHasLiked()
}

func setLike(t testing.TB, s *testkit.Service, user models.UserID, video models.VideoID, active bool) {
	t.Helper()
	action := profilev1.FavoriteAction_FAVORITE_ACTION_ADD
	if !active {
		action = profilev1.FavoriteAction_FAVORITE_ACTION_REMOVE
	}
	_, err := s.AsUser(user).MutateFavorite(t.Context(), &profilev1.MutateFavoriteRequest{VideoId: video.String(), FavoriteType: likeType, Action: action})
	require.NoError(t, err)
}

// hideLike takes a like away behind the service's back.
func hideLike(t testing.TB, s *testkit.Service, user models.UserID, video models.VideoID) {
	t.Helper()
	s.DB.Exec(t, "UPDATE profile.engagements SET deleted_at = now() WHERE user_id = $1 AND video_id = $2", uuid.UUID(user), uuid.UUID(video))
}

func TestS90_AnInstanceSeesItsOwnChangesAtOnce(t *testing.T) {
	t.Parallel()
	s := testkit.New(t, cached())
	user, video := testkit.NewUser(), testkit.NewVideo()
	for i := range 20 {
		active := i%2 == 0
		setLike(t, s, user, video, active)
		require.Equal(t, active, likes(t, s, user, video), "after change %d", i)
	}
	require.True(t, likesAfterApply(t, s, user, video))
}

// likesAfterApply changes through the other way in.
func likesAfterApply(t *testing.T, s *testkit.Service, user models.UserID, video models.VideoID) bool {
	t.Helper()
	_, err := s.Engagements.Apply(t.Context(), models.ServiceActor, []services.FavoriteCommand{{UserID: user, VideoID: video, Type: models.Like, Active: true}})
	require.NoError(t, err)
	return likes(t, s, user, video)
}

func TestM69_ReadsAreCachedUnlessSwitchedOff(t *testing.T) {
	t.Parallel()
	db := testkit.NewDatabase(t)
	on := listening(t, db)
	off := testkit.NewOn(t, db, cached(func(c *confpb.Cache) { c.Backend = "off" }))
	user, video := testkit.NewUser(), testkit.NewVideo()
	setLike(t, on, user, video, true)
	for _, s := range []*testkit.Service{on, off} {
		require.True(t, likes(t, s, user, video))
	}
	hideLike(t, on, user, video)
	require.True(t, likes(t, on, user, video))
	require.False(t, likes(t, off, user, video))
}

func TestS90_StrongReadsWhatIsStored(t *testing.T) {
	t.Parallel()
	s := listening(t, testkit.NewDatabase(t))
	user, video := testkit.NewUser(), testkit.NewVideo()
	setLike(t, s, user, video, true)
	require.True(t, likes(t, s, user, video))
	hideLike(t, s, user, video)
	require.True(t, likes(t, s, user, video), "cached")
	request := &profilev1.BatchQueryFavoriteRequest{VideoIds: []string{video.String()}}
	resp, err := s.AsUser(user).BatchQueryFavorite(strong(t.Context()), request)
	require.NoError(t, err)
	require.False(t, resp.GetSummaries()[0].GetState().GetHasLiked())

	sending := func(value string) error {
		_, err := s.As("x-apigateway-api-userinfo", devstack.UserInfo(user.String()), "x-md-consistency", value).BatchQueryFavorite(t.Context(), request)
		return err
	}
	require.NoError(t, sending("eventual"))
	require.NoError(t, sending(""))
	for _, value := range []string{"Strong", "weak", " strong"} {
		require.Equal(t, []string{"x-md-consistency"}, testkit.RequireError(t, sending(value), codes.InvalidArgument, models.ReasonInvalidArgument).Fields(), value)
	}
}

func TestS90_OtherInstancesSeeAChangeWithinASecond(t *testing.T) {
	t.Parallel()
	db := testkit.NewDatabase(t)
	a, b := listening(t, db), listening(t, db)
	user, video := testkit.NewUser(), testkit.NewVideo()
	for i := range 10 {
		active := i%2 == 0
		require.Equal(t, !active, likes(t, b, user, video), "cached by the other instance")
		setLike(t, a, user, video, active)
		require.Eventually(t, func() bool { return likes(t, b, user, video) == active }, cacheLag, cacheTick, "change %d", i)
	}
}

// More keys at once than one message holds, and than are worth naming.
func TestS90_ManyChangesReachOtherInstances(t *testing.T) {
	t.Parallel()
	db := testkit.NewDatabase(t)
	a, b := listening(t, db), listening(t, db)
	for _, n := range []int{400, 2000} {
		user := testkit.NewUser()
		var cmds []services.FavoriteCommand
		for range n {
			cmds = append(cmds, services.FavoriteCommand{UserID: user, VideoID: testkit.NewVideo(), Type: models.Like, Active: true})
		}
		for _, i := range []int{0, n / 2, n - 1} {
			require.False(t, likes(t, b, user, cmds[i].VideoID))
		}
		_, err := a.Engagements.Apply(t.Context(), models.ServiceActor, cmds)
		require.NoError(t, err)
		for _, i := range []int{0, n / 2, n - 1} {
			require.Eventually(t, func() bool { return likes(t, b, user, cmds[i].VideoID) }, cachePatience, cacheTick)
		}
	}
}

// What changed while the connection was lost was not heard: nothing from before may stay.
func TestS90_LosingTheConnectionEmptiesTheCache(t *testing.T) {
	t.Parallel()
	s := listening(t, testkit.NewDatabase(t))
	user, video := testkit.NewUser(), testkit.NewVideo()
	setLike(t, s, user, video, true)
	require.True(t, likes(t, s, user, video))
	hideLike(t, s, user, video)
	require.True(t, likes(t, s, user, video), "cached")
	testkit.Super(t, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '"+s.DB.Name+"' AND query = 'LISTEN profile_cache'")
	require.Eventually(t, func() bool { return !likes(t, s, user, video) }, cachePatience, cacheTick)
	awaitLine(t, s, "cannot listen for changes of cached keys", 1)
	awaitLine(t, s, "listening for changes of cached keys", 2)
}

func TestM168_InstancesShareRedis(t *testing.T) {
	t.Parallel()
	db, server := testkit.NewDatabase(t), redistest.New(t)
	redis := cached(func(c *confpb.Cache) { c.Backend, c.RedisUrl = "redis", server.URL() })
	a, b := testkit.NewOn(t, db, redis), testkit.NewOn(t, db, redis)
	user, video := testkit.NewUser(), testkit.NewVideo()
	for i := range 10 {
		active := i%2 == 0
		likes(t, b, user, video)
		setLike(t, a, user, video, active)
		require.Equal(t, active, likes(t, a, user, video))
		// On a busy machine a drop may come too late for its timeout; the next call makes up for it.
		require.Eventually(t, func() bool { return likes(t, a, user, video) == active && likes(t, b, user, video) == active }, cachePatience, cacheTick)
	}
	server.Kill()
	for i := range 10 {
		active := i%2 == 0
		setLike(t, a, user, video, active)
		require.Equal(t, active, likes(t, b, user, video), "without Redis the database answers")
	}
}
