package contract

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	profilev1 "github.com/lingo-services/profile/api/profile/v1"
	"github.com/lingo-services/profile/internal/models"
	outboxevents "github.com/lingo-services/profile/internal/models/outbox_events"
	"github.com/lingo-services/profile/internal/models/po"
	"github.com/lingo-services/profile/test/testkit"
)

const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

// caller is a user of a running service.
type caller struct {
	profilev1.ProfileServiceClient
	t testing.TB
}

func (c caller) mutate(ctx context.Context, action profilev1.FavoriteAction, kind profilev1.FavoriteType, video models.VideoID) {
	c.t.Helper()
	_, err := c.MutateFavorite(ctx, &profilev1.MutateFavoriteRequest{VideoId: video.String(), FavoriteType: kind, Action: action})
	require.NoError(c.t, err)
}

func (c caller) watch(ctx context.Context, video models.VideoID, progress *profilev1.WatchProgress) {
	c.t.Helper()
	_, err := c.UpsertWatchProgress(ctx, &profilev1.UpsertWatchProgressRequest{VideoId: video.String(), Progress: progress})
	require.NoError(c.t, err)
}

func (c caller) prefer(ctx context.Context, preferences *profilev1.Preferences, paths ...string) {
	c.t.Helper()
	req := &profilev1.UpdatePreferencesRequest{Preferences: preferences}
	if len(paths) > 0 {
		req.UpdateMask = &fieldmaskpb.FieldMask{Paths: paths}
	}
	_, err := c.UpdatePreferences(ctx, req)
	require.NoError(c.t, err)
}

// live makes a user do everything that writes events, half of it within a trace.
func live(t testing.TB, s *testkit.Service, user models.UserID, videos ...models.VideoID) {
	t.Helper()
	const (
		add, remove = profilev1.FavoriteAction_FAVORITE_ACTION_ADD, profilev1.FavoriteAction_FAVORITE_ACTION_REMOVE
		like, mark  = profilev1.FavoriteType_FAVORITE_TYPE_LIKE, profilev1.FavoriteType_FAVORITE_TYPE_BOOKMARK
	)
	c, ctx := caller{s.AsUser(user), t}, t.Context()
	inTrace := metadata.AppendToOutgoingContext(ctx, "traceparent", parent)
	theme, err := structpb.NewStruct(map[string]any{"ui.theme": "dark", "nested": map[string]any{"a": 1.0}})
	require.NoError(t, err)
	for _, video := range videos {
		c.mutate(ctx, add, like, video)
		c.mutate(inTrace, add, mark, video)
		c.mutate(inTrace, remove, like, video)
		c.watch(ctx, video, &profilev1.WatchProgress{PositionSeconds: 30, ProgressRatio: new(0.3), TotalWatchSeconds: 30, SessionId: "s-1"})
		c.watch(inTrace, video, &profilev1.WatchProgress{ProgressRatio: new(0.0), TotalWatchSeconds: 31})
		c.watch(ctx, video, &profilev1.WatchProgress{PositionSeconds: 99, ProgressRatio: new(0.99), TotalWatchSeconds: 90})
		c.mutate(ctx, remove, mark, video)
	}
	c.prefer(ctx, &profilev1.Preferences{LearningGoal: "B2", DailyQuotaMinutes: wrapperspb.Int32(0), Extra: theme})
	c.prefer(inTrace, &profilev1.Preferences{LearningGoal: "C1 \u2603 <&>"}, "learning_goal", "daily_quota_minutes", "extra.nested")
	c.prefer(ctx, &profilev1.Preferences{}, "learning_goal", "extra")
}

// stored is every event in commit order, as a publisher reads it.
func stored(t testing.TB, s *testkit.Service) []po.Delivery {
	t.Helper()
	rows, err := s.DB.Owner.Query(t.Context(), `
		SELECT e.id, d.lane, e.event_id, e.aggregate_type, e.aggregate_id, e.event_type, e.ordering_key, e.version, e.payload,
		       coalesce(e.headers ->> 'traceparent', ''), e.occurred_at
		FROM profile.outbox_events e JOIN profile.outbox_deliveries d USING (id) ORDER BY e.id`)
	require.NoError(t, err)
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (d po.Delivery, err error) {
		var key uuid.UUID
		err = row.Scan(&d.ID, &d.Lane, &d.EventID, &d.AggregateType, &d.AggregateID, &d.EventType, &key, &d.Version, &d.Payload, &d.TraceParent, &d.OccurredAt)
		d.Key = models.UserID(key)
		return d, err
	})
	require.NoError(t, err)
	require.NotEmpty(t, all)
	return all
}

func TestI13_StoredEventsMatchTheirSchemas(t *testing.T) {
	t.Parallel()
	s := testkit.New(t)
	videos := []models.VideoID{testkit.NewVideo(), testkit.NewVideo()}
	s.Publish(t, videos[0], func(c *po.VideoChange) { c.DurationMicros = new(int64(100_000_000)) })
	users := []models.UserID{testkit.NewUser(), testkit.NewUser(), testkit.NewUser()}
	for _, user := range users {
		live(t, s, user, videos...)
	}
	v, kinds := newValidator(t), map[string]int{}
	for _, d := range stored(t, s) {
		message, err := outboxevents.Decode(d.EventType, d.Payload)
		require.NoError(t, err)
		require.Empty(t, message.ProtoReflect().GetUnknown())
		document, err := protojson.Marshal(message)
		require.NoError(t, err)
		require.NoError(t, v.check(t, outboxevents.SchemaID(d.EventType), document), "%s", document)
		require.NoError(t, v.checkAttributes(t, outboxevents.Attributes(d)))
		kinds[d.EventType]++
	}
	// Per user and video: two added, two removed, three watched; and three preference changes a user.
	require.Equal(t, map[string]int{
		outboxevents.EngagementAdded: 12, outboxevents.EngagementRemoved: 12, outboxevents.WatchProgressed: 18, outboxevents.PreferencesUpdated: 9,
	}, kinds)
}

func TestS74_StoredEventsCarryEveryAttribute(t *testing.T) {
	t.Parallel()
	s, user := testkit.New(t), testkit.NewUser()
	live(t, s, user, testkit.NewVideo())
	seen, traced := map[string]bool{}, 0
	for i, d := range stored(t, s) {
		attributes := outboxevents.Attributes(d)
		id, err := uuid.Parse(attributes["event_id"])
		require.NoError(t, err)
		require.Equal(t, uuid.Version(7), id.Version())
		require.False(t, seen[id.String()], "ids are unique")
		seen[id.String()] = true
		message, err := outboxevents.Decode(d.EventType, d.Payload)
		require.NoError(t, err)
		about := message.(interface {
			GetEventId() string
			GetUserId() string
		})
		require.Equal(t, about.GetEventId(), attributes["event_id"])
		require.Equal(t, about.GetUserId(), attributes["aggregate_id"])
		require.Equal(t, user.String(), attributes["aggregate_id"])
		require.Equal(t, d.EventType, attributes["event_type"])
		require.Equal(t, int64(i+1), d.Version)
		occurred, err := time.Parse(time.RFC3339Nano, attributes["occurred_at"])
		require.NoError(t, err)
		require.Equal(t, d.OccurredAt.UTC(), occurred)
		for _, name := range []string{"aggregate_type", "version", "schema_version", "content-type", "ce-dataschema"} {
			require.NotEmpty(t, attributes[name], name)
		}
		if trace, found := attributes["traceparent"]; found {
			require.Equal(t, parent, trace)
			traced++
		}
	}
	require.Equal(t, 4, traced, "what was called within a trace, and nothing else")
}

// strict consumes like the family's shared inbox: no event_id or event_type, no message; each id once.
type strict struct {
	seen   map[uuid.UUID]bool
	counts map[string]int
}

func (c *strict) accept(attributes map[string]string, payload []byte) error {
	id, err := uuid.Parse(attributes["event_id"])
	if err != nil {
		return err
	}
	message, err := outboxevents.Decode(attributes["event_type"], payload)
	if err != nil {
		return err
	}
	if !c.seen[id] {
		c.seen[id] = true
		c.counts[string(message.ProtoReflect().Descriptor().Name())]++
	}
	return nil
}

func TestP19_StrictConsumerAcceptsOurMessages(t *testing.T) {
	t.Parallel()
	s := testkit.New(t)
	live(t, s, testkit.NewUser(), testkit.NewVideo())
	events := stored(t, s)
	consumer := strict{map[uuid.UUID]bool{}, map[string]int{}}
	for _, d := range slices.Concat(events, events) {
		require.NoError(t, consumer.accept(outboxevents.Attributes(d), d.Payload))
	}
	require.Equal(t, map[string]int{
		"EngagementAddedEvent": 2, "EngagementRemovedEvent": 2, "WatchProgressedEvent": 3, "PreferencesUpdatedEvent": 3,
	}, consumer.counts, "duplicates change nothing")
	require.Error(t, consumer.accept(map[string]string{"schema_version": "v1"}, events[0].Payload), "what the reference sends")
}
