package test

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/timestamppb"

	profilev1 "github.com/lingo-services/profile/api/profile/v1"
	"github.com/lingo-services/profile/internal/infrastructure/cache"
	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/models/po"
	"github.com/lingo-services/profile/internal/repositories"
	"github.com/lingo-services/profile/internal/services"
	"github.com/lingo-services/profile/internal/services/coalesce"
	"github.com/lingo-services/profile/internal/services/pagetoken"
	"github.com/lingo-services/profile/test/testkit"
)

const (
	likeType     = profilev1.FavoriteType_FAVORITE_TYPE_LIKE
	bookmarkType = profilev1.FavoriteType_FAVORITE_TYPE_BOOKMARK
	addAction    = profilev1.FavoriteAction_FAVORITE_ACTION_ADD
	removeAction = profilev1.FavoriteAction_FAVORITE_ACTION_REMOVE
	staleReason  = profilev1.OutcomeReason_OUTCOME_REASON_STALE
)

// fan is a user who likes, bookmarks, watches and lists.
type fan struct {
	t      testing.TB
	s      *testkit.Service
	user   models.UserID
	client profilev1.ProfileServiceClient
}

func newFan(t testing.TB, s *testkit.Service) fan {
	user := testkit.NewUser()
	return fan{t, s, user, s.AsUser(user)}
}

// on is the same user calling another instance.
func (f fan) on(s *testkit.Service) fan {
	return fan{f.t, s, f.user, s.AsUser(f.user)}
}

// try sends one command; at is occurred_at.
func (f fan) try(action profilev1.FavoriteAction, kind profilev1.FavoriteType, video models.VideoID, at ...time.Time) (*profilev1.MutateFavoriteResponse, error) {
	req := &profilev1.MutateFavoriteRequest{VideoId: video.String(), FavoriteType: kind, Action: action}
	if len(at) > 0 {
		req.OccurredAt = timestamppb.New(at[0])
	}
	return f.client.MutateFavorite(f.t.Context(), req)
}

func (f fan) add(kind profilev1.FavoriteType, video models.VideoID, at ...time.Time) *profilev1.MutateFavoriteResponse {
	f.t.Helper()
	resp, err := f.try(addAction, kind, video, at...)
	require.NoError(f.t, err)
	return resp
}

func (f fan) remove(kind profilev1.FavoriteType, video models.VideoID, at ...time.Time) *profilev1.MutateFavoriteResponse {
	f.t.Helper()
	resp, err := f.try(removeAction, kind, video, at...)
	require.NoError(f.t, err)
	return resp
}

// watch reports progress; at is occurred_at.
func (f fan) watch(video models.VideoID, ratio float64, at ...time.Time) error {
	req := &profilev1.UpsertWatchProgressRequest{
		VideoId: video.String(), Progress: &profilev1.WatchProgress{PositionSeconds: 10, ProgressRatio: &ratio, TotalWatchSeconds: 10},
	}
	if len(at) > 0 {
		req.OccurredAt = timestamppb.New(at[0])
	}
	_, err := f.client.UpsertWatchProgress(f.t.Context(), req)
	return err
}

// strong reads past the cache, which may show counters of a moment ago (S90).
func strong(ctx context.Context) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "x-md-consistency", "strong")
}

// state is the state and counters of one video, as they are stored.
func (f fan) state(video models.VideoID) *profilev1.FavoriteSummary {
	f.t.Helper()
	resp, err := f.client.BatchQueryFavorite(strong(f.t.Context()), &profilev1.BatchQueryFavoriteRequest{VideoIds: []string{video.String()}, IncludeStats: true})
	require.NoError(f.t, err)
	require.Len(f.t, resp.GetSummaries(), 1)
	return resp.GetSummaries()[0]
}

// favorites is the list as it is stored, whatever is cached of its videos.
func (f fan) favorites(change ...func(*profilev1.ListFavoritesRequest)) *profilev1.ListFavoritesResponse {
	f.t.Helper()
	req := &profilev1.ListFavoritesRequest{}
	for _, c := range change {
		c(req)
	}
	resp, err := f.client.ListFavorites(strong(f.t.Context()), req)
	require.NoError(f.t, err)
	return resp
}

// history is the list as it is stored, whatever is cached of its videos.
func (f fan) history(change ...func(*profilev1.ListWatchHistoryRequest)) *profilev1.ListWatchHistoryResponse {
	f.t.Helper()
	req := &profilev1.ListWatchHistoryRequest{}
	for _, c := range change {
		c(req)
	}
	resp, err := f.client.ListWatchHistory(strong(f.t.Context()), req)
	require.NoError(f.t, err)
	return resp
}

// call is the fan's own request, for services called without gRPC.
func (f fan) call() models.Call {
	return models.Call{Actor: models.UserActor(f.user), Subject: f.user}
}

// seedLikes likes n new videos, ten at each instant so that equal times are common, the first at newest.
func (f fan) seedLikes(n int, newest time.Time) []models.VideoID {
	f.t.Helper()
	videos := newVideos(n)
	cmds := make([]services.FavoriteCommand, n)
	for i, video := range videos {
		at := newest.Add(-time.Duration(i/10) * time.Second)
		cmds[i] = services.FavoriteCommand{UserID: f.user, VideoID: video, Type: models.Like, Active: true, Claimed: models.ClaimedTime{OccurredAt: &at}}
	}
	_, err := f.s.Engagements.Apply(f.t.Context(), models.ServiceActor, cmds)
	require.NoError(f.t, err)
	return videos
}

// seedHistory is seedLikes for half watched videos.
func (f fan) seedHistory(n int, newest time.Time) []models.VideoID {
	f.t.Helper()
	videos, half := newVideos(n), int32(po.FullRatio/2)
	reports := make([]services.ProgressReport, n)
	for i, video := range videos {
		at := newest.Add(-time.Duration(i/10) * time.Second)
		reports[i] = services.ProgressReport{UserID: f.user, VideoID: video, Claimed: models.ClaimedTime{OccurredAt: &at}, RatioBP: &half, TotalSeconds: 10}
	}
	_, err := f.s.Watch.Apply(f.t.Context(), models.ServiceActor, reports)
	require.NoError(f.t, err)
	return videos
}

func newVideos(n int) []models.VideoID {
	videos := make([]models.VideoID, n)
	for i := range videos {
		videos[i] = testkit.NewVideo()
	}
	return videos
}

// descending sorts ids as lists of equal times show them.
func descending(videos []models.VideoID) []models.VideoID {
	sorted := slices.Clone(videos)
	slices.SortFunc(sorted, func(a, b models.VideoID) int { return cmp.Compare(b.String(), a.String()) })
	return sorted
}

func texts(videos []models.VideoID) []string {
	out := make([]string, len(videos))
	for i, v := range videos {
		out[i] = v.String()
	}
	return out
}

func favoriteIDs(resp *profilev1.ListFavoritesResponse) []string {
	ids := []string{}
	for _, item := range resp.GetFavorites() {
		ids = append(ids, item.GetVideoId())
	}
	return ids
}

func historyIDs(resp *profilev1.ListWatchHistoryResponse) []string {
	ids := []string{}
	for _, item := range resp.GetItems() {
		ids = append(ids, item.GetVideoId())
	}
	return ids
}

// favoriteRow is one stored register.
type favoriteRow struct {
	EngagedAt   time.Time
	StateAt     time.Time
	DeletedAt   *time.Time
	LastEventAt *time.Time
	CreatedAt   time.Time
	UpdatedAt   time.Time
}

func (f fan) row(video models.VideoID, kind models.FavoriteType) favoriteRow {
	f.t.Helper()
	rows, err := f.s.DB.Owner.Query(f.t.Context(), `SELECT engaged_at, state_at, deleted_at, last_event_at, created_at, updated_at
		FROM profile.engagements WHERE (user_id, video_id, engagement_type) = ($1, $2, $3)`, uuid.UUID(f.user), uuid.UUID(video), string(kind))
	require.NoError(f.t, err)
	row, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[favoriteRow])
	require.NoError(f.t, err)
	for _, at := range []*time.Time{&row.EngagedAt, &row.StateAt, row.DeletedAt, row.LastEventAt, &row.CreatedAt, &row.UpdatedAt} {
		if at != nil {
			*at = at.UTC()
		}
	}
	return row
}

// storedFavorites is every row that favourites touch, as text, to prove that a call changed nothing.
func storedFavorites(t testing.TB, db *testkit.Database) map[string]string {
	t.Helper()
	stored := map[string]string{}
	for _, table := range []string{"engagements", "video_stats", "user_stats", "outbox_events", "outbox_deliveries"} {
		stored[table] = testkit.One[string](t, db, fmt.Sprintf(
			`SELECT coalesce(string_agg(r::text, E'\n' ORDER BY r::text), '') FROM profile.%s r`, table))
	}
	return stored
}

// counterValue sums a counter over its labels; 0 when it was never moved.
func counterValue(t testing.TB, s *testkit.Service, name string) float64 {
	t.Helper()
	families, err := s.Metrics.Registry.Gather()
	require.NoError(t, err)
	sum := 0.0
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, m := range family.GetMetric() {
			sum += m.GetCounter().GetValue()
		}
	}
	return sum
}

// videoIn puts a video into a catalog state; an empty text is a field the catalog did not send.
func videoIn(status, visibility string, version int64) func(*po.VideoChange) {
	return func(c *po.VideoChange) {
		c.Status, c.VisibilityStatus, c.Version = nil, nil, version
		if status != "" {
			c.Status = &status
		}
		if visibility != "" {
			c.VisibilityStatus = &visibility
		}
	}
}

func uploadedBy(user models.UserID) func(*po.VideoChange) {
	return func(c *po.VideoChange) { c.UploaderID = &user }
}

// statement is one that was sent to the database.
type statement struct {
	SQL  string
	Args []any
}

// recorder keeps the statements of a pool, without those that begin, adjust and end transactions, and how many round
// trips they made.
type recorder struct {
	mu    sync.Mutex
	sent  []statement
	trips int
}

// TraceQueryStart implements pgx.QueryTracer.
func (r *recorder) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	r.note(data.SQL, data.Args)
	return ctx
}

func (r *recorder) note(sql string, args []any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	first, _, _ := strings.Cut(strings.ToLower(sql), " ")
	if first != "begin" && first != "commit" && first != "rollback" && !strings.HasPrefix(sql, "select set_config") {
		r.sent = append(r.sent, statement{sql, slices.Clone(args)})
	}
}

// TraceBatchStart implements pgx.BatchTracer.
func (r *recorder) TraceBatchStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceBatchStartData) context.Context {
	for _, q := range data.Batch.QueuedQueries {
		r.note(q.SQL, q.Arguments)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.trips++
	return ctx
}

// TraceBatchQuery implements pgx.BatchTracer.
func (*recorder) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}

// TraceBatchEnd implements pgx.BatchTracer.
func (*recorder) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData) {}

// TraceQueryEnd implements pgx.QueryTracer.
func (r *recorder) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// take returns what was sent since the last take.
func (r *recorder) take() []statement {
	r.mu.Lock()
	defer r.mu.Unlock()
	sent := r.sent
	r.sent, r.trips = nil, 0
	return sent
}

// roundTrips since the last take.
func (r *recorder) roundTrips() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.trips
}

// traced are services like those of an instance, on its database, whose statements are recorded.
type traced struct {
	recorder
	store       *repositories.Store
	engagements services.EngagementService
	watch       services.WatchHistoryService
}

func newTraced(t testing.TB, s *testkit.Service) *traced {
	t.Helper()
	out := &traced{}
	config := s.Pool.Config()
	config.ConnConfig.Tracer = &out.recorder
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	require.NoError(t, pool.Ping(t.Context()))
	out.take() // what a new connection prepares
	store := repositories.NewStore(pool, repositories.TxOptions{StatementTimeout: time.Minute, LockTimeout: time.Minute, MaxAttempts: 1}, repositories.NoWaker{})
	out.store = store
	tokens, err := pagetoken.NewCodec([]string{"cursor-key-of-these-tests"})
	require.NoError(t, err)
	opts := services.Options{
		VideoPolicy: models.PolicyKnown, MaxActivePerType: 10_000, PublishEvents: true, IdempotencyRetention: time.Hour,
		Watch:      po.WatchRules{Retention: 180 * 24 * time.Hour, UnqualifiedRetention: time.Hour},
		Coalescing: coalesce.Options{Enabled: true, Writers: 1, Batch: 10, PerUser: 10, Stragglers: 1},
	}
	out.engagements = services.NewEngagementService(store, tokens, s.Metrics, uuid.New, cache.Uncached(store), cache.UncachedVideos(store), opts)
	out.watch = services.NewWatchHistoryService(store, tokens, s.Metrics, uuid.New, cache.UncachedVideos(store), opts)
	return out
}
