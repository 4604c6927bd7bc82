// Package test proves the edge of the service through a real gRPC connection: who may call what, what bad
// input does, what is logged, and how the process starts and stops.
package test

import (
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	profilev1 "github.com/lingo-services/profile/api/profile/v1"
	"github.com/lingo-services/profile/internal/infrastructure/devstack"
	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/test/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

const videoID = "0190d5a0-3333-7abc-8def-00000000abcd"

// method is one RPC of ProfileService, found by reflection: a new RPC takes part in every suite here.
type method struct{ protoreflect.MethodDescriptor }

func methods() (all []method) {
	list := profilev1.File_profile_v1_profile_proto.Services().ByName("ProfileService").Methods()
	for i := range list.Len() {
		all = append(all, method{list.Get(i)})
	}
	return all
}

func (m method) path() string { return "/profile.v1.ProfileService/" + string(m.Name()) }

func message(t testing.TB, d protoreflect.MessageDescriptor) proto.Message {
	t.Helper()
	kind, err := protoregistry.GlobalTypes.FindMessageByName(d.FullName())
	require.NoError(t, err)
	return kind.New().Interface()
}

// call sends req, a message or raw bytes, with the given metadata.
func call(t testing.TB, s *testkit.Service, m method, req any, pairs []string, opts ...grpc.CallOption) error {
	t.Helper()
	ctx := metadata.AppendToOutgoingContext(t.Context(), pairs...)
	if wire, ok := req.([]byte); ok {
		var reply []byte
		return s.Conn.Invoke(ctx, m.path(), wire, &reply, append(opts, grpc.ForceCodec(rawCodec{}))...)
	}
	return s.Conn.Invoke(ctx, m.path(), req, message(t, m.Output()), opts...)
}

// rawCodec sends bytes as they are, so that a request can be what no generated client would send.
type rawCodec struct{}

func (rawCodec) Marshal(v any) ([]byte, error) { return v.([]byte), nil }
func (rawCodec) Unmarshal(data []byte, v any) error {
	*v.(*[]byte) = data
	return nil
}
func (rawCodec) Name() string { return "proto" }

func asUser(id models.UserID) []string {
	return []string{"x-apigateway-api-userinfo", devstack.UserInfo(id.String())}
}

func asService(role string) []string {
	return []string{"authorization", "Bearer " + devstack.DevToken(role)}
}

// valid has a request of every RPC that the service accepts.
var valid = map[protoreflect.Name]func() proto.Message{
	"GetProfile": func() proto.Message { return &profilev1.GetProfileRequest{} },
	"UpdateProfile": func() proto.Message {
		return &profilev1.UpdateProfileRequest{Profile: &profilev1.Profile{DisplayName: "Ada"}}
	},
	"UpdatePreferences": func() proto.Message {
		return &profilev1.UpdatePreferencesRequest{Preferences: &profilev1.Preferences{
			LearningGoal: "B2", DailyQuotaMinutes: wrapperspb.Int32(20),
			Extra: &structpb.Struct{Fields: map[string]*structpb.Value{"theme": structpb.NewStringValue("dark")}},
		}}
	},
	"MutateFavorite": func() proto.Message { return like() },
	"BatchQueryFavorite": func() proto.Message {
		return &profilev1.BatchQueryFavoriteRequest{VideoIds: []string{videoID}, IncludeStats: true}
	},
	"ListFavorites": func() proto.Message { return &profilev1.ListFavoritesRequest{PageSize: 5, WithCount: true} },
	"UpsertWatchProgress": func() proto.Message {
		return &profilev1.UpsertWatchProgressRequest{VideoId: videoID, Progress: &profilev1.WatchProgress{
			PositionSeconds: 42, ProgressRatio: new(0.42), TotalWatchSeconds: 42,
		}}
	},
	"GetWatchProgress": func() proto.Message { return &profilev1.GetWatchProgressRequest{VideoId: videoID} },
	"BatchGetWatchProgress": func() proto.Message {
		return &profilev1.BatchGetWatchProgressRequest{VideoIds: []string{videoID}}
	},
	"ListWatchHistory": func() proto.Message { return &profilev1.ListWatchHistoryRequest{PageSize: 5} },
	"GetVideoStats":    func() proto.Message { return &profilev1.GetVideoStatsRequest{VideoId: videoID} },
	"BatchGetVideoStats": func() proto.Message {
		return &profilev1.BatchGetVideoStatsRequest{VideoIds: []string{videoID}}
	},
	"BatchGetVideos": func() proto.Message { return &profilev1.BatchGetVideosRequest{VideoIds: []string{videoID}} },
	"PurgeUserData":  func() proto.Message { return &profilev1.PurgeUserDataRequest{Reason: "asked"} },
}

func like() *profilev1.MutateFavoriteRequest {
	return &profilev1.MutateFavoriteRequest{
		VideoId: videoID, FavoriteType: profilev1.FavoriteType_FAVORITE_TYPE_LIKE, Action: profilev1.FavoriteAction_FAVORITE_ACTION_ADD,
	}
}

func (m method) namesUser() bool { return m.Input().Fields().ByName("user_id") != nil }

// request is a valid request that names user, or nobody when user is empty or m is about no user.
func request(t testing.TB, m method, user string) proto.Message {
	t.Helper()
	build, ok := valid[m.Name()]
	require.True(t, ok, "%s needs a valid request in this suite", m.Name())
	req := build()
	if field := m.Input().Fields().ByName("user_id"); field != nil && user != "" {
		req.ProtoReflect().Set(field, protoreflect.ValueOfString(user))
	}
	return req
}

// reason is the ErrorInfo reason of an error, and its code.
func reason(t testing.TB, err error) (codes.Code, models.Reason) {
	t.Helper()
	code := status.Code(err)
	if code == codes.OK {
		return code, ""
	}
	info := testkit.RequireError(t, err, code, models.Reason(reasonText(err))).Info
	return code, models.Reason(info.GetReason())
}

func reasonText(err error) string {
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(interface{ GetReason() string }); ok {
			return info.GetReason()
		}
	}
	return ""
}

// contents is a digest of every row of the schema: equal digests mean that nothing at all was changed.
func contents(t testing.TB, db *testkit.Database) string {
	t.Helper()
	sql := testkit.One[string](t, db, `SELECT string_agg(format(
		'SELECT %L AS name, coalesce(string_agg(t::text, chr(10) ORDER BY t::text), '''') AS rows FROM profile.%I t', relname, relname), ' UNION ALL ' ORDER BY relname)
		FROM pg_class WHERE relnamespace = 'profile'::regnamespace AND relkind = 'r'`)
	rows, err := db.Owner.Query(t.Context(), sql)
	require.NoError(t, err)
	digest := sha256.New()
	var name, text string
	_, err = pgx.ForEachRow(rows, []any{&name, &text}, func() error {
		_, err := fmt.Fprintf(digest, "%s\n%s\n", name, text)
		return err
	})
	require.NoError(t, err)
	return fmt.Sprintf("%x", digest.Sum(nil))
}

// admin asks the admin listener; no connection is kept.
func admin(t testing.TB, s *testkit.Service, path string) (int, string) {
	t.Helper()
	return get(t, "http://"+s.App.Listeners.Admin.Addr().String()+path)
}

func get(t testing.TB, url string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	require.NoError(t, err)
	defer func() { require.NoError(t, resp.Body.Close()) }()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(body)
}

// serviceLog is every line the service wrote.
func serviceLog(s *testkit.Service) []string {
	return strings.Split(strings.TrimSuffix(s.Log.String(), "\n"), "\n")
}
