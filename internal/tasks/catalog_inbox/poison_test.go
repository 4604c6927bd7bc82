package cataloginbox_test

import (
	"context"
	"math/bits"
	"sync/atomic"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"

	videov1 "github.com/lingo-services/profile/internal/clients/catalog/video/v1"
	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/models/po"
	"github.com/lingo-services/profile/internal/services"
	cataloginbox "github.com/lingo-services/profile/internal/tasks/catalog_inbox"
	"github.com/lingo-services/profile/test/testkit"
)

func TestS73_PoisonIsDeadAtOnceWithItsErrorAndAcknowledged(t *testing.T) {
	t.Parallel()
	s := open(t)
	video := testkit.NewVideo()
	zero := created(video, 0)
	nowhere := updated(video, 1, func(v *videov1.VideoUpdated) { v.VideoId = "nowhere" })
	garbage := func(m *pubsub.Message) {
		m.Data, m.Attributes = []byte("garbage\x00"), map[string]string{"event_id": "\x00"}
	}
	r := s.start(t)
	ids := []string{s.send(t, zero), s.send(t, nowhere), s.send(t, created(video, 9), garbage), s.send(t, created(video, 2))}
	r.awaitCount(t, cataloginbox.Dead, 3)
	r.awaitCount(t, cataloginbox.Applied, 1)
	s.requireDrained(t, ids...)
	require.Zero(t, r.nacked)
	require.Equal(t, int64(3), s.inboxCount(t, "dead"))
	require.Equal(t, "created.version: 0, must be at least 1",
		testkit.One[string](t, s.DB, "SELECT last_error FROM profile.inbox_events WHERE event_id = $1 AND payload IS NOT NULL", zero.GetEventId()))
	require.Equal(t, []byte("garbage\x00"),
		testkit.One[[]byte](t, s.DB, "SELECT payload FROM profile.inbox_events WHERE event_id = $1", services.MessageEventID(ids[2])))
}

func TestS73_APoisonInTheMiddleCostsFewTransactions(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.DB.Exec(t, "ALTER TABLE profile.videos_projection ADD CONSTRAINT no_poison CHECK (title <> 'poison')")
	const size = 256
	events := make([]*videov1.Event, size)
	for i := range events {
		events[i] = created(testkit.NewVideo(), 1)
	}
	events[137].GetCreated().Title = "poison"
	var applies, parks atomic.Int64
	inbox := &faulty{CatalogInboxService: s.inbox}
	inbox.apply = func(ctx context.Context, events []services.CatalogEvent) (services.InboxCounts, error) {
		applies.Add(1)
		return s.inbox.Apply(ctx, events)
	}
	inbox.park = func(ctx context.Context, failures []services.InboxFailure) error {
		parks.Add(1)
		return s.inbox.Park(ctx, failures)
	}
	ids := s.sendAll(t, events)
	r := s.startWith(t, inbox, func(o *cataloginbox.Options) { o.Linger = time.Hour })
	r.awaitCount(t, cataloginbox.Applied, size-1)
	r.awaitCount(t, cataloginbox.Dead, 1)
	s.requireDrained(t, ids...)
	require.LessOrEqual(t, applies.Load(), int64(2*bits.Len(size-1)+1))
	require.Equal(t, int64(1), parks.Load())
	require.Equal(t, []byte(nil), testkit.One[[]byte](t, s.DB, "SELECT payload FROM profile.inbox_events WHERE event_id = $1", events[0].GetEventId()))
	require.Contains(t, testkit.One[string](t, s.DB, "SELECT last_error FROM profile.inbox_events WHERE state = 'dead' AND event_id = $1",
		events[137].GetEventId()), "no_poison")
	require.Equal(t, int64(size-1), testkit.One[int64](t, s.DB, "SELECT count(*) FROM profile.videos_projection"))

	// Once its reason is gone it can be driven in.
	s.DB.Exec(t, "ALTER TABLE profile.videos_projection DROP CONSTRAINT no_poison")
	driven, err := s.inbox.Redrive(t.Context(), []services.InboxKey{{EventID: uuid.MustParse(events[137].GetEventId()), Generation: 1}}, false)
	require.NoError(t, err)
	require.Equal(t, services.RedriveApplied, driven[0].Outcome)
	require.Zero(t, s.inboxCount(t, "dead"))
}

func TestS73_AnUnknownTypeIsParkedAndRedrivenByANewerRelease(t *testing.T) {
	t.Parallel()
	s := open(t)
	video := testkit.NewVideo()
	restored := event(video, &videov1.Event{Version: 7})
	r := s.start(t)
	id := s.send(t, restored, func(m *pubsub.Message) {
		m.Data = protowire.AppendString(protowire.AppendTag(m.Data, 13, protowire.BytesType), "a later payload")
		m.Attributes["event_type"] = "catalog.video.restored"
	})
	r.awaitCount(t, cataloginbox.Parked, 1)
	s.requireDrained(t, id)
	require.Zero(t, r.nacked)
	page, err := s.inbox.List(t.Context(), services.InboxQuery{State: po.Parked, Limit: 10})
	require.NoError(t, err)
	require.Len(t, page, 1)
	require.Equal(t, "catalog.video.restored", page[0].EventType)
	require.Equal(t, video.String(), page[0].AggregateID)

	same, err := s.inbox.Redrive(t.Context(), []services.InboxKey{page[0].InboxKey}, false)
	require.NoError(t, err)
	require.Equal(t, services.RedriveRefused, same[0].Outcome, "this release does not know it either")
	require.Equal(t, int64(1), s.inboxCount(t, "parked"))

	newer := s.newer(t, func(payload []byte, attributes map[string]string) (services.CatalogEvent, error) {
		require.Equal(t, "catalog.video.restored", attributes["event_type"])
		title := "restored"
		return services.CatalogEvent{ID: page[0].EventID, Type: "catalog.video.restored", Change: po.VideoChange{
			VideoID: video, Kind: po.VideoUpdated, Version: 7, Title: &title,
		}}, nil
	})
	dry, err := newer.Redrive(t.Context(), []services.InboxKey{page[0].InboxKey}, true)
	require.NoError(t, err)
	require.Equal(t, services.RedriveApplicable, dry[0].Outcome)
	require.Equal(t, int64(1), s.inboxCount(t, "parked"))
	for _, want := range []string{services.RedriveApplied, services.RedriveGone} {
		driven, err := newer.Redrive(t.Context(), []services.InboxKey{page[0].InboxKey}, false)
		require.NoError(t, err)
		require.Equal(t, want, driven[0].Outcome)
	}
	require.Equal(t, "restored", s.title(t, video))
}

// What follows a message that was given back waits for it: the broker brings both again, in order.
func TestS73_TheSameKeyIsNotTakenPastAMessageGivenBack(t *testing.T) {
	t.Parallel()
	// Without ordering on the subscription several messages of a key are in one batch, in any order.
	s := open(t, func(sub *pubsubpb.Subscription) { sub.EnableMessageOrdering = false })
	s.DB.Exec(t, "ALTER TABLE profile.videos_projection ADD CONSTRAINT no_poison CHECK (title <> 'poison')")
	video, other := testkit.NewVideo(), testkit.NewVideo()
	events := []*videov1.Event{created(video, 1, func(v *videov1.VideoCreated) { v.Title = "poison" })}
	for version := range int64(6) {
		events = append(events, updated(video, version+2), updated(other, version+2))
	}
	var batch []services.CatalogEvent
	applied := map[uuid.UUID]bool{}
	inbox := &faulty{CatalogInboxService: s.inbox}
	inbox.apply = func(ctx context.Context, events []services.CatalogEvent) (services.InboxCounts, error) {
		if batch == nil {
			batch = events
		}
		counts, err := s.inbox.Apply(ctx, events)
		if err == nil {
			for _, e := range events {
				applied[e.ID] = true
			}
		}
		return counts, err
	}
	refused := make(chan struct{})
	inbox.park = func(context.Context, []services.InboxFailure) error {
		close(refused)
		return models.ErrUnavailable
	}
	s.sendAll(t, events)
	r := s.startWith(t, inbox, func(o *cataloginbox.Options) { o.Linger, o.Batch, o.Patience = time.Hour, len(events), 0 })
	<-refused
	require.NoError(t, r.Stop(t.Context()))
	require.NoError(t, <-r.ended)
	require.Len(t, batch, len(events))
	behind := false
	for _, e := range batch {
		mine := e.Change.VideoID == video
		behind = behind || mine && e.Change.Version == 1
		require.Equal(t, !mine || !behind, applied[e.ID], "version %d behind %v", e.Change.Version, behind)
	}
	require.Positive(t, r.nacked)
}

// newer is the service of a release that decodes more.
func (s *stack) newer(t testing.TB, decode services.CatalogDecoder) services.CatalogInboxService {
	t.Helper()
	return s.serviceWith(t, decode, 1)
}
