package cataloginbox_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"cloud.google.com/go/pubsub/v2/pstest"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"

	videov1 "github.com/lingo-services/profile/internal/clients/catalog/video/v1"
	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/services"
	cataloginbox "github.com/lingo-services/profile/internal/tasks/catalog_inbox"
	"github.com/lingo-services/profile/test/testkit"
)

func TestA99_WhatTheCatalogPublishesBecomesTheProjection(t *testing.T) {
	t.Parallel()
	s := open(t)
	id := testkit.NewVideo()
	r := s.start(t)
	ids := s.sendAll(t, []*videov1.Event{
		created(id, 1),
		updated(id, 2, func(v *videov1.VideoUpdated) {
			v.VisibilityStatus, v.ThumbnailUrl = new("public"), new("https://x/t.jpg")
		}),
	})
	r.awaitCount(t, cataloginbox.Applied, 2)
	s.requireDrained(t, ids...)
	require.Equal(t, "available", testkit.One[string](t, s.DB, "SELECT availability FROM profile.videos_projection"))
	require.Equal(t, int64(2), testkit.One[int64](t, s.DB, `SELECT count(*) FROM profile.inbox_events WHERE processed_at IS NOT NULL
		AND source_service = 'catalog' AND event_type LIKE 'catalog.video.%' AND aggregate_type = 'video' AND aggregate_id = $1
		AND payload IS NULL AND last_error IS NULL`, id.String()))
	r.halt(t)
}

func TestS70_NoAcknowledgementBeforeTheCommit(t *testing.T) {
	t.Parallel()
	s := open(t)
	reached, blocked := make(chan struct{}), make(chan struct{})
	release := sync.OnceFunc(func() { close(blocked) })
	inbox := &faulty{CatalogInboxService: s.inbox}
	inbox.apply = func(ctx context.Context, events []services.CatalogEvent) (services.InboxCounts, error) {
		reached <- struct{}{}
		<-blocked
		return s.inbox.Apply(ctx, events)
	}
	r := s.startWith(t, inbox)
	t.Cleanup(release)
	id := s.send(t, created(testkit.NewVideo(), 1))
	<-reached
	r.mu.Lock()
	inHand := r.inHand
	r.mu.Unlock()
	require.Equal(t, 1, inHand)
	if s.Server != nil {
		require.Zero(t, s.message(id).Acks)
	}
	release()
	r.awaitCount(t, cataloginbox.Applied, 1)
	s.requireDrained(t, id)
}

// The process dies after the commit: nothing of the first delivery was acknowledged, and the second has no effect.
func TestS70_KilledBetweenCommitAndAcknowledgement(t *testing.T) {
	t.Parallel()
	s := open(t)
	committed := make(chan struct{})
	inbox := &faulty{CatalogInboxService: s.inbox}
	inbox.apply = func(ctx context.Context, events []services.CatalogEvent) (services.InboxCounts, error) {
		if _, err := s.inbox.Apply(ctx, events); err != nil {
			return services.InboxCounts{}, err
		}
		close(committed)
		<-ctx.Done()
		return services.InboxCounts{}, models.ErrCancelled
	}
	victim := s.startWith(t, inbox)
	video := testkit.NewVideo()
	id := s.send(t, created(video, 1))
	<-committed
	before, touched := s.row(t, video), s.touched(t, video)
	now, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, victim.Stop(now), "what it had in hand is delivered again")
	require.NoError(t, <-victim.ended)
	s.expireLeases()

	heir := s.start(t)
	heir.awaitCount(t, cataloginbox.Duplicate, 1)
	s.requireDrained(t, id)
	require.Equal(t, before, s.row(t, video))
	require.Equal(t, touched, s.touched(t, video))
	require.Equal(t, int64(1), s.inboxCount(t, "processed"))
}

func TestS70_AnOutageGivesBackAndRecovers(t *testing.T) {
	t.Parallel()
	s := open(t)
	block := func(allow string) { testkit.Super(t, "ALTER DATABASE "+s.DB.Name+" ALLOW_CONNECTIONS "+allow) }
	block("false")
	testkit.Super(t, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'profile_app' AND datname = '"+s.DB.Name+"'")
	r := s.start(t, func(o *cataloginbox.Options) { o.Patience = 0 })
	video := testkit.NewVideo()
	id := s.send(t, created(video, 1))
	r.await(t, "given back twice", func() bool { return r.nacked >= 2 })
	block("true")
	r.awaitCount(t, cataloginbox.Applied, 1)
	s.requireDrained(t, id)
	require.NotEmpty(t, s.row(t, video))
}

// Each delivery counts against the subscription's limit, so that a short outage must not cost any.
func TestS70_AShortOutageCostsNoDelivery(t *testing.T) {
	t.Parallel()
	s := open(t)
	inbox := &faulty{CatalogInboxService: s.inbox}
	tries := 0
	inbox.apply = func(ctx context.Context, events []services.CatalogEvent) (services.InboxCounts, error) {
		if tries++; tries < 5 {
			return services.InboxCounts{}, []error{models.ErrUnavailable, models.ErrDeadlineExceeded, models.ErrTransactionConflict, errors.New("internal")}[tries-1]
		}
		return s.inbox.Apply(ctx, events)
	}
	r := s.startWith(t, inbox)
	id := s.send(t, created(testkit.NewVideo(), 1))
	r.awaitCount(t, cataloginbox.Applied, 1)
	s.requireDrained(t, id)
	require.Zero(t, r.nacked)
	require.Zero(t, s.inboxCount(t, "dead"))
}

func TestA99_ExactlyOnceAcknowledgementsAreConfirmed(t *testing.T) {
	t.Parallel()
	s := open(t, func(sub *pubsubpb.Subscription) { sub.EnableExactlyOnceDelivery = true })
	r := s.start(t)
	var events []*videov1.Event
	for range 20 {
		events = append(events, created(testkit.NewVideo(), 1))
	}
	ids := s.sendAll(t, events)
	r.awaitCount(t, cataloginbox.Applied, len(events))
	s.requireDrained(t, ids...)
	r.halt(t)
	require.Zero(t, r.failedAcks)
	require.Zero(t, r.nacked)
}

func TestA99_StartAndStop(t *testing.T) {
	t.Parallel()
	s := open(t)
	opts := cataloginbox.Options{Subscription: subscription, Batch: 1, Linger: tick, MaxOutstanding: 1}
	early := cataloginbox.NewRunner(s.Client, s.inbox, newRecorder(), nil, opts)
	require.NoError(t, early.Stop(t.Context()))
	require.NoError(t, early.Stop(t.Context()))
	require.NoError(t, early.Start(t.Context()), "stopped before it began")

	opts.Subscription = "nowhere"
	lost := cataloginbox.NewRunner(s.Client, s.inbox, newRecorder(), nil, opts)
	require.ErrorContains(t, lost.Start(t.Context()), "nowhere does not exist")

	// Waiting for a batch to fill is no reason to keep a stop waiting.
	r := s.start(t, func(o *cataloginbox.Options) { o.Linger = time.Hour })
	id := s.send(t, created(testkit.NewVideo(), 1))
	r.await(t, "in hand", func() bool { return r.inHand == 1 })
	r.halt(t)
	require.NoError(t, r.Stop(t.Context()))
	require.Equal(t, 1, r.counts[cataloginbox.Applied], "what is in hand is finished")
	s.requireDrained(t, id)
}

// A broker that cannot answer at the start is received from when it can.
func TestA99_ABrokerInTroubleAtTheStartIsWaitedFor(t *testing.T) {
	t.Parallel()
	s := openOn(t, testkit.NewBroker(t, pstest.WithErrorInjection("GetSubscription", codes.Internal, "in trouble")))
	s.start(t)
	id := s.send(t, created(testkit.NewVideo(), 1))
	s.requireDrained(t, id)
	require.Equal(t, int64(1), s.inboxCount(t, "processed"))
}
