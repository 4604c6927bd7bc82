package test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	profilev1 "github.com/lingo-services/profile/api/profile/v1"
	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/test/testkit"
)

// learner is an end user of a running service.
type learner struct {
	profilev1.ProfileServiceClient
	*testkit.Service
	id models.UserID
}

func newLearner(s *testkit.Service) learner {
	id := testkit.NewUser()
	return learner{s.AsUser(id), s, id}
}

// named is a learner with a profile at version 1 that has nothing but a name.
func named(t testing.TB, s *testkit.Service) learner {
	t.Helper()
	l := newLearner(s)
	l.mustUpdate(t, &profilev1.UpdateProfileRequest{Profile: &profilev1.Profile{DisplayName: "Ada"}})
	return l
}

func (l learner) mustUpdate(t testing.TB, req *profilev1.UpdateProfileRequest) *profilev1.Profile {
	t.Helper()
	resp, err := l.UpdateProfile(t.Context(), req)
	require.NoError(t, err)
	return resp.GetProfile()
}

func (l learner) mustPrefer(t testing.TB, req *profilev1.UpdatePreferencesRequest) *profilev1.UpdatePreferencesResponse {
	t.Helper()
	resp, err := l.UpdatePreferences(t.Context(), req)
	require.NoError(t, err)
	return resp
}

func (l learner) profile(t testing.TB) *profilev1.Profile {
	t.Helper()
	resp, err := l.GetProfile(t.Context(), &profilev1.GetProfileRequest{})
	require.NoError(t, err)
	return resp.GetProfile()
}

func (l learner) extra(t testing.TB) map[string]any {
	t.Helper()
	return l.profile(t).GetPreferences().GetExtra().AsMap()
}

func (l learner) mustMutate(t testing.TB, req *profilev1.MutateFavoriteRequest) *profilev1.MutateFavoriteResponse {
	t.Helper()
	resp, err := l.MutateFavorite(t.Context(), req)
	require.NoError(t, err)
	return resp
}

func (l learner) mustReport(t testing.TB, req *profilev1.UpsertWatchProgressRequest) *profilev1.UpsertWatchProgressResponse {
	t.Helper()
	resp, err := l.UpsertWatchProgress(t.Context(), req)
	require.NoError(t, err)
	return resp
}

// Requests that say one thing.

func renaming(name string) *profilev1.UpdateProfileRequest {
	return &profilev1.UpdateProfileRequest{Profile: &profilev1.Profile{DisplayName: name}}
}

func aiming(goal string) *profilev1.UpdatePreferencesRequest {
	return &profilev1.UpdatePreferencesRequest{Preferences: &profilev1.Preferences{LearningGoal: goal}}
}

func keeping(t testing.TB, extra map[string]any, paths ...string) *profilev1.UpdatePreferencesRequest {
	t.Helper()
	return &profilev1.UpdatePreferencesRequest{Preferences: &profilev1.Preferences{Extra: object(t, extra)}, UpdateMask: maskOf(paths...)}
}

func adding(video models.VideoID) *profilev1.MutateFavoriteRequest {
	return &profilev1.MutateFavoriteRequest{
		VideoId: video.String(), FavoriteType: profilev1.FavoriteType_FAVORITE_TYPE_LIKE, Action: profilev1.FavoriteAction_FAVORITE_ACTION_ADD,
	}
}

func watching(video models.VideoID, ratio float64) *profilev1.UpsertWatchProgressRequest {
	return &profilev1.UpsertWatchProgressRequest{VideoId: video.String(), Progress: &profilev1.WatchProgress{
		PositionSeconds: int64(ratio * 100), ProgressRatio: &ratio, TotalWatchSeconds: int64(ratio * 100),
	}}
}

func object(t testing.TB, values map[string]any) *structpb.Struct {
	t.Helper()
	s, err := structpb.NewStruct(values)
	require.NoError(t, err)
	return s
}

// maskOf is no mask when there are no paths.
func maskOf(paths ...string) *fieldmaskpb.FieldMask {
	if len(paths) == 0 {
		return nil
	}
	return &fieldmaskpb.FieldMask{Paths: paths}
}

func version(n int64) *wrapperspb.Int64Value { return wrapperspb.Int64(n) }

// hold takes a lock with a statement on a connection of its own; release gives it back.
func hold(t testing.TB, s *testkit.Service, sql string, args ...any) (release func()) {
	t.Helper()
	tx, err := s.DB.Owner.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), sql, args...)
	require.NoError(t, err)
	release = sync.OnceFunc(func() { _ = tx.Rollback(context.Background()) })
	t.Cleanup(release)
	return release
}

// holdUser locks what every change of a user locks first. The user must have written before.
func holdUser(t testing.TB, l learner) (release func()) {
	t.Helper()
	return hold(t, l.Service, "SELECT FROM profile.user_stats WHERE user_id = $1 FOR UPDATE", l.id.String())
}

// holdEverybody makes every write wait at its first lock, so that they all start at once on release.
func holdEverybody(t testing.TB, s *testkit.Service) (release func()) {
	t.Helper()
	return hold(t, s, "LOCK TABLE profile.user_stats IN EXCLUSIVE MODE")
}

const (
	patience = 10 * time.Second
	glance   = 5 * time.Millisecond
)

// awaitBlocked returns when exactly n transactions of the test's database wait for a lock.
func awaitBlocked(t testing.TB, s *testkit.Service, n int64) {
	t.Helper()
	require.Eventually(t, func() bool {
		return n == testkit.One[int64](t, s.DB, `
			SELECT count(DISTINCT waiting.pid) FROM pg_locks waiting
			WHERE NOT waiting.granted AND EXISTS (
				SELECT FROM pg_locks mine WHERE mine.pid = waiting.pid
				AND mine.database = (SELECT oid FROM pg_database WHERE datname = current_database()))`)
	}, patience, glance)
}

// Triggers for failing: in the middle of a transaction, and at its COMMIT.
const (
	onProfileWrite   = "TRIGGER test_fail BEFORE INSERT OR UPDATE ON profile.users"
	onProfileCommit  = "CONSTRAINT TRIGGER test_fail AFTER INSERT OR UPDATE ON profile.users DEFERRABLE INITIALLY DEFERRED"
	onDeliveryCommit = "CONSTRAINT TRIGGER test_fail AFTER INSERT ON profile.outbox_deliveries DEFERRABLE INITIALLY DEFERRED"
	always           = -1
)

// failing makes a trigger raise an SQL error the given number of times. attempts counts how often it fired.
func failing(t testing.TB, s *testkit.Service, trigger, code string, times int) (attempts func() int64) {
	t.Helper()
	// A sequence, because its steps outlive a rollback; SECURITY DEFINER, because the service owns none.
	s.DB.Exec(t, "CREATE SEQUENCE profile.test_attempts")
	s.DB.Exec(t, `CREATE FUNCTION profile.test_fail() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
		BEGIN
			IF nextval('profile.test_attempts') <= TG_ARGV[1]::bigint OR TG_ARGV[1]::bigint < 0 THEN
				RAISE EXCEPTION 'injected' USING ERRCODE = TG_ARGV[0];
			END IF;
			RETURN NEW;
		END $$`)
	s.DB.Exec(t, fmt.Sprintf("CREATE %s FOR EACH ROW EXECUTE FUNCTION profile.test_fail('%s', '%d')", trigger, code, times))
	return func() int64 {
		return testkit.One[int64](t, s.DB, "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM profile.test_attempts")
	}
}

// superuser is a connection that may do everything to the test's database.
func superuser(t testing.TB, s *testkit.Service) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), testkit.Server(t).SuperURL(s.DB.Name))
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// header collects the response header of a call.
func header() (*metadata.MD, grpc.CallOption) {
	md := &metadata.MD{}
	return md, grpc.Header(md)
}

// with sends metadata pairs with one call.
func with(ctx context.Context, pairs ...string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, pairs...)
}
