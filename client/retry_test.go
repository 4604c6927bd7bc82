package client_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"pgregory.net/rapid"

	profilev1 "github.com/lingo-services/profile/api/profile/v1"
	"github.com/lingo-services/profile/client"
	"github.com/lingo-services/profile/internal/controllers/problem"
	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/test/testkit"
)

// stub answers MutateFavorite and GetProfile as told.
type stub struct {
	profilev1.UnimplementedProfileServiceServer
	calls  []time.Time
	answer func(ctx context.Context, number int) error
}

func (s *stub) next(ctx context.Context) error {
	s.calls = append(s.calls, time.Now())
	return s.answer(ctx, len(s.calls))
}

func (s *stub) MutateFavorite(ctx context.Context, _ *profilev1.MutateFavoriteRequest) (*profilev1.MutateFavoriteResponse, error) {
	return &profilev1.MutateFavoriteResponse{Changed: true}, s.next(ctx)
}

func (s *stub) GetProfile(ctx context.Context, _ *profilev1.GetProfileRequest) (*profilev1.GetProfileResponse, error) {
	return &profilev1.GetProfileResponse{}, s.next(ctx)
}

func (s *stub) waits() (waits []time.Duration) {
	for i := 1; i < len(s.calls); i++ {
		waits = append(waits, s.calls[i].Sub(s.calls[i-1]))
	}
	return waits
}

func stubbed(t testing.TB, s *stub, opts ...client.Option) *client.Client {
	t.Helper()
	server := grpc.NewServer(grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 30 * time.Second, PermitWithoutStream: true}))
	profilev1.RegisterProfileServiceServer(server, s)
	return serve(t, server, opts...)
}

func failing(e *models.Error) *stub {
	return &stub{answer: func(context.Context, int) error { return problem.Status(e).Err() }}
}

func TestWhatTheCatalogueCallsRetryableIsRepeatedAndNothingElse(t *testing.T) {
	t.Parallel()
	for _, reason := range models.Reasons() {
		t.Run(string(reason), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				service := failing(&models.Error{Reason: reason, Message: "no"})
				c := stubbed(t, service)
				want := 1
				if reason.Entry().Retryable {
					want = 5
				}

				_, err := c.MutateFavorite(t.Context(), like())

				require.Equal(t, "ERROR_REASON_"+string(reason), client.ReasonOf(err).String())
				require.Len(t, service.calls, want)
			})
		})
	}
}

func TestCodesWithoutWordsOfTheService(t *testing.T) {
	t.Parallel()
	for code := codes.Canceled; code <= codes.Unauthenticated; code++ {
		t.Run(code.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				service := &stub{answer: func(context.Context, int) error { return status.Error(code, "of a proxy") }}
				c := stubbed(t, service)
				want := 1
				if code == codes.Unavailable {
					want = 5
				}

				_, err := c.GetProfile(t.Context(), &profilev1.GetProfileRequest{})

				require.Equal(t, code, status.Code(err))
				require.Len(t, service.calls, want)
			})
		})
	}
}

func TestWaitsAreWhatRetryInfoAsksAndAGrowingRandomPart(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		asked := time.Duration(rapid.Int64Range(1, int64(30*time.Second)).Draw(rt, "asked"))
		synctest.Test(t, func(t *testing.T) {
			jitter := 100 * time.Millisecond
			for _, wait := range waitsOf(t, failing(models.ErrOverloaded.After(asked))) {
				require.GreaterOrEqual(t, wait, asked)
				require.LessOrEqual(t, wait, asked+jitter)
				jitter *= 2
			}
		})
	})
}

// waitsOf are the waits of one call that never succeeds.
func waitsOf(t testing.TB, service *stub) []time.Duration {
	t.Helper()
	c := stubbed(t, service)
	_, err := c.MutateFavorite(t.Context(), like())
	require.Error(t, err)
	require.Len(t, service.calls, 5)
	return service.waits()
}

func TestWithoutRetryInfoTheBackoffIsFullJitter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var first []time.Duration
		for range 64 {
			waits := waitsOf(t, &stub{answer: func(context.Context, int) error { return status.Error(codes.Unavailable, "gone") }})
			most := 100 * time.Millisecond
			for _, wait := range waits {
				require.LessOrEqual(t, wait, most)
				most *= 2
			}
			first = append(first, waits[0])
		}
		require.Condition(t, func() bool { return spread(first) > 50*time.Millisecond }, "%v", first)
	})
}

func spread(all []time.Duration) time.Duration {
	low, high := all[0], all[0]
	for _, d := range all {
		low, high = min(low, d), max(high, d)
	}
	return high - low
}

func TestTheDeadlineOfTheCallerIsKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		service := failing(models.ErrOverloaded.After(2 * time.Second))
		c := stubbed(t, service)
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()

		_, err := c.MutateFavorite(ctx, like())

		require.Equal(t, profilev1.ErrorReason_ERROR_REASON_OVERLOADED, client.ReasonOf(err), "the last answer, not the end of the time")
		require.Len(t, service.calls, 3)
		require.NoError(t, ctx.Err())
		require.Less(t, time.Since(start), 5*time.Second)
	})
}

func TestACallerWhoGivesUpDoesNotWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		service := failing(models.ErrOverloaded.After(20 * time.Second))
		c := stubbed(t, service)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		start := time.Now()

		_, err := c.MutateFavorite(ctx, like())

		require.Equal(t, codes.Canceled, status.Code(err))
		require.Len(t, service.calls, 1)
		require.Equal(t, time.Second, time.Since(start))
	})
}

func TestALongWaitIsLeftToTheCaller(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		service := failing(models.ErrOverloaded.After(31 * time.Second))
		c := stubbed(t, service)
		start := time.Now()

		_, err := c.MutateFavorite(t.Context(), like())

		var refused *client.Error
		require.ErrorAs(t, err, &refused)
		require.Equal(t, 31*time.Second, refused.RetryAfter)
		require.Len(t, service.calls, 1)
		require.Equal(t, start, time.Now())
	})
}

func TestRetriesCanBeBounded(t *testing.T) {
	t.Parallel()
	for _, most := range []int{0, 1, 7} {
		synctest.Test(t, func(t *testing.T) {
			service := failing(models.ErrUnavailable)
			c := stubbed(t, service, client.WithRetries(most))

			_, err := c.GetProfile(t.Context(), &profilev1.GetProfileRequest{})

			require.Equal(t, profilev1.ErrorReason_ERROR_REASON_UNAVAILABLE, client.ReasonOf(err))
			require.Len(t, service.calls, most+1)
		})
	}
}

// The service ends connections that ping more often than every 30 s.
func TestKeepaliveRespectsTheService(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		service := &stub{answer: func(ctx context.Context, _ int) error {
			select {
			case <-time.After(time.Hour):
			case <-ctx.Done():
			}
			return ctx.Err()
		}}
		c := stubbed(t, service)

		_, err := c.MutateFavorite(t.Context(), like())

		require.NoError(t, err)
		require.Len(t, service.calls, 1)
	})
}

// lost is a reply that does not arrive, though the service has done what was asked.
func lost(send func() error) error {
	if err := send(); err != nil {
		return err
	}
	return status.Error(codes.Unavailable, "the connection broke")
}

func TestI2_AReplyLostAfterTheCommitIsFetchedAgainAndAppliedOnce(t *testing.T) {
	t.Parallel()
	service := testkit.New(t)
	user := testkit.NewUser()
	calls := &journal{answer: func(number int, send func() error) error {
		if number < 3 {
			return lost(send)
		}
		return send()
	}}
	c := to(t, service, calls.option())
	var header metadata.MD

	resp, err := c.MutateFavorite(client.AsUser(t.Context(), user.String()), like(), grpc.Header(&header))

	require.NoError(t, err)
	require.True(t, resp.GetChanged(), "the answer of the first attempt")
	require.Equal(t, []string{"true"}, header.Get("idempotency-replayed"))
	keys := calls.keys()
	require.Len(t, keys, 3)
	require.NotEmpty(t, keys[0])
	require.Equal(t, []string{keys[0], keys[0], keys[0]}, keys)
	require.Len(t, service.Events(t, user), 1)
	require.EqualValues(t, 1, resp.GetStats().GetLikeCount())
}

func TestS63_AConditionalUpdateSurvivesALostReply(t *testing.T) {
	t.Parallel()
	service := testkit.New(t)
	ctx := client.AsUser(t.Context(), testkit.NewUser().String())
	calls := &journal{answer: func(number int, send func() error) error {
		if number%2 == 1 {
			return lost(send)
		}
		return send()
	}}
	c := to(t, service, calls.option())

	resp, err := c.UpdateProfile(ctx, &profilev1.UpdateProfileRequest{
		Profile: &profilev1.Profile{DisplayName: "Ada"}, ExpectedProfileVersion: absent(),
	})

	require.NoError(t, err, "without its key the second attempt is a VERSION_CONFLICT")
	require.EqualValues(t, 1, resp.GetProfile().GetProfileVersion())
}
