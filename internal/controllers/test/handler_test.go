package test

import (
	"context"
	"encoding/base64"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	profilev1 "github.com/lingo-services/profile/api/profile/v1"
	"github.com/lingo-services/profile/internal/infrastructure/config/confpb"
	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/models/po"
	"github.com/lingo-services/profile/test/testkit"
)

func withoutInsecureMode(c *confpb.Bootstrap) { c.Auth.InsecureDev, c.Auth.DevServices = false, nil }

// broken is a request that names user and breaks every other rule it can.
func broken(user string) *profilev1.MutateFavoriteRequest {
	return &profilev1.MutateFavoriteRequest{UserId: user, VideoId: "no", IdempotencyKey: "not visible"}
}

func TestS8_ASingleHeaderThatComesTwiceIsRefusedByItsName(t *testing.T) {
	t.Parallel()
	s, user := testkit.New(t), testkit.NewUser()
	for key, value := range map[string]string{
		"x-md-idempotency-key": "k", "x-md-client-time": time.Now().Format(time.RFC3339), "x-md-consistency": "strong",
	} {
		for _, m := range methods() {
			err := call(t, s, m, request(t, m, user.String()), append(caller(t, m, user), key, value, key, value))
			require.Equal(t, []string{key}, testkit.RequireError(t, err, codes.InvalidArgument, models.ReasonInvalidArgument).Fields(), "%s", m.Name())
		}
	}
	both := append(asUser(user), "x-md-consistency", "strong", "x-md-consistency", "strong", "x-md-client-time", "no", "x-md-client-time", "no")
	_, err := s.As(both...).MutateFavorite(t.Context(), &profilev1.MutateFavoriteRequest{VideoId: "no"})
	require.Equal(t, []string{"action", "favorite_type", "video_id", "x-md-client-time", "x-md-consistency"},
		testkit.RequireError(t, err, codes.InvalidArgument, models.ReasonInvalidArgument).Fields(), "with everything else")
}

func TestS8_ConditionsThatComeTwiceAreOneList(t *testing.T) {
	t.Parallel()
	s, user := testkit.New(t), testkit.NewUser()
	naming := func(name string) *profilev1.UpdateProfileRequest {
		return &profilev1.UpdateProfileRequest{Profile: &profilev1.Profile{DisplayName: name}}
	}
	_, err := s.AsUser(user).UpdateProfile(t.Context(), naming("Ada"))
	require.NoError(t, err)
	under := func(key string, tags ...string) profilev1.ProfileServiceClient {
		pairs := asUser(user)
		for _, tag := range tags {
			pairs = append(pairs, key, tag)
		}
		return s.As(pairs...)
	}
	first, second, never := models.ETag(user, 1), models.ETag(user, 2), models.ETag(user, 99)
	_, err = under("x-md-if-match", never, first).UpdateProfile(t.Context(), naming("Grace"))
	require.NoError(t, err)
	_, err = under("x-md-if-match", never, first, `"x"`).UpdateProfile(t.Context(), naming("Hedy"))
	testkit.RequireError(t, err, codes.FailedPrecondition, models.ReasonPreconditionFailed)
	for _, tags := range [][]string{{never, second}, {second, never}, {first + ", " + never, "W/" + second}} {
		resp, err := under("x-md-if-none-match", tags...).GetProfile(t.Context(), &profilev1.GetProfileRequest{})
		require.NoError(t, err)
		require.True(t, resp.GetNotModified())
	}
	resp, err := under("x-md-if-none-match", never, first).GetProfile(t.Context(), &profilev1.GetProfileRequest{})
	require.NoError(t, err)
	require.False(t, resp.GetNotModified())
}

// Whoever sends a condition relies on it, however it got lost on the way.
func TestS62_AConditionWithoutATagIsRefused(t *testing.T) {
	t.Parallel()
	s, user := testkit.New(t), testkit.NewUser()
	naming := &profilev1.UpdateProfileRequest{Profile: &profilev1.Profile{DisplayName: "Ada"}}
	for _, nothing := range []string{"", " ", ",", " , ,"} {
		_, err := s.As(append(asUser(user), "x-md-if-match", nothing)...).UpdateProfile(t.Context(), naming)
		require.Equal(t, []string{"x-md-if-match"}, testkit.RequireError(t, err, codes.InvalidArgument, models.ReasonInvalidArgument).Fields())
		refused := ask(t, s, http.MethodPatch, me, `{"display_name": "Ada"}`, append(asUser(user), "If-Match", nothing)...)
		require.Equal(t, http.StatusBadRequest, refused.code, refused.body)
		require.Equal(t, []string{"If-Match"}, refused.fields())
	}
	require.Zero(t, s.DB.RowCounts(t)["users"])
}

func TestS87_AuthenticationComesFirst(t *testing.T) {
	t.Parallel()
	s := testkit.New(t)
	_, err := s.As().MutateFavorite(t.Context(), broken("rubbish"))
	testkit.RequireError(t, err, codes.Unauthenticated, models.ReasonUnauthenticated)
	for _, m := range guarded(t) {
		testkit.RequireError(t, call(t, s, m, []byte{0xff, 0xff}, nil), codes.Unauthenticated, models.ReasonUnauthenticated)
	}
}

func TestS87_AuthorisationComesBeforeValidation(t *testing.T) {
	t.Parallel()
	s := testkit.New(t)
	_, err := s.AsUser(testkit.NewUser()).MutateFavorite(t.Context(), broken(testkit.NewUser().String()))
	testkit.RequireError(t, err, codes.PermissionDenied, models.ReasonPermissionDenied)
	_, err = s.AsService("reader").MutateFavorite(t.Context(), broken("rubbish"))
	testkit.RequireError(t, err, codes.PermissionDenied, models.ReasonPermissionDenied)
	_, err = s.AsUser(testkit.NewUser()).PurgeUserData(t.Context(), &profilev1.PurgeUserDataRequest{UserId: "rubbish"})
	testkit.RequireError(t, err, codes.PermissionDenied, models.ReasonPermissionDenied)
}

func TestS87_ValidationComesBeforeTheStoredAnswer(t *testing.T) {
	t.Parallel()
	s, user := testkit.New(t), testkit.NewUser()
	req := like()
	req.IdempotencyKey = "k"
	_, err := s.AsUser(user).MutateFavorite(t.Context(), req)
	require.NoError(t, err)
	req.Action = 99
	_, err = s.AsUser(user).MutateFavorite(t.Context(), req)
	testkit.RequireError(t, err, codes.InvalidArgument, models.ReasonInvalidArgument)
}

func TestS87_TheStoredAnswerComesBeforeTheBusinessRules(t *testing.T) {
	t.Parallel()
	s, user := testkit.New(t), testkit.NewUser()
	req := like()
	req.IdempotencyKey = "k"
	first, err := s.AsUser(user).MutateFavorite(t.Context(), req)
	require.NoError(t, err)
	video, err := models.ParseVideoID(videoID)
	require.NoError(t, err)
	s.Publish(t, video, func(c *po.VideoChange) { c.Kind = po.VideoDeleted })

	var header metadata.MD
	again, err := s.AsUser(user).MutateFavorite(t.Context(), req, grpc.Header(&header))
	require.NoError(t, err, "the video is gone, the answer is not")
	require.True(t, proto.Equal(first, again))
	require.Equal(t, []string{"true"}, header.Get("idempotency-replayed"))

	other := proto.CloneOf(req)
	other.FavoriteType = profilev1.FavoriteType_FAVORITE_TYPE_BOOKMARK
	_, err = s.AsUser(user).MutateFavorite(t.Context(), other)
	testkit.RequireError(t, err, codes.InvalidArgument, models.ReasonIdempotencyKeyReused)

	req.IdempotencyKey = ""
	_, err = s.AsUser(testkit.NewUser()).MutateFavorite(t.Context(), req)
	testkit.RequireError(t, err, codes.FailedPrecondition, models.ReasonVideoUnavailable)
}

func TestS89_UndecodableMessagesAreInvalidArgumentAndDoNothing(t *testing.T) {
	t.Parallel()
	s, user := furnished(t)
	before := contents(t, s.DB)
	for _, m := range methods() {
		for note, tail := range map[string][]byte{"truncated": {0x12, 0x7f, 'x'}, "invalid UTF-8": bytesField(1, "\xff")} {
			err := call(t, s, m, append(encoded(t, m, user), tail...), caller(t, m, user))
			details := testkit.RequireError(t, err, codes.InvalidArgument, models.ReasonInvalidArgument)
			require.Equal(t, []string{""}, details.Fields(), "%s %s: no field can be blamed", m.Name(), note)
		}
	}
	require.Equal(t, before, contents(t, s.DB))
}

func TestS8_ViolationsReachTheCallerTogether(t *testing.T) {
	t.Parallel()
	s := testkit.New(t)
	_, err := s.AsService("writer").MutateFavorite(t.Context(), broken(""))
	details := testkit.RequireError(t, err, codes.InvalidArgument, models.ReasonInvalidArgument)
	require.Equal(t, []string{"action", "favorite_type", "idempotency_key", "user_id", "video_id"}, details.Fields())
}

func TestS89_ErrorsCarryWhatTheCatalogueSays(t *testing.T) {
	t.Parallel()
	s, user := testkit.New(t), testkit.NewUser()
	_, err := s.AsUser(user).GetProfile(t.Context(), &profilev1.GetProfileRequest{})
	details := testkit.RequireError(t, err, codes.NotFound, models.ReasonProfileNotFound)
	require.Nil(t, details.Retry)
	require.Nil(t, details.BadRequest)

	_, err = s.As("x-apigateway-api-userinfo", userInfo(user), "x-md-if-match", `"no"`).UpdateProfile(t.Context(),
		&profilev1.UpdateProfileRequest{Profile: &profilev1.Profile{DisplayName: "Ada"}})
	details = testkit.RequireError(t, err, codes.FailedPrecondition, models.ReasonPreconditionFailed)
	require.Equal(t, string(models.ReasonPreconditionFailed), details.Precondition.GetViolations()[0].GetType())
	require.Equal(t, "0", details.Info.GetMetadata()["current_version"])
}

func TestS89_InternalFailuresShowNothing(t *testing.T) {
	t.Parallel()
	s, user := testkit.New(t), testkit.NewUser()
	s.DB.Exec(t, "ALTER TABLE profile.users RENAME TO gone")
	_, err := s.AsUser(user).GetProfile(t.Context(), &profilev1.GetProfileRequest{})
	details := testkit.RequireError(t, err, codes.Internal, models.ReasonInternal)
	require.Nil(t, details.Retry)
	for _, secret := range []string{"gone", "users", "relation", "SQLSTATE", "42P01", "SELECT"} {
		require.NotContains(t, err.Error(), secret)
	}
	require.Contains(t, s.Log.String(), "42P01", "the log has the cause")
}

// userInfo is devstack.UserInfo with claims a gateway would add.
func userInfo(id models.UserID, claims ...string) string {
	document := `{"sub":"` + id.String() + `"`
	for _, c := range claims {
		document += "," + c
	}
	return base64.RawURLEncoding.EncodeToString([]byte(document + "}"))
}

func TestFeatureFlagOffAnswersUnimplementedEverywhere(t *testing.T) {
	t.Parallel()
	s := testkit.New(t, func(c *confpb.Bootstrap) { c.Features.EnableProfileApi = false })
	before := contents(t, s.DB)
	for _, m := range methods() {
		for _, pairs := range [][]string{asUser(testkit.NewUser()), asService("admin")} {
			err := call(t, s, m, request(t, m, ""), pairs)
			testkit.RequireError(t, err, codes.Unimplemented, models.ReasonMethodNotAvailable)
		}
	}
	require.Equal(t, before, contents(t, s.DB))
	code, _ := admin(t, s, "/readyz")
	require.Equal(t, 200, code, "the process itself is well")
}

func TestPurgeIsAuthorisedAndValidatedButNotServed(t *testing.T) {
	t.Parallel()
	s, user := testkit.New(t), testkit.NewUser()
	req := &profilev1.PurgeUserDataRequest{UserId: user.String(), Reason: "asked"}
	_, err := s.AsService("compliance").PurgeUserData(t.Context(), req)
	testkit.RequireError(t, err, codes.Unimplemented, models.ReasonMethodNotAvailable)
	_, err = s.AsUser(user).PurgeUserData(t.Context(), req)
	testkit.RequireError(t, err, codes.PermissionDenied, models.ReasonPermissionDenied)
	_, err = s.AsService("compliance").PurgeUserData(t.Context(), &profilev1.PurgeUserDataRequest{})
	require.Equal(t, []string{"user_id"}, testkit.RequireError(t, err, codes.InvalidArgument, models.ReasonInvalidArgument).Fields())
}

func TestS91_CallersShorterDeadlineWinsAndWritesNothing(t *testing.T) {
	t.Parallel()
	s, user := furnished(t)
	before := contents(t, s.DB)
	held := testkit.HoldUser(t, s, user)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		req := like()
		req.Action = profilev1.FavoriteAction_FAVORITE_ACTION_REMOVE
		_, err := s.AsUser(user).MutateFavorite(ctx, req)
		done <- err
	}()
	held.AwaitWaiter(t)
	cancel()
	require.Error(t, <-done)
	awaitLog(t, s, `"reason":"CANCELLED"`)
	held.Release()
	require.Equal(t, before, contents(t, s.DB))
}
