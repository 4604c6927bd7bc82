package contract

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	profilev1 "github.com/lingo-services/profile/api/profile/v1"
	"github.com/lingo-services/profile/internal/controllers/problem"
	"github.com/lingo-services/profile/internal/infrastructure/config/confpb"
	"github.com/lingo-services/profile/internal/infrastructure/devstack"
	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/models/po"
	"github.com/lingo-services/profile/test/testkit"
)

// codeOf spells gRPC codes as the contract does.
func codeOf(c codes.Code) string {
	if c == codes.Canceled {
		return "CANCELLED"
	}
	return strings.ToUpper(regexp.MustCompile(`([a-z])([A-Z])`).ReplaceAllString(c.String(), "${1}_${2}"))
}

// httpOf are the statuses that S89 allows per code.
var httpOf = map[codes.Code][]int{
	codes.InvalidArgument: {400, 422}, codes.Unauthenticated: {401}, codes.PermissionDenied: {403}, codes.NotFound: {404}, codes.Aborted: {409},
	codes.FailedPrecondition: {409, 412}, codes.ResourceExhausted: {429}, codes.Unimplemented: {501}, codes.Unavailable: {503},
	codes.DeadlineExceeded: {504}, codes.Internal: {500}, codes.Canceled: {499},
}

// documented reads errors.proto: what the comment of each reason says.
func documented(t *testing.T) map[models.Reason]string {
	t.Helper()
	text, err := os.ReadFile("../../api/profile/v1/errors.proto")
	require.NoError(t, err)
	comments := map[models.Reason]string{}
	for _, match := range regexp.MustCompile(`(?m)((?:^ *//.*\n)+) *ERROR_REASON_(\w+) = \d+;`).FindAllStringSubmatch(string(text), -1) {
		comment := strings.Join(strings.Fields(strings.ReplaceAll(match[1], "//", "")), " ")
		comments[models.Reason(match[2])] = comment
	}
	return comments
}

func details(t *testing.T, st *status.Status) (d testkit.ErrorDetails) {
	t.Helper()
	return testkit.RequireError(t, st.Err(), st.Code(), models.Reason(st.Details()[0].(*errdetails.ErrorInfo).GetReason()))
}

func TestS89_CatalogueIsComplete(t *testing.T) {
	t.Parallel()
	comments := documented(t)
	for _, reason := range models.Reasons() {
		t.Run(string(reason), func(t *testing.T) {
			t.Parallel()
			entry := reason.Entry()
			failure := &models.Error{Reason: reason, Message: entry.Title}
			st := problem.Status(failure)
			require.NotContains(t, []codes.Code{codes.OK, codes.Unknown}, st.Code())
			require.Contains(t, httpOf[st.Code()], entry.HTTPStatus)
			require.NotEmpty(t, entry.Title)
			d := details(t, st)
			require.Equal(t, "profile", d.Info.GetDomain())
			require.Equal(t, string(reason), d.Info.GetReason())
			require.Equal(t, entry.Retryable, d.Retry != nil, "RetryInfo exactly when retrying can help")
			if d.Retry != nil {
				require.Positive(t, d.Retry.GetRetryDelay().AsDuration())
			}
			require.Equal(t, st.Code() == codes.FailedPrecondition, d.Precondition != nil)

			want := fmt.Sprintf("%s, %d", codeOf(st.Code()), entry.HTTPStatus)
			if entry.Retryable {
				want += ", retryable"
			}
			require.True(t, strings.HasPrefix(comments[reason], want+". "), "errors.proto says %q, the catalogue %q", comments[reason], want)
		})
	}
}

func TestS89_CausesStayInside(t *testing.T) {
	t.Parallel()
	cause := errors.New("canary: connection to 10.0.0.1 refused")
	for _, reason := range models.Reasons() {
		failure := (&models.Error{Reason: reason, Message: reason.Entry().Title}).Because(cause)
		text := problem.Status(problem.From(fmt.Errorf("outer: %w", failure))).Proto().String()
		require.NotContains(t, text, "canary", reason)
		require.NotContains(t, text, "outer", reason)
	}
	require.Equal(t, models.ReasonInternal, problem.From(cause).Reason, "what nobody catalogued is INTERNAL")
	require.NotContains(t, problem.Status(problem.From(cause)).Proto().String(), "canary")
	require.Equal(t, models.ReasonDeadlineExceeded, problem.From(fmt.Errorf("x: %w", context.DeadlineExceeded)).Reason)
	require.Equal(t, models.ReasonCancelled, problem.From(fmt.Errorf("x: %w", context.Canceled)).Reason)
}

func TestS89_RetryDelayIsTheErrorsOwnWhenItHasOne(t *testing.T) {
	t.Parallel()
	failure := *models.ErrUnavailable
	failure.RetryAfter = 3 * time.Second
	require.Equal(t, 3*time.Second, details(t, problem.Status(&failure)).Retry.GetRetryDelay().AsDuration())
}

// provocations cause each reason through gRPC, by what a caller does or what happens to the service.
var provocations = map[models.Reason]func(t *testing.T) error{
	models.ReasonInvalidArgument: func(t *testing.T) error {
		return like(t, testkit.New(t), testkit.NewUser(), func(r *profilev1.MutateFavoriteRequest) { r.VideoId = "no" })
	},
	models.ReasonOccurredAtInFuture: func(t *testing.T) error {
		return like(t, testkit.New(t), testkit.NewUser(), func(r *profilev1.MutateFavoriteRequest) {
			r.OccurredAt = timestamppb.New(time.Now().Add(time.Hour))
		})
	},
	models.ReasonInvalidPageToken: func(t *testing.T) error {
		_, err := testkit.New(t).AsUser(testkit.NewUser()).ListFavorites(t.Context(), &profilev1.ListFavoritesRequest{PageToken: "20"})
		return err
	},
	models.ReasonIdempotencyKeyReused: func(t *testing.T) error {
		s, user := testkit.New(t), testkit.NewUser()
		video := testkit.NewVideo().String()
		keyed := func(kind profilev1.FavoriteType) error {
			return like(t, s, user, func(r *profilev1.MutateFavoriteRequest) {
				r.VideoId, r.FavoriteType, r.IdempotencyKey = video, kind, "k"
			})
		}
		require.NoError(t, keyed(profilev1.FavoriteType_FAVORITE_TYPE_LIKE))
		return keyed(profilev1.FavoriteType_FAVORITE_TYPE_BOOKMARK)
	},
	models.ReasonUnauthenticated: func(t *testing.T) error {
		_, err := testkit.New(t).As().GetProfile(t.Context(), &profilev1.GetProfileRequest{})
		return err
	},
	models.ReasonPermissionDenied: func(t *testing.T) error {
		_, err := testkit.New(t).AsUser(testkit.NewUser()).GetProfile(t.Context(), &profilev1.GetProfileRequest{UserId: testkit.NewUser().String()})
		return err
	},
	models.ReasonProfileNotFound: func(t *testing.T) error {
		_, err := testkit.New(t).AsUser(testkit.NewUser()).GetProfile(t.Context(), &profilev1.GetProfileRequest{})
		return err
	},
	models.ReasonVersionConflict: func(t *testing.T) error {
		return rename(t, testkit.New(t).AsUser(testkit.NewUser()), wrapperspb.Int64(3))
	},
	models.ReasonPreferenceConflict: func(t *testing.T) error {
		_, err := testkit.New(t).AsUser(testkit.NewUser()).UpdatePreferences(t.Context(), &profilev1.UpdatePreferencesRequest{
			Preferences: &profilev1.Preferences{LearningGoal: "B2"}, ExpectedProfileVersion: wrapperspb.Int64(3),
		})
		return err
	},
	models.ReasonIdempotencyInProgress: func(t *testing.T) error {
		s, user := testkit.New(t), testkit.NewUser()
		require.NoError(t, like(t, s, user, nil))
		video := testkit.NewVideo().String()
		keyed := func(r *profilev1.MutateFavoriteRequest) { r.VideoId, r.IdempotencyKey = video, "k" }
		held := testkit.HoldUser(t, s, user)
		first := make(chan error, 1)
		go func() { first <- like(t, s, user, keyed) }()
		held.AwaitWaiter(t)
		err := like(t, s, user, keyed)
		held.Release()
		require.NoError(t, <-first)
		return err
	},
	models.ReasonTransactionConflict: func(t *testing.T) error {
		s := testkit.New(t)
		failWrites(t, s, "40001")
		return like(t, s, testkit.NewUser(), nil)
	},
	models.ReasonPreconditionFailed: func(t *testing.T) error {
		s, user := testkit.New(t), testkit.NewUser()
		return rename(t, s.As("x-apigateway-api-userinfo", devstack.UserInfo(user.String()), "x-md-if-match", `"old"`), nil)
	},
	models.ReasonVideoUnavailable: func(t *testing.T) error {
		s, video := testkit.New(t), testkit.NewVideo()
		s.Publish(t, video, func(c *po.VideoChange) { c.Kind = po.VideoDeleted })
		return like(t, s, testkit.NewUser(), func(r *profilev1.MutateFavoriteRequest) { r.VideoId = video.String() })
	},
	models.ReasonFavoriteLimitReached: func(t *testing.T) error {
		s, user := testkit.New(t, func(c *confpb.Bootstrap) { c.Engagement.MaxActivePerType = 1 }), testkit.NewUser()
		require.NoError(t, like(t, s, user, nil))
		return like(t, s, user, nil)
	},
	models.ReasonMethodNotAvailable: func(t *testing.T) error {
		_, err := testkit.New(t).AsService("compliance").PurgeUserData(t.Context(), &profilev1.PurgeUserDataRequest{UserId: testkit.NewUser().String()})
		return err
	},
	models.ReasonUnavailable: func(t *testing.T) error {
		s := testkit.New(t, func(c *confpb.Bootstrap) { c.Data.Postgres.Url = "postgres://nobody@127.0.0.1:1/none" })
		return like(t, s, testkit.NewUser(), nil)
	},
	models.ReasonDeadlineExceeded: func(t *testing.T) error {
		s, user := testkit.New(t), testkit.NewUser()
		require.NoError(t, like(t, s, user, nil))
		hasty := testkit.NewOn(t, s.DB, func(c *confpb.Bootstrap) {
			c.Server.Timeouts.Command.Seconds, c.Server.Timeouts.Command.Nanos = 0, 50_000_000
		})
		testkit.HoldUser(t, s, user)
		return like(t, hasty, user, nil)
	},
	models.ReasonInternal: func(t *testing.T) error {
		s := testkit.New(t)
		s.DB.Exec(t, "ALTER TABLE profile.engagements RENAME TO gone")
		return like(t, s, testkit.NewUser(), nil)
	},
	models.ReasonOverloaded: func(t *testing.T) error {
		s, user := testkit.New(t, func(c *confpb.Bootstrap) { c.Admission.PerUser = 1 }), testkit.NewUser()
		require.NoError(t, like(t, s, user, nil))
		held := testkit.HoldUser(t, s, user)
		first := testkit.Later(func() error { return like(t, s, user, nil) })
		held.AwaitWaiter(t)
		err := like(t, s, user, nil)
		require.NoError(t, like(t, s, testkit.NewUser(), nil), "others are not concerned")
		held.Release()
		require.NoError(t, <-first)
		return err
	},
	models.ReasonRateLimited: func(t *testing.T) error {
		s, user := testkit.New(t, func(c *confpb.Bootstrap) { c.Limits.Backend, c.Limits.FavoritesPerSecond = "memory", 1 }), testkit.NewUser()
		// All would be admitted only if they took a second each; more at a time of one user would be OVERLOADED.
		errs := testkit.Together(50, func(int) error { return like(t, s, user, nil) })
		return errs[slices.IndexFunc(errs, func(err error) bool { return err != nil })]
	},
	models.ReasonCounterOverflow: func(t *testing.T) error {
		s, video := testkit.New(t), testkit.NewVideo()
		s.DB.Exec(t, "INSERT INTO profile.video_stats (video_id, like_count) VALUES ($1, 9223372036854775807)", uuid.UUID(video))
		return like(t, s, testkit.NewUser(), func(r *profilev1.MutateFavoriteRequest) { r.VideoId = video.String() })
	},
}

// unprovokable are the reasons no caller can be made to see, and why.
var unprovokable = map[models.Reason]string{
	models.ReasonCancelled: "a caller that gave up reads its own status, not the server's; TestS91 of the controllers finds it in the log",
}

func TestS89_EveryReasonIsProvokedOrExplained(t *testing.T) {
	t.Parallel()
	known := slices.Collect(maps.Keys(provocations))
	for reason, why := range unprovokable {
		require.NotEmpty(t, why)
		known = append(known, reason)
	}
	require.ElementsMatch(t, models.Reasons(), known)
}

func TestP24_EveryReasonReachesTheCallerAsCatalogued(t *testing.T) {
	t.Parallel()
	for reason, provoke := range provocations {
		t.Run(string(reason), func(t *testing.T) {
			t.Parallel()
			want := problem.Status(&models.Error{Reason: reason})
			d := testkit.RequireError(t, provoke(t), want.Code(), reason)
			require.Equal(t, reason.Entry().Retryable, d.Retry != nil)
			if reason == models.ReasonVersionConflict || reason == models.ReasonPreferenceConflict {
				require.Equal(t, "0", d.Info.GetMetadata()["current_version"])
			}
		})
	}
}

func like(t *testing.T, s *testkit.Service, user models.UserID, change func(*profilev1.MutateFavoriteRequest)) error {
	t.Helper()
	req := &profilev1.MutateFavoriteRequest{
		VideoId: testkit.NewVideo().String(), FavoriteType: profilev1.FavoriteType_FAVORITE_TYPE_LIKE,
		Action: profilev1.FavoriteAction_FAVORITE_ACTION_ADD,
	}
	if change != nil {
		change(req)
	}
	_, err := s.AsUser(user).MutateFavorite(t.Context(), req)
	return err
}

func rename(t *testing.T, c profilev1.ProfileServiceClient, expected *wrapperspb.Int64Value) error {
	t.Helper()
	_, err := c.UpdateProfile(t.Context(), &profilev1.UpdateProfileRequest{
		Profile: &profilev1.Profile{DisplayName: "Ada"}, ExpectedProfileVersion: expected,
	})
	return err
}

// failWrites makes every new favourite fail with a SQLSTATE.
func failWrites(t *testing.T, s *testkit.Service, sqlstate string) {
	t.Helper()
	s.DB.Exec(t, `CREATE FUNCTION profile.fail() RETURNS trigger LANGUAGE plpgsql AS
		$$ BEGIN RAISE EXCEPTION 'injected' USING ERRCODE = '`+sqlstate+`'; END $$`)
	s.DB.Exec(t, "CREATE TRIGGER fail BEFORE INSERT ON profile.engagements FOR EACH ROW EXECUTE FUNCTION profile.fail()")
}
