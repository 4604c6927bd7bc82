package test

import (
	"context"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	profilev1 "github.com/lingo-services/profile/api/profile/v1"
	"github.com/lingo-services/profile/internal/infrastructure/config/confpb"
	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/test/testkit"
	"github.com/lingo-services/profile/test/testkit/redistest"
)

const day = 24 * time.Hour

// atOnce is how many calls of one user are in work at a time without being too many for admission.
const atOnce = 50

// limited is a service with the shipped limits, which change may alter. No day ends while a test runs.
func limited(t *testing.T, change ...func(*confpb.Limits)) *testkit.Service {
	t.Helper()
	if left := untilMidnight(); left < time.Minute {
		<-time.After(left)
	}
	return testkit.New(t, func(c *confpb.Bootstrap) {
		c.Limits.Backend = "memory"
		for _, f := range change {
			f(c.Limits)
		}
	})
}

func untilMidnight() time.Duration {
	now := time.Now().UTC()
	return now.Truncate(day).Add(day).Sub(now)
}

// likesOfADay leaves a user so many favourites.
func likesOfADay(n int64) func(*confpb.Limits) {
	return func(l *confpb.Limits) { l.FavoritesPerDay = n }
}

func anyLike() *profilev1.MutateFavoriteRequest {
	req := like()
	req.VideoId = testkit.NewVideo().String()
	return req
}

func likesOne(t *testing.T, c profilev1.ProfileServiceClient, opts ...grpc.CallOption) error {
	t.Helper()
	_, err := c.MutateFavorite(t.Context(), anyLike(), opts...)
	return err
}

func requireLimited(t *testing.T, err error) (wait time.Duration) {
	t.Helper()
	return testkit.RequireError(t, err, codes.ResourceExhausted, models.ReasonRateLimited).Retry.GetRetryDelay().AsDuration()
}

func TestS88_LikesPerSecondAreLimited(t *testing.T) {
	t.Parallel()
	s, user := limited(t), testkit.NewUser()
	const quota = 10
	var admitted, refused atomic.Int64
	begin := time.Now()
	for _, err := range testkit.Together(atOnce, func(int) error {
		_, err := s.AsUser(user).MutateFavorite(t.Context(), anyLike())
		return err
	}) {
		if err == nil {
			admitted.Add(1)
			continue
		}
		refused.Add(1)
		wait := requireLimited(t, err)
		require.Positive(t, wait)
		require.LessOrEqual(t, wait, 111*time.Millisecond, "one comes back every 100 ms")
	}
	comeBack := int64(time.Since(begin) / (100 * time.Millisecond))
	require.GreaterOrEqual(t, admitted.Load(), int64(quota))
	require.LessOrEqual(t, admitted.Load(), quota+comeBack+1)
	require.Positive(t, refused.Load())
	require.Equal(t, admitted.Load(), testkit.One[int64](t, s.DB, "SELECT count(*) FROM profile.engagements"), "what is refused is not written")

	require.NoError(t, likesOne(t, s.AsUser(testkit.NewUser())), "others are not concerned")
	for err := likesOne(t, s.AsUser(user)); err != nil; err = likesOne(t, s.AsUser(user)) {
		<-time.After(requireLimited(t, err))
	}
}

// A user who calls as fast as they can is refused, and nobody else is.
func TestT13_AUserBeyondTheLimitDisturbsNobody(t *testing.T) {
	t.Parallel()
	s, greedy := limited(t), testkit.NewUser()
	const floods, others, each = 20, 20, 5
	over := make(chan struct{})
	var refused, unexpected atomic.Int64
	var flood sync.WaitGroup
	for range floods {
		flood.Go(func() {
			for {
				select {
				case <-over:
					return
				default:
				}
				_, err := s.AsUser(greedy).MutateFavorite(context.Background(), anyLike())
				switch {
				case status.Code(err) == codes.ResourceExhausted:
					refused.Add(1)
				case err != nil:
					unexpected.Add(1)
				}
			}
		})
	}
	for _, err := range testkit.Together(others, func(int) error {
		user := testkit.NewUser()
		for range each {
			if _, err := s.AsUser(user).MutateFavorite(t.Context(), anyLike()); err != nil {
				return err
			}
		}
		return nil
	}) {
		require.NoError(t, err)
	}
	require.Eventually(t, func() bool { return refused.Load() > 0 }, 10*time.Second, 10*time.Millisecond)
	close(over)
	flood.Wait()
	require.Zero(t, unexpected.Load())
}

func TestS88_FavoritesPerDayAreLimited(t *testing.T) {
	t.Parallel()
	s, user := limited(t, likesOfADay(3)), testkit.NewUser()
	client, req := s.AsUser(user), like()
	for range 2 {
		_, err := client.MutateFavorite(t.Context(), req)
		require.NoError(t, err, "repeating counts too, though it changes nothing")
	}
	req.FavoriteType, req.Action = profilev1.FavoriteType_FAVORITE_TYPE_BOOKMARK, profilev1.FavoriteAction_FAVORITE_ACTION_REMOVE
	_, err := client.MutateFavorite(t.Context(), req)
	require.NoError(t, err)
	before := contents(t, s.DB)
	for range 3 {
		least := untilMidnight()
		wait := requireLimited(t, likesOne(t, client))
		require.LessOrEqual(t, wait, least*11/10+time.Millisecond)
		require.GreaterOrEqual(t, wait, untilMidnight())
	}
	require.Equal(t, before, contents(t, s.DB))
	require.NoError(t, likesOne(t, s.AsUser(testkit.NewUser())), "others are not concerned")
	_, err = client.BatchQueryFavorite(t.Context(), &profilev1.BatchQueryFavoriteRequest{VideoIds: []string{videoID}})
	require.NoError(t, err, "reads are not limited")
}

func TestS88_ProfileAndPreferencesShareADailyLimit(t *testing.T) {
	t.Parallel()
	s, user := limited(t, func(l *confpb.Limits) { l.UpdatesPerDay = 2 }), testkit.NewUser()
	rename := func() error {
		_, err := s.AsUser(user).UpdateProfile(t.Context(), valid["UpdateProfile"]().(*profilev1.UpdateProfileRequest))
		return err
	}
	prefer := func() error {
		_, err := s.AsUser(user).UpdatePreferences(t.Context(), valid["UpdatePreferences"]().(*profilev1.UpdatePreferencesRequest))
		return err
	}
	require.NoError(t, rename())
	require.NoError(t, prefer())
	before := contents(t, s.DB)
	requireLimited(t, rename())
	requireLimited(t, prefer())
	require.Equal(t, before, contents(t, s.DB))
	require.NoError(t, likesOne(t, s.AsUser(user)), "of another kind")
}

func TestS88_ProgressPerSecondIsLimited(t *testing.T) {
	t.Parallel()
	s, user := limited(t), testkit.NewUser()
	report := func(opts ...grpc.CallOption) error {
		_, err := s.AsUser(user).UpsertWatchProgress(t.Context(), valid["UpsertWatchProgress"]().(*profilev1.UpsertWatchProgressRequest), opts...)
		return err
	}
	var header metadata.MD
	require.NoError(t, report(grpc.Header(&header)))
	require.Equal(t, []string{`"progress";q=5;w=1`}, header.Get("ratelimit-policy"))
	var refused int
	for _, err := range testkit.Together(atOnce, func(int) error { return report() }) {
		if err != nil {
			refused++
			require.LessOrEqual(t, requireLimited(t, err), 221*time.Millisecond, "one comes back every 200 ms")
		}
	}
	require.Positive(t, refused)
	require.LessOrEqual(t, refused, atOnce-4, "one of five was taken before")
}

func TestS88_AnswersSayWhatIsLeft(t *testing.T) {
	t.Parallel()
	s, user := limited(t, likesOfADay(2)), testkit.NewUser()
	told := func(refused bool) (policy, left []string) {
		var header metadata.MD
		if err := likesOne(t, s.AsUser(user), grpc.Header(&header)); refused {
			requireLimited(t, err)
		} else {
			require.NoError(t, err)
		}
		return header.Get("ratelimit-policy"), header.Get("ratelimit")
	}
	for i, want := range []string{
		`^"favorites";r=9;t=1, "favorites-day";r=1;t=[0-9]{1,5}$`,
		`^"favorites";r=[89];t=1, "favorites-day";r=0;t=[0-9]{1,5}$`,
		`^"favorites";r=([89]|10);t=[01], "favorites-day";r=0;t=[0-9]{1,5}$`,
	} {
		policy, left := told(i == 2)
		require.Equal(t, []string{`"favorites";q=10;w=1, "favorites-day";q=2;w=86400`}, policy)
		require.Len(t, left, 1)
		require.Regexp(t, want, left[0])
	}
	var header metadata.MD
	_, err := s.AsUser(user).GetWatchProgress(t.Context(), &profilev1.GetWatchProgressRequest{VideoId: videoID}, grpc.Header(&header))
	require.NoError(t, err)
	require.Empty(t, header.Get("ratelimit"))
}

// REST has the same limits: a call counts whichever way it comes.
func TestA48_RESTAnswersALimitWithAProblem(t *testing.T) {
	t.Parallel()
	s, user := limited(t, likesOfADay(2)), testkit.NewUser()
	as := asUser(user)
	created := ask(t, s, http.MethodPut, likes, "", as...)
	require.Less(t, created.code, http.StatusBadRequest, created.body)
	require.Equal(t, `"favorites";q=10;w=1, "favorites-day";q=2;w=86400`, created.header.Get("RateLimit-Policy"))
	require.Regexp(t, `^"favorites";r=9;t=1, "favorites-day";r=1;t=[0-9]+$`, created.header.Get("RateLimit"))
	require.NoError(t, likesOne(t, s.AsUser(user)))
	before := contents(t, s.DB)
	for range 2 {
		least := untilMidnight()
		refused := ask(t, s, http.MethodDelete, likes, "", as...)
		require.Equal(t, http.StatusTooManyRequests, refused.code, refused.body)
		require.Equal(t, string(models.ReasonRateLimited), refused.problem.Reason)
		require.Equal(t, `"favorites";q=10;w=1, "favorites-day";q=2;w=86400`, refused.header.Get("RateLimit-Policy"))
		require.Contains(t, refused.header.Get("RateLimit"), `"favorites-day";r=0;t=`)
		wait, err := strconv.Atoi(refused.header.Get("Retry-After"))
		require.NoError(t, err)
		require.GreaterOrEqual(t, time.Duration(wait)*time.Second, untilMidnight())
		require.LessOrEqual(t, time.Duration(wait)*time.Second, least*11/10+2*time.Second)
	}
	require.Equal(t, before, contents(t, s.DB))
	require.Less(t, ask(t, s, http.MethodPut, likes, "", asUser(testkit.NewUser())...).code, http.StatusBadRequest)
}

func TestS87_ValidationComesBeforeTheRateLimit(t *testing.T) {
	t.Parallel()
	s, user := limited(t, likesOfADay(1)), testkit.NewUser()
	invalid := func() {
		_, err := s.AsUser(user).MutateFavorite(t.Context(), broken(""))
		testkit.RequireError(t, err, codes.InvalidArgument, models.ReasonInvalidArgument)
	}
	for range 20 {
		invalid()
	}
	require.NoError(t, likesOne(t, s.AsUser(user)), "what is not valid counts nowhere")
	requireLimited(t, likesOne(t, s.AsUser(user)))
	invalid()
}

func TestS87_TheRateLimitComesBeforeTheStoredAnswer(t *testing.T) {
	t.Parallel()
	s, user := limited(t, likesOfADay(2)), testkit.NewUser()
	keyed := func() (replayed bool, err error) {
		var header metadata.MD
		req := like()
		req.IdempotencyKey = "k"
		_, err = s.AsUser(user).MutateFavorite(t.Context(), req, grpc.Header(&header))
		return len(header.Get("idempotency-replayed")) > 0, err
	}
	for _, want := range []bool{false, true} {
		replayed, err := keyed()
		require.NoError(t, err)
		require.Equal(t, want, replayed)
	}
	_, err := keyed()
	requireLimited(t, err)
}

func TestS88_ServicesHaveLimitsOfTheirOwn(t *testing.T) {
	t.Parallel()
	s, user := limited(t, likesOfADay(1), func(l *confpb.Limits) {
		l.ServicePerSecond, l.Services = 1, []*confpb.Limits_Service{{Name: "dev-admin", PerSecond: 1000}}
	}), testkit.NewUser()
	byService := func(role string) (admitted int, header metadata.MD) {
		req := like()
		req.UserId = user.String()
		// All would be admitted only if they took a second each.
		for _, err := range testkit.Together(atOnce, func(i int) error {
			var opts []grpc.CallOption
			if i == 0 {
				opts = append(opts, grpc.Header(&header))
			}
			_, err := s.AsService(role).MutateFavorite(t.Context(), req, opts...)
			return err
		}) {
			if err == nil {
				admitted++
				continue
			}
			requireLimited(t, err)
		}
		return admitted, header
	}
	admitted, header := byService("writer")
	require.Less(t, admitted, atOnce)
	require.Positive(t, admitted)
	require.Equal(t, []string{`"service";q=1;w=1`}, header.Get("ratelimit-policy"))
	admitted, header = byService("admin")
	require.Equal(t, atOnce, admitted, "more than the user may, and more than other services")
	require.Equal(t, []string{`"service";q=1000;w=1`}, header.Get("ratelimit-policy"))
	require.NoError(t, likesOne(t, s.AsUser(user)), "the user's own limit is as it was")
	requireLimited(t, likesOne(t, s.AsUser(user)))
}

func TestS88_WithoutRedisCallsAreAdmittedAndCounted(t *testing.T) {
	t.Parallel()
	server := redistest.New(t)
	s := limited(t, likesOfADay(1), func(l *confpb.Limits) { l.Backend, l.RedisUrl = "redis", server.URL() })
	var user models.UserID
	require.Eventually(t, func() bool { // a busy machine's Redis may not answer in time
		user = testkit.NewUser()
		require.NoError(t, likesOne(t, s.AsUser(user)))
		known := server.Client().Exists(context.Background(), "profile:limit:{"+user.String()+"}:favorites-day").Val() == 1
		return known && likesOne(t, s.AsUser(user)) != nil
	}, 10*time.Second, 10*time.Millisecond)
	server.Kill()
	require.NoError(t, likesOne(t, s.AsUser(user)), "Redis knew that the day's likes are used up")
	requireLimited(t, likesOne(t, s.AsUser(user)))
	_, metrics := admin(t, s, "/metrics")
	for _, outcome := range []string{"admitted", "refused", "admitted_locally", "refused_locally"} {
		require.Regexp(t, `profile_rate_limit_total{limit="favorites-day",outcome="`+outcome+`"} [1-9]`, metrics)
	}
	require.NotContains(t, metrics, `profile_rate_limit_total{limit="favorites",outcome="refused`, "the second would have admitted them")
}
