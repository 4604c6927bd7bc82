package contract

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2"
	"github.com/google/uuid"
	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	profilev1 "github.com/lingo-services/profile/api/profile/v1"
	videov1 "github.com/lingo-services/profile/internal/clients/catalog/video/v1"
	"github.com/lingo-services/profile/internal/infrastructure/config/confpb"
	"github.com/lingo-services/profile/internal/infrastructure/devstack"
	"github.com/lingo-services/profile/internal/infrastructure/observability"
	"github.com/lingo-services/profile/internal/infrastructure/servers"
	"github.com/lingo-services/profile/test/testkit"
)

const (
	scrapePatience = 30 * time.Second
	scrapeTick     = 20 * time.Millisecond
)

// scraped is what the admin listener shows, by metric name.
func scraped(t testing.TB, m *observability.Metrics) map[string][]*dto.Metric {
	t.Helper()
	families, err := m.Registry.Gather()
	require.NoError(t, err)
	found := map[string][]*dto.Metric{}
	for _, f := range families {
		found[f.GetName()] = f.GetMetric()
	}
	return found
}

// valued is the number a series shows, of a histogram how often it was observed.
func valued(m *dto.Metric) float64 {
	return m.GetGauge().GetValue() + m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
}

// of is the series with that label, nil without one.
func of(series []*dto.Metric, name, value string) *dto.Metric {
	for _, m := range series {
		if slices.ContainsFunc(m.GetLabel(), func(l *dto.LabelPair) bool { return l.GetName() == name && l.GetValue() == value }) {
			return m
		}
	}
	return nil
}

// working is a service and its workers, with one like published and one catalog event applied.
func working(t *testing.T) *testkit.Service {
	t.Helper()
	broker := testkit.NewBroker(t)
	var conf *confpb.Bootstrap
	s := testkit.New(t, func(c *confpb.Bootstrap) {
		c.Messaging.Pubsub.ProjectId, c.Messaging.Pubsub.EmulatorHost = broker.Project, broker.Addr
		c.Maintenance.Interval.Seconds, c.Maintenance.Interval.Nanos = 0, int32(scrapeTick)
		conf = c
	})
	broker.Topic(t, conf.GetMessaging().GetPubsub().GetTopicId())
	broker.Topic(t, conf.GetMessaging().GetCatalogInbox().GetTopicId())
	broker.Subscription(t, conf.GetMessaging().GetCatalogInbox().GetTopicId(), conf.GetMessaging().GetCatalogInbox().GetSubscriptionId())
	log, err := observability.NewLogger(s.Log, "debug")
	require.NoError(t, err)
	tasks, cleanup, err := devstack.NewTasks(t.Context(), conf, log, s.Store, s.Watch, s.Metrics)
	require.NoError(t, err)
	t.Cleanup(cleanup)
	for _, task := range []servers.Task{tasks.Publisher, tasks.CatalogInbox, tasks.Maintenance} {
		ended := testkit.Later(func() error { return task.Start(context.Background()) })
		t.Cleanup(func() {
			require.NoError(t, task.Stop(context.Background()))
			require.NoError(t, <-ended)
		})
	}

	user, video := testkit.NewUser(), testkit.NewVideo()
	_, err = s.AsUser(user).MutateFavorite(t.Context(), &profilev1.MutateFavoriteRequest{
		VideoId: video.String(), FavoriteType: profilev1.FavoriteType_FAVORITE_TYPE_LIKE, Action: profilev1.FavoriteAction_FAVORITE_ACTION_ADD,
	})
	require.NoError(t, err)
	event := &videov1.Event{EventId: uuid.NewString(), AggregateId: video.String(), Payload: &videov1.Event_Created{Created: &videov1.VideoCreated{
		VideoId: video.String(), Title: "t", Version: 1, Status: "published",
	}}}
	data, err := proto.Marshal(event)
	require.NoError(t, err)
	topic := broker.Client.Publisher(conf.GetMessaging().GetCatalogInbox().GetTopicId())
	defer topic.Stop()
	_, err = topic.Publish(t.Context(), &pubsub.Message{Data: data, Attributes: map[string]string{"event_id": event.GetEventId()}}).Get(t.Context())
	require.NoError(t, err)
	return s
}

func TestM133_WorkersShowWhatTheyDo(t *testing.T) {
	t.Parallel()
	s := working(t)
	const published = "profile_outbox_publish_duration_seconds"
	var seen map[string][]*dto.Metric
	require.Eventually(t, func() bool {
		seen = scraped(t, s.Metrics)
		applied := of(seen["catalog_inbox_events_total"], "result", "applied")
		maintained := of(seen["profile_maintenance_last_success_timestamp_seconds"], "job", "event_log")
		return len(seen[published]) > 0 && valued(applied) == 1 && valued(maintained) > 0 && valued(seen["profile_outbox_lanes"][0]) == 16
	}, scrapePatience, scrapeTick)
	require.InDelta(t, 1, valued(of(seen[published], "event_type", "profile.engagement.added")), 0)
	for _, name := range []string{
		"profile_outbox_lag_seconds", "outbox_backlog", "profile_outbox_outstanding", "profile_outbox_blocked_keys", "profile_outbox_broker_failures_total",
		"profile_inbox_lag_seconds", "catalog_inbox_batch_size", "catalog_inbox_apply_duration_seconds", "catalog_inbox_nacks_total",
		"catalog_inbox_ack_failures_total", "catalog_inbox_field_faults_total", "profile_maintenance_removed_total", "profile_maintenance_failures_total",
	} {
		require.NotEmpty(t, seen[name], name)
	}
	for name, series := range seen {
		for _, m := range series {
			for _, label := range m.GetLabel() {
				require.Contains(t, []string{
					"event_type", "result", "kind", "budget", "limit", "reason", "state", "cache", "backend", "job", "what", "method", "code", "type", "action", "outcome", "doubt", "fault", "version", "quantile", "le",
				}, label.GetName(), name)
				require.Error(t, uuid.Validate(label.GetValue()), "%s is labelled with the id of something", name)
			}
		}
	}
}

func TestA79_CachesShowHowTheyAnswer(t *testing.T) {
	t.Parallel()
	// Without a channel of other instances nothing empties the cache meanwhile.
	s := testkit.New(t, func(c *confpb.Bootstrap) {
		c.Data.Postgres.QueryMode = "exec"
		c.Cache.StatsTtl.Seconds = 5
	})
	user := testkit.NewUser()
	ask := func(ctx context.Context, videos ...string) {
		_, err := s.AsUser(user).BatchQueryFavorite(ctx, &profilev1.BatchQueryFavoriteRequest{VideoIds: videos})
		require.NoError(t, err)
	}
	a, b := testkit.NewVideo().String(), testkit.NewVideo().String()
	ask(t.Context(), a)
	ask(t.Context(), a, b)
	ask(metadata.AppendToOutgoingContext(t.Context(), "x-md-consistency", "strong"), a)
	seen := scraped(t, s.Metrics)
	for result, want := range map[string]float64{"hit": 1, "miss": 2, "bypass": 1} {
		found := 0.0
		for _, series := range seen["profile_cache_requests_total"] {
			if of([]*dto.Metric{series}, "cache", "favorite") != nil && of([]*dto.Metric{series}, "result", result) != nil {
				found = valued(series)
			}
		}
		require.InDelta(t, want, found, 0, result)
	}
	for _, cache := range []string{"favorite", "stats"} {
		require.Positive(t, valued(of(seen["profile_cache_entries"], "cache", cache)), cache)
		require.InDelta(t, 1.0/3, valued(of(seen["profile_cache_hit_ratio"], "cache", cache)), 0.001, cache)
	}
}

// A dead letter is counted under its event type, from the first one.
func TestM133_DeadLettersAreCountedByType(t *testing.T) {
	t.Parallel()
	m := observability.NewMetrics()
	o := observability.NewOutboxMetrics(m)
	o.Refused("profile.engagement.added")
	o.DeadLettered("profile.engagement.added")
	seen := scraped(t, m)
	for _, name := range []string{"profile_outbox_dead_letters_total", "profile_outbox_refusals_total"} {
		require.InDelta(t, 1, valued(of(seen[name], "event_type", "profile.engagement.added")), 0, name)
	}
}

// countsRows finds statements that count all rows, or those of a condition, of a table that grows with traffic.
var countsRows = regexp.MustCompile(`(?is)count\s*\(\s*\*\s*\)(?:::\w+)?(?:\s+as\s+\w+)?\s+from\s+profile\.(?:outbox_events|outbox_deliveries|inbox_events)\w*`)

func TestA100_NothingCountsRowsOfQueueLogOrInbox(t *testing.T) {
	t.Parallel()
	for text, counts := range map[string]bool{
		"SELECT count(*) FROM profile.outbox_deliveries":                                 true,
		"SELECT count(*)::bigint AS n FROM profile.inbox_events e WHERE e.state":         true,
		"SELECT count( * )\n FROM\n profile.outbox_events_3":                             true,
		"SELECT count(*) FROM (SELECT 1 FROM profile.outbox_deliveries d LIMIT 10) AS d": false,
		"SELECT count(*) FROM profile.outbox_publishers":                                 false,
	} {
		require.Equal(t, counts, countsRows.MatchString(text), text)
	}
	read := 0
	for _, pattern := range []string{
		"../../sqlc/profile/*.sql", "../../internal/repositories/*.go", "../../internal/tasks/*/*.go", "../../internal/infrastructure/*/*.go", "../../cmd/*/*.go",
	} {
		files, err := filepath.Glob(pattern)
		require.NoError(t, err)
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			require.Empty(t, countsRows.FindString(string(text)), file)
			read++
		}
	}
	require.Greater(t, read, 50)
}
