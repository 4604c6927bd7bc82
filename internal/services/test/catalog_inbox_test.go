package test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/lingo-services/profile/internal/infrastructure/config/confpb"
	"github.com/lingo-services/profile/internal/infrastructure/postgres"
	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/models/po"
	"github.com/lingo-services/profile/internal/repositories"
	"github.com/lingo-services/profile/internal/services"
	"github.com/lingo-services/profile/test/testkit"
)

// inboxes makes services of any generation and decoder on one database.
type inboxes struct {
	DB   *testkit.Database
	pool *pgxpool.Pool
}

func openInbox(t testing.TB) inboxes {
	t.Helper()
	db := testkit.NewDatabase(t)
	pool, closePool, err := postgres.NewPool(t.Context(), &confpb.Data_Postgres{Url: db.AppURL, MaxConns: 8, QueryMode: "exec"})
	require.NoError(t, err)
	t.Cleanup(closePool)
	return inboxes{db, pool}
}

func (i inboxes) generation(n services.InboxGeneration, decode services.CatalogDecoder) services.CatalogInboxService {
	limits := repositories.TxOptions{StatementTimeout: 20 * time.Second, LockTimeout: 20 * time.Second, MaxAttempts: 3}
	return services.NewCatalogInboxService(repositories.NewStore(i.pool, limits, repositories.NoWaker{}), decode, n)
}

// undecodable is the decoder of a release that still knows nothing better.
func undecodable([]byte, map[string]string) (services.CatalogEvent, error) {
	return services.CatalogEvent{}, context.Canceled
}

func titled(video models.VideoID, version int64, title string) services.CatalogEvent {
	return services.CatalogEvent{ID: uuid.New(), Type: "catalog.video.updated", Change: po.VideoChange{
		VideoID: video, Kind: po.VideoUpdated, Version: version, Title: &title,
	}}
}

func (i inboxes) title(t testing.TB, video models.VideoID) string {
	t.Helper()
	return testkit.One[string](t, i.DB, "SELECT coalesce((SELECT title FROM profile.videos_projection WHERE video_id = $1), '')", uuid.UUID(video))
}

func applied(t testing.TB, inbox services.CatalogInboxService, events ...services.CatalogEvent) services.InboxCounts {
	t.Helper()
	counts, err := inbox.Apply(t.Context(), events)
	require.NoError(t, err)
	return counts
}

func TestS70_AnEventIsAppliedOnce(t *testing.T) {
	t.Parallel()
	i := openInbox(t)
	inbox := i.generation(1, undecodable)
	first := titled(testkit.NewVideo(), 1, "first")
	require.Equal(t, services.InboxCounts{Applied: 1, Duplicates: 1}, applied(t, inbox, first, first))
	require.Equal(t, services.InboxCounts{Duplicates: 1}, applied(t, inbox, first))
	require.Equal(t, int64(1), testkit.One[int64](t, i.DB, "SELECT count(*) FROM profile.inbox_events WHERE processed_at IS NOT NULL"))

	errs := testkit.Together(8, func(int) error {
		_, err := inbox.Apply(t.Context(), []services.CatalogEvent{titled(testkit.NewVideo(), 1, "x"), first})
		return err
	})
	require.Equal(t, make([]error, 8), errs)
	require.Equal(t, int64(9), testkit.One[int64](t, i.DB, "SELECT count(*) FROM profile.inbox_events"))
}

// A rewound subscription is a no-op in its generation and rebuilds the projection in the next.
func TestS70_ANewGenerationRebuilds(t *testing.T) {
	t.Parallel()
	i := openInbox(t)
	e := titled(testkit.NewVideo(), 1, "first")
	applied(t, i.generation(1, undecodable), e)
	i.DB.Exec(t, "DELETE FROM profile.videos_projection")
	applied(t, i.generation(1, undecodable), e)
	require.Empty(t, i.title(t, e.Change.VideoID))
	require.Equal(t, services.InboxCounts{Applied: 1}, applied(t, i.generation(2, undecodable), e))
	require.Equal(t, "first", i.title(t, e.Change.VideoID))
}

func TestS71_ALowerVersionCountsAsStale(t *testing.T) {
	t.Parallel()
	i := openInbox(t)
	inbox := i.generation(1, undecodable)
	video := testkit.NewVideo()
	applied(t, inbox, titled(video, 3, "three"))
	require.Equal(t, services.InboxCounts{Stale: 1}, applied(t, inbox, titled(video, 2, "two")))
	require.Equal(t, "three", i.title(t, video))
}

// 20 histories in five deliveries each, in transactions of any size, through the inbox.
func TestS72_AnyOrderAndRepetitionThroughTheInbox(t *testing.T) {
	t.Parallel()
	i := openInbox(t)
	inbox := i.generation(1, undecodable)
	row := func(video models.VideoID) string {
		return testkit.One[string](t, i.DB, `SELECT (to_jsonb(v) - 'video_id' - 'created_at' - 'updated_at')::text
			FROM profile.videos_projection v WHERE video_id = $1`, uuid.UUID(video))
	}
	rapid.Check(t, func(r *rapid.T) {
		const histories, deliveries = 20, 5
		var queue []services.CatalogEvent
		model := map[models.VideoID]models.VideoID{} // a disturbed video and the one that got the same in order
		for range histories {
			var history []services.CatalogEvent
			original := testkit.NewVideo()
			for version := range rapid.Int64Range(1, 6).Draw(r, "versions") {
				e := titled(original, version+1, rapid.SampledFrom([]string{"", "a", "b"}).Draw(r, "title"))
				e.Change.Kind = rapid.SampledFrom([]po.ChangeKind{po.VideoCreated, po.VideoUpdated, po.VideoDeleted}).Draw(r, "kind")
				e.Change.Status = rapid.Ptr(rapid.SampledFrom([]string{"", "ready", "archived"}), true).Draw(r, "status")
				history = append(history, e)
			}
			applied(t, inbox, history...)
			for range deliveries {
				video := testkit.NewVideo()
				model[video] = original
				mine := slices.Clone(history)
				for n := range mine {
					mine[n].ID, mine[n].Change.VideoID = uuid.New(), video
				}
				queue = append(queue, append(mine, mine[rapid.IntRange(0, len(mine)-1).Draw(r, "again")])...)
			}
		}
		queue = rapid.Permutation(queue).Draw(r, "delivered")
		for batch := range slices.Chunk(queue, rapid.IntRange(1, 60).Draw(r, "batch")) {
			applied(t, inbox, batch...)
		}
		for video, original := range model {
			require.Equal(r, row(original), row(video))
		}
	})
}

func failed(id uuid.UUID, message string) services.InboxFailure {
	return services.InboxFailure{
		EventID: id, State: po.Dead, EventType: "catalog.video.updated", MessageID: message, Payload: []byte("p"),
		Attributes: map[string]string{"k\x00": "v\xff"}, Reason: "why\x00",
	}
}

func TestS73_AFailureDoesNotStandInTheWayOfItsEvent(t *testing.T) {
	t.Parallel()
	i := openInbox(t)
	inbox := i.generation(1, undecodable)
	e := titled(testkit.NewVideo(), 1, "repaired")
	require.NoError(t, inbox.Park(t.Context(), []services.InboxFailure{failed(e.ID, "1"), failed(e.ID, "2")}))
	require.NoError(t, inbox.Park(t.Context(), []services.InboxFailure{failed(e.ID, "2")}), "again")
	require.Equal(t, services.InboxCounts{Applied: 1}, applied(t, inbox, e), "published again with what it lacked")
	require.Equal(t, "processed||", testkit.One[string](t, i.DB,
		"SELECT concat(state, '|', payload::text, '|', last_error) FROM profile.inbox_events WHERE processed_at IS NOT NULL"))

	require.NoError(t, inbox.Park(t.Context(), []services.InboxFailure{failed(e.ID, "3")}))
	require.Equal(t, services.InboxCounts{Duplicates: 1}, applied(t, inbox, e), "an impostor takes nothing back")
	page, err := inbox.List(t.Context(), services.InboxQuery{Limit: 10})
	require.NoError(t, err)
	require.Len(t, page, 1)
	require.Equal(t, services.MessageEventID("3"), page[0].EventID, "and is kept all the same")
	require.Equal(t, "why\uFFFD", page[0].Reason)
}

func TestS73_RedriveSettlesWhatWasKeptUnderTheMessagesID(t *testing.T) {
	t.Parallel()
	i := openInbox(t)
	e := titled(testkit.NewVideo(), 1, "readable now")
	key := services.InboxKey{EventID: services.MessageEventID("9"), Generation: 1}
	require.NoError(t, i.generation(1, undecodable).Park(t.Context(), []services.InboxFailure{failed(key.EventID, "9")}))
	refused, err := i.generation(1, undecodable).Redrive(t.Context(), []services.InboxKey{key}, false)
	require.NoError(t, err)
	require.Equal(t, []services.Redriven{{InboxKey: key, Outcome: services.RedriveRefused, Reason: context.Canceled.Error()}}, refused)
	newer := i.generation(1, func([]byte, map[string]string) (services.CatalogEvent, error) { return e, nil })
	driven, err := newer.Redrive(t.Context(), []services.InboxKey{key}, false)
	require.NoError(t, err)
	require.Equal(t, services.RedriveApplied, driven[0].Outcome)
	require.Equal(t, int64(2), testkit.One[int64](t, i.DB, "SELECT count(*) FROM profile.inbox_events WHERE state = 'processed'"))
	require.Equal(t, "readable now", i.title(t, e.Change.VideoID))
}

func TestS73_StatusAndListReadNoMoreThanFailures(t *testing.T) {
	t.Parallel()
	i := openInbox(t)
	inbox := i.generation(1, undecodable)
	empty, err := inbox.Status(t.Context())
	require.NoError(t, err)
	require.Nil(t, empty.OldestFailure)
	require.Nil(t, empty.LastReceived)
	i.DB.Exec(t, `INSERT INTO profile.inbox_events (event_id, source_service, event_type, processed_at)
		SELECT gen_random_uuid(), 'catalog', 't', now() FROM generate_series(1, 20000)`)
	var want []uuid.UUID
	for n := range 5 {
		f := failed(uuid.New(), "m")
		if n%2 == 1 {
			f.State = po.Parked
		}
		require.NoError(t, inbox.Park(t.Context(), []services.InboxFailure{f}))
		want = append(want, f.EventID)
	}
	i.DB.Exec(t, "ANALYZE profile.inbox_events")
	status, err := inbox.Status(t.Context())
	require.NoError(t, err)
	require.Equal(t, [2]int64{3, 2}, [2]int64{status.Dead, status.Parked})
	require.NotNil(t, status.OldestFailure)
	require.NotNil(t, status.LastReceived)
	var got []uuid.UUID
	q := services.InboxQuery{Limit: 2}
	for {
		page, err := inbox.List(t.Context(), q)
		require.NoError(t, err)
		for _, e := range page {
			got = append(got, e.EventID)
		}
		if len(page) < 2 {
			break
		}
		q.After = page[1]
	}
	require.Equal(t, want, got)
	for _, sql := range []string{
		"SELECT count(*) FROM (SELECT 1 FROM profile.inbox_events WHERE processed_at IS NULL AND state = 'dead' LIMIT 10000) d",
		"SELECT received_at FROM profile.inbox_events ORDER BY received_at DESC LIMIT 1",
		"SELECT event_id FROM profile.inbox_events WHERE processed_at IS NULL ORDER BY received_at, event_id, generation LIMIT 100",
	} {
		plan := i.DB.Explain(t, sql)
		require.NotContains(t, plan, "Seq Scan", sql)
		require.True(t, strings.Contains(plan, "inbox_events_failed_idx") || strings.Contains(plan, "inbox_events_received_idx"), plan)
	}
}

func TestS77_PruneForgetsProcessedEventsInBatches(t *testing.T) {
	t.Parallel()
	i := openInbox(t)
	inbox := i.generation(1, undecodable)
	const month = 30 * 24 * time.Hour
	for range 5 {
		applied(t, inbox, titled(testkit.NewVideo(), 1, "old"))
	}
	require.NoError(t, inbox.Park(t.Context(), []services.InboxFailure{failed(uuid.New(), "m")}))
	i.DB.Exec(t, "UPDATE profile.inbox_events SET received_at = received_at - interval '30 days 1 second'")
	kept := titled(testkit.NewVideo(), 1, "new")
	applied(t, inbox, kept)
	for _, want := range []int64{3, 2, 0} {
		removed, err := inbox.Prune(t.Context(), month, 3)
		require.NoError(t, err)
		require.Equal(t, want, removed)
	}
	require.Equal(t, int64(1), testkit.One[int64](t, i.DB, "SELECT count(*) FROM profile.inbox_events WHERE state = 'dead'"))
	require.Equal(t, services.InboxCounts{Duplicates: 1}, applied(t, inbox, kept))
}
