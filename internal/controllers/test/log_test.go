package test

import (
	"encoding/json"
	"fmt"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	profilev1 "github.com/lingo-services/profile/api/profile/v1"
	"github.com/lingo-services/profile/internal/controllers/rest"
	"github.com/lingo-services/profile/internal/infrastructure/config/confpb"
	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/test/testkit"
)

const canary = "canary-5ecret"

// sensitive are requests of every RPC with a canary wherever a learner or a client may put something
// private; some are served and some are refused.
func sensitive() map[string][]proto.Message {
	secret := func(n int) string { return fmt.Sprintf("%s-%d", canary, n) }
	extra := &structpb.Struct{Fields: map[string]*structpb.Value{"theme": structpb.NewStringValue(secret(1))}}
	tooDeep := structpb.NewStringValue(secret(2))
	for range 9 {
		tooDeep = structpb.NewListValue(&structpb.ListValue{Values: []*structpb.Value{tooDeep}})
	}
	prefs := &profilev1.Preferences{LearningGoal: secret(3), DailyQuotaMinutes: wrapperspb.Int32(10), Extra: extra}
	badPrefs := &profilev1.Preferences{LearningGoal: secret(4) + "\x01", Extra: &structpb.Struct{Fields: map[string]*structpb.Value{"k": tooDeep}}}
	profile := &profilev1.Profile{DisplayName: secret(5), AvatarUrl: "https://cdn.example.com/" + secret(6), Preferences: prefs}
	badProfile := &profilev1.Profile{DisplayName: secret(7) + "\x00", AvatarUrl: "ftp://" + secret(8), Preferences: badPrefs}
	everything := &fieldmaskpb.FieldMask{Paths: []string{"*"}}
	report := func(session string) *profilev1.WatchProgress {
		return &profilev1.WatchProgress{PositionSeconds: 9, ProgressRatio: new(0.5), SessionId: session}
	}
	return map[string][]proto.Message{
		"GetProfile": {&profilev1.GetProfileRequest{UserId: secret(9)}, &profilev1.GetProfileRequest{}},
		"UpdateProfile": {
			&profilev1.UpdateProfileRequest{Profile: profile, IdempotencyKey: secret(10)},
			&profilev1.UpdateProfileRequest{Profile: badProfile, UpdateMask: everything, IdempotencyKey: secret(11) + " "},
			&profilev1.UpdateProfileRequest{Profile: &profilev1.Profile{DisplayName: strings.Repeat(canary, 20)}},
			&profilev1.UpdateProfileRequest{Profile: profile, ExpectedProfileVersion: wrapperspb.Int64(99)},
		},
		"UpdatePreferences": {
			&profilev1.UpdatePreferencesRequest{Preferences: prefs, IdempotencyKey: secret(12)},
			&profilev1.UpdatePreferencesRequest{Preferences: badPrefs, UpdateMask: everything},
			&profilev1.UpdatePreferencesRequest{Preferences: prefs, ExpectedProfileVersion: wrapperspb.Int64(99)},
		},
		"MutateFavorite":     {&profilev1.MutateFavoriteRequest{VideoId: secret(13), IdempotencyKey: secret(14)}, like()},
		"BatchQueryFavorite": {&profilev1.BatchQueryFavoriteRequest{VideoIds: []string{secret(15)}}},
		"ListFavorites":      {&profilev1.ListFavoritesRequest{PageToken: secret(16)}, &profilev1.ListFavoritesRequest{}},
		"UpsertWatchProgress": {
			&profilev1.UpsertWatchProgressRequest{VideoId: videoID, Progress: report(secret(17))},
			&profilev1.UpsertWatchProgressRequest{VideoId: videoID, Progress: report(secret(18) + " ")},
		},
		"GetWatchProgress":      {&profilev1.GetWatchProgressRequest{VideoId: secret(22)}},
		"BatchGetWatchProgress": {&profilev1.BatchGetWatchProgressRequest{VideoIds: []string{secret(23)}}},
		"GetVideoStats":         {&profilev1.GetVideoStatsRequest{VideoId: secret(24)}},
		"BatchGetVideoStats":    {&profilev1.BatchGetVideoStatsRequest{VideoIds: []string{secret(25)}}},
		"BatchGetVideos":        {&profilev1.BatchGetVideosRequest{VideoIds: []string{secret(26)}}},
		"ListWatchHistory":      {&profilev1.ListWatchHistoryRequest{PageToken: secret(19)}},
		"PurgeUserData": {
			&profilev1.PurgeUserDataRequest{Reason: secret(20)}, &profilev1.PurgeUserDataRequest{Reason: strings.Repeat(canary, 50), IdempotencyKey: secret(21)},
		},
	}
}

// everyIdentity sends the canary in credentials and conditions too.
func everyIdentity(user models.UserID) [][]string {
	claims := `"email":"` + canary + `@example.com","name":"` + canary + `"`
	return [][]string{
		{"x-apigateway-api-userinfo", userInfo(user, claims), "x-md-if-match", `"` + canary + `"`},
		{"x-apigateway-api-userinfo", userInfo(user, claims), "x-md-client-time", canary, "x-md-idempotency-key", canary + " x"},
		{"x-apigateway-api-userinfo", userInfo(user, claims)},
		{"x-apigateway-api-userinfo", canary},
		{"authorization", "Bearer " + canary},
		asService("admin"),
		asService("reader"),
	}
}

// requireNoCanary checks everything that leaves the process beside the answer itself.
func requireNoCanary(t *testing.T, s *testkit.Service, refusals []error) {
	t.Helper()
	require.NotContains(t, s.Log.String(), canary)
	_, metrics := admin(t, s, "/metrics")
	require.NotContains(t, metrics, canary)
	require.NotEmpty(t, refusals)
	for _, err := range refusals {
		require.NotContains(t, prototext.Format(status.Convert(err).Proto()), canary)
	}
}

// headersOf are metadata pairs by their names in HTTP.
func headersOf(pairs []string) (headers []string) {
	for i, text := range pairs {
		if name, known := headerNames[text]; known && i%2 == 0 {
			text = name
		}
		headers = append(headers, text)
	}
	return headers
}

// sendSensitive returns the errors of every RPC as every identity.
func sendSensitive(t *testing.T, s *testkit.Service) (refusals []error, calls int) {
	t.Helper()
	requests := sensitive()
	user := testkit.NewUser()
	for _, m := range methods() {
		list, ok := requests[string(m.Name())]
		require.True(t, ok, "%s needs requests with canaries", m.Name())
		for _, req := range list {
			for _, pairs := range everyIdentity(user) {
				calls++
				if err := call(t, s, m, req, pairs); err != nil {
					refusals = append(refusals, err)
				}
				route := rest.Routes()[routeOf(m)]
				path, body, possible := inREST(t, route, proto.Clone(req))
				if !possible {
					continue
				}
				calls++
				answer := ask(t, s, route.Verb, path, body, headersOf(pairs)...)
				if answer.problem.Instance != "" {
					said := strings.ReplaceAll(answer.body, answer.problem.Instance, "") // the caller's own path
					refusals = append(refusals, status.Error(codes.Unknown, said))
				}
			}
		}
	}
	return refusals, calls
}

func TestS92_NothingPrivateIsLogged(t *testing.T) {
	t.Parallel()
	s := testkit.New(t)
	refusals, calls := sendSensitive(t, s)
	require.Less(t, len(refusals), calls, "some of them were served")
	requireNoCanary(t, s, refusals)
}

func TestS92_NothingPrivateIsLoggedWhenTheDatabaseFails(t *testing.T) {
	t.Parallel()
	for name, breakIt := range map[string]string{
		"tables are gone": "ALTER TABLE profile.users RENAME TO u; ALTER TABLE profile.engagements RENAME TO e; ALTER TABLE profile.watch_logs RENAME TO w",
		"checks refuse":   "ALTER TABLE profile.users ADD CHECK (display_name = '') NOT VALID; ALTER TABLE profile.watch_logs ADD CHECK (session_id IS NULL) NOT VALID",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := testkit.New(t)
			s.DB.Exec(t, breakIt)
			refusals, _ := sendSensitive(t, s)
			requireNoCanary(t, s, refusals)
			require.Contains(t, s.Log.String(), `"level":"ERROR"`, "the failures themselves are logged")
		})
	}
}

func TestS92_NothingPrivateIsLoggedWithoutADatabase(t *testing.T) {
	t.Parallel()
	s := testkit.New(t, withDeadDatabase)
	refusals, _ := sendSensitive(t, s)
	requireNoCanary(t, s, refusals)
}

func TestS92_EveryCallIsOneLine(t *testing.T) {
	t.Parallel()
	s, user := testkit.New(t), testkit.NewUser()
	forged := "x\r\n{\"level\":\"ERROR\",\"msg\":\"forged\"}\n\x1b[31m"
	requests := []proto.Message{
		&profilev1.MutateFavoriteRequest{UserId: forged, VideoId: forged, IdempotencyKey: forged},
		&profilev1.MutateFavoriteRequest{VideoId: forged},
	}
	favorites := method{profilev1.File_profile_v1_profile_proto.Services().ByName("ProfileService").Methods().ByName("MutateFavorite")}
	sent := 0
	for _, req := range requests {
		for _, pairs := range [][]string{asUser(user), asService("writer"), nil} {
			require.Error(t, call(t, s, favorites, req, pairs))
			sent++
		}
	}
	answered := 0
	for _, line := range serviceLog(s) {
		var entry map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &entry), "%q", line)
		require.NotEqual(t, "forged", entry["msg"])
		if entry["msg"] == "call" {
			answered++
		}
	}
	require.Equal(t, sent, answered)
	require.NotContains(t, s.Log.String(), "\x1b")
}

func TestS92_CallLinesNameMethodCallerSubjectAndVideo(t *testing.T) {
	t.Parallel()
	s, user := testkit.New(t), testkit.NewUser()
	req := like()
	req.UserId = user.String()
	_, err := s.AsService("writer").MutateFavorite(t.Context(), req)
	require.NoError(t, err)
	_, err = s.AsUser(user).GetProfile(t.Context(), &profilev1.GetProfileRequest{})
	require.Error(t, err)
	var calls []map[string]any
	for _, line := range serviceLog(s) {
		var entry map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &entry))
		if entry["msg"] == "call" {
			delete(entry, "time")
			require.IsType(t, float64(0), entry["duration_ms"])
			delete(entry, "duration_ms")
			calls = append(calls, entry)
		}
	}
	require.Equal(t, []map[string]any{
		{
			"level": "INFO", "msg": "call", "method": "/profile.v1.ProfileService/MutateFavorite", "caller": "service:dev-writer",
			"user_id": user.String(), "video_id": videoID, "code": "OK",
		},
		{
			"level": "INFO", "msg": "call", "method": "/profile.v1.ProfileService/GetProfile", "caller": user.String(),
			"user_id": user.String(), "code": "NotFound", "reason": "PROFILE_NOT_FOUND",
		},
	}, calls)
}

// Calls that were answered are told about as often as the bound says; failures and staff reads always are.
func TestS92_TooManyCallsShareTheirLines(t *testing.T) {
	t.Parallel()
	s := testkit.New(t, func(c *confpb.Bootstrap) { c.Service.LogLevel, c.Service.CallLinesPerSecond = "info", 1 })
	user, nobody := testkit.NewUser(), testkit.NewUser()
	const each = 50
	start := time.Now()
	for range each {
		_, err := s.AsUser(user).MutateFavorite(t.Context(), like())
		require.NoError(t, err)
		_, err = s.AsUser(nobody).GetProfile(t.Context(), &profilev1.GetProfileRequest{})
		testkit.RequireError(t, err, codes.NotFound, models.ReasonProfileNotFound)
		_, err = s.AsService("reader").ListFavorites(t.Context(), &profilev1.ListFavoritesRequest{UserId: user.String()})
		require.NoError(t, err)
	}
	seconds := int(time.Since(start)/time.Second) + 2 // those that it touched
	lines := map[string]int{}
	for _, line := range serviceLog(s) {
		var entry map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &entry))
		if method, isCall := entry["method"].(string); isCall {
			lines[path.Base(method)]++
			if left, told := entry["calls_left_out"]; told {
				require.IsType(t, float64(0), left)
			}
		}
	}
	require.Equal(t, each, lines["GetProfile"])
	require.Equal(t, each, lines["ListFavorites"])
	require.Positive(t, lines["MutateFavorite"])
	require.LessOrEqual(t, lines["MutateFavorite"], min(seconds, each-1))
}

// A service that reads a user's data leaves a trace that says so; what it writes, and what users do themselves, does not.
func TestF28_StaffReadsAreAudited(t *testing.T) {
	t.Parallel()
	s, user := furnished(t)
	for _, m := range methods() {
		if !m.namesUser() {
			continue
		}
		for name, pairs := range map[string][]string{"staff": asService("admin"), "the user": asUser(user)} {
			_ = call(t, s, m, request(t, m, user.String()), pairs) // PurgeUserData is not served
			line := lastCall(t, s)
			require.Equal(t, m.path(), line["method"])
			if name == "staff" && reads(m) {
				require.Equal(t, true, line["audit"], "%s by %s", m.Name(), name)
				require.Equal(t, user.String(), line["user_id"])
				require.Equal(t, "service:dev-admin", line["caller"])
				continue
			}
			require.NotContains(t, line, "audit", "%s by %s", m.Name(), name)
		}
		other := testkit.NewUser()
		denied := call(t, s, m, request(t, m, other.String()), asUser(user))
		testkit.RequireError(t, denied, codes.PermissionDenied, models.ReasonPermissionDenied)
		require.NotContains(t, lastCall(t, s), "audit", "nothing was looked at")
	}
	public := method{profilev1.File_profile_v1_profile_proto.Services().ByName("ProfileService").Methods().ByName("GetVideoStats")}
	require.NoError(t, call(t, s, public, request(t, public, ""), asService("admin")))
	require.NotContains(t, lastCall(t, s), "audit", "it is about no user")
}

func TestS92_MetricsHaveNoUsersAndNoVideos(t *testing.T) {
	t.Parallel()
	s, user := furnished(t)
	_, metrics := admin(t, s, "/metrics")
	require.Contains(t, metrics, "profile_request_duration_seconds")
	require.NotContains(t, metrics, user.String())
	require.NotContains(t, metrics, videoID)
}

func TestStartUpIsLoggedWithItsAddress(t *testing.T) {
	t.Parallel()
	s := testkit.New(t, func(c *confpb.Bootstrap) { c.Features.EnableCatalogLegacy = true })
	awaitLog(t, s, `"addr":"`+s.App.Listeners.GRPC.Addr().String()+`"`)
	require.Contains(t, s.Log.String(), "enable_catalog_legacy has no effect")
}
