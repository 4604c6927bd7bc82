package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/lingo-services/profile/internal/infrastructure/postgres"
	infrapubsub "github.com/lingo-services/profile/internal/infrastructure/pubsub"
	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/models/po"
	"github.com/lingo-services/profile/internal/repositories"
	"github.com/lingo-services/profile/internal/tasks/outbox"
	"github.com/lingo-services/profile/test/testkit"
)

func newUsers(n int) []models.UserID {
	users := make([]models.UserID, n)
	for i := range users {
		users[i] = testkit.NewUser()
	}
	return users
}

func TestS75_EventsOfAKeyArriveInVersionOrder(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	users := newUsers(20)
	for _, user := range users {
		s.write(t, user, 5)
	}
	p := s.publisher(t)
	for range 3 {
		for _, err := range testkit.Together(len(users), func(i int) error { s.write(t, users[i], 3); return nil }) {
			require.NoError(t, err)
		}
	}
	for _, user := range users {
		s.awaitVersions(t, user, 14)
	}
	s.awaitQueue(t, 0)
	p.stop()
	require.Len(t, s.inbox.all(), 20*14, "without failures nothing is sent twice")
	require.Equal(t, 20*14, p.counted()["published"])
}

// A backlog deeper than the window, read in turns by two publishers.
func TestS75_DeepBacklogsKeepTheirOrder(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	users := newUsers(12)
	for _, user := range users {
		s.write(t, user, 15)
	}
	small := func(o *outbox.Options) { o.Batch, o.Window = 10, 20 }
	s.publisher(t, small)
	s.publisher(t, small)
	for _, user := range users {
		s.awaitVersions(t, user, 15)
	}
	s.awaitQueue(t, 0)
}

// The id of an event is older than what has been read already when its transaction commits last.
func TestS75_WhatCommitsLateIsNeitherMissedNorOvertaken(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	late, other := testkit.NewUser(), testkit.NewUser()
	s.publisher(t)
	commit, written := make(chan struct{}), make(chan struct{})
	done := testkit.Later(func() error {
		return s.Store.Write(context.Background(), models.ServiceActor, func(ctx context.Context, tx *repositories.Tx) error {
			_, err := appendEvents(ctx, tx, late, 2)
			close(written)
			<-commit
			return err
		})
	})
	<-written
	s.write(t, other, 3)
	s.awaitVersions(t, other, 3)
	next := testkit.Later(func() error { s.write(t, late, 1); return nil }) // waits for the key's lock
	close(commit)
	require.NoError(t, <-done)
	require.NoError(t, <-next)
	s.awaitVersions(t, late, 3)
	s.awaitQueue(t, 0)
}

// A transaction that began before another, and ends after it, is neither running nor to come in a snapshot
// between the two: it lies above the newest that is known to have ended.
func TestS75_WritersThatASnapshotDoesNotMentionAreRead(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	// Without a notification, whose transaction would end after both began.
	quiet := repositories.NewStore(s.Pool, repositories.TxOptions{StatementTimeout: patience, LockTimeout: patience, MaxAttempts: 1}, repositories.NoWaker{})
	first, second := testkit.NewUser(), testkit.NewUser()
	begun, ended := make(chan struct{}), make(chan struct{})
	end := sync.OnceFunc(func() { close(ended) })
	defer end()
	older := testkit.Later(func() error { // takes its transaction id first, and its event id last
		return quiet.Write(context.Background(), models.ServiceActor, func(ctx context.Context, tx *repositories.Tx) error {
			if _, err := tx.UserStats.Lock(ctx, []models.UserID{first}); err != nil {
				return err
			}
			close(begun)
			<-ended
			_, err := appendEvents(ctx, tx, first, 1)
			return err
		})
	})
	<-begun
	read := s.take(t, "") // nothing there yet
	younger, err := s.Pool.Begin(t.Context())
	require.NoError(t, err)
	defer func() { _ = younger.Rollback(context.Background()) }()
	late := s.appendIn(t, younger, second)
	end()
	require.NoError(t, <-older)
	read = s.take(t, read.Snapshot, read.Deliveries...)
	require.Len(t, read.Deliveries, 1)
	require.Greater(t, read.Deliveries[0].ID, late, "the younger transaction has the smaller id, and has not ended")
	require.NoError(t, younger.Commit(t.Context()))
	read = s.take(t, read.Snapshot, read.Deliveries...)
	require.Len(t, read.Deliveries, 1)
	require.Equal(t, late, read.Deliveries[0].ID)
}

func TestS74_RolledBackEventsAreNeverPublished(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	user, undone := testkit.NewUser(), errors.New("undone")
	s.publisher(t)
	for range 3 {
		err := s.Store.Write(t.Context(), models.ServiceActor, func(ctx context.Context, tx *repositories.Tx) error {
			_, err := appendEvents(ctx, tx, user, 1)
			return errors.Join(err, undone)
		})
		require.ErrorIs(t, err, undone)
		s.write(t, user, 1)
	}
	s.awaitVersions(t, user, 3)
	s.awaitQueue(t, 0)
	require.Len(t, s.inbox.all(), 3)
}

func TestS74_MessagesCarryTheirEvent(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	user := testkit.NewUser()
	ids := s.write(t, user, 1)
	s.publisher(t)
	s.awaitVersions(t, user, 1)
	m := s.inbox.all()[0]
	require.Equal(t, []byte("payload"), m.Data)
	require.Equal(t, user.String(), m.OrderingKey)
	require.Equal(t, ids[0].String(), m.Attributes["event_id"])
	require.Equal(t, "profile.engagement.added", m.Attributes["event_type"])
	require.Equal(t, "user", m.Attributes["aggregate_type"])
}

func TestS75_LanesAreSharedAndHandedOverWithoutRepeating(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	lanesOf := func() (counts map[string]int) {
		counts = map[string]int{}
		for _, owner := range s.owners(t) {
			counts[owner]++
		}
		return counts
	}
	shares := func(want ...int) {
		t.Helper()
		require.Eventually(t, func() bool {
			var got []int
			for owner, n := range lanesOf() {
				if owner != "" {
					got = append(got, n)
				}
			}
			return fmt.Sprint(sorted(got)) == fmt.Sprint(sorted(want))
		}, patience, tick)
	}
	users := newUsers(10)
	write := func() {
		for _, user := range users {
			s.write(t, user, 5)
		}
	}
	first := s.publisher(t)
	shares(16)
	write()
	second := s.publisher(t)
	shares(8, 8)
	write()
	third := s.publisher(t)
	shares(6, 6, 4)
	write()
	first.stop()
	shares(8, 8)
	write()
	second.stop()
	shares(16)
	for _, user := range users {
		s.awaitVersions(t, user, 20)
	}
	s.awaitQueue(t, 0)
	third.stop()
	require.Len(t, s.inbox.all(), 10*20)
	require.Zero(t, testkit.One[int](t, s.DB, "SELECT count(*)::int FROM profile.outbox_publishers"))
	require.Equal(t, map[string]int{"": 16}, lanesOf())
}

// A publisher that was away longer than its lease goes on with what it had read.
func TestS75_ZombiesRepeatButDoNotReorder(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	users := newUsers(8)
	gate := &gate{Store: s.Store, at: make(chan struct{}), open: make(chan struct{})}
	zombie := s.publisherOn(t, gate)
	for _, user := range users {
		s.write(t, user, 10)
	}
	<-gate.at // it has read, and hangs before it hears so
	s.publisher(t)
	for _, user := range users {
		s.awaitVersions(t, user, 10)
		s.write(t, user, 5)
	}
	close(gate.open)
	for _, user := range users {
		s.awaitVersions(t, user, 15)
	}
	s.awaitQueue(t, 0)
	zombie.stop()
	require.GreaterOrEqual(t, len(s.inbox.all()), 8*15)
}

func TestS75_RowSecurityDoesNotHideEvents(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	require.NoError(t, postgres.SetRowSecurity(t.Context(), s.DB.OwnerURL, true))
	user := testkit.NewUser()
	s.write(t, user, 3)
	s.publisher(t)
	s.awaitVersions(t, user, 3)
	require.Eventually(t, func() bool {
		return testkit.One[int](t, s.DB, "SELECT count(*)::int FROM profile.outbox_deliveries") == 0
	}, patience, tick)
}

func TestS75_LostConnectionsLoseNothing(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	p := s.publisher(t)
	users := newUsers(6)
	for range 4 {
		for _, user := range users {
			s.write(t, user, 5)
		}
		testkit.Super(t, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '"+s.DB.Name+"'")
		for s.Pool.Ping(t.Context()) != nil {
			continue // the pool finds out which connections are gone
		}
	}
	for _, user := range users {
		s.awaitVersions(t, user, 20)
	}
	s.awaitQueue(t, 0)
	p.stop()
}

func TestStopGivesUpAtTheGraceAndLosesNothing(t *testing.T) {
	t.Parallel()
	hang := make(chan struct{})
	s := newStage(t, refuse(func(*publishRequest) error { <-hang; return nil }))
	user := testkit.NewUser()
	s.write(t, user, 3)
	p := s.publisher(t, func(o *outbox.Options) { o.Grace = 50 * time.Millisecond })
	require.Eventually(t, func() bool { return s.held(t) == 16 }, patience, tick)
	p.stop()
	require.Equal(t, 3, s.queued(t))
	require.Equal(t, 0, s.held(t))
	close(hang)
	s.publisher(t)
	s.awaitVersions(t, user, 3)
	s.awaitQueue(t, 0)
}

func TestStopBeforeStartAndTwice(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	p := outbox.NewPublisher(outbox.Options{}, s.Store, nil, nil, newWatcher(), nil)
	require.NoError(t, p.Stop(t.Context()))
	require.NoError(t, p.Stop(t.Context()))
	require.NoError(t, p.Start(t.Context()))
}

func TestReportTellsLagAndBacklogWithoutCounting(t *testing.T) {
	t.Parallel()
	s := newStage(t, refuse(func(*publishRequest) error { return errUnavailable }))
	p := s.publisher(t)
	s.write(t, testkit.NewUser(), 7)
	s.DB.Exec(t, "UPDATE profile.outbox_events SET created_at = created_at - interval '90 seconds'")
	require.Eventually(t, func() bool { return p.last().Lag > 89*time.Second && p.last().Lanes == 16 }, patience, tick)
	require.Less(t, p.last().Lag, 150*time.Second)
	require.Eventually(t, func() bool { return p.estimate() == 7 }, patience, tick)
}

// Buckets keep the order of every user in them.
func TestBucketsShareKeysAndKeepTheOrderOfUsers(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	users := newUsers(40)
	s.publisher(t, func(o *outbox.Options) { o.Buckets = 3 })
	for range 3 {
		for _, user := range users {
			s.write(t, user, 2)
		}
	}
	keys := map[string]bool{}
	for _, user := range users {
		s.awaitVersions(t, user, 6)
	}
	for _, m := range s.inbox.all() {
		keys[m.OrderingKey] = true
	}
	require.Equal(t, map[string]bool{"bucket-0": true, "bucket-1": true, "bucket-2": true}, keys)
}

func TestS75_UsersOfALaneStayInIt(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	user := models.UserID(uuid.MustParse("11111111-1111-4111-8111-111111111111"))
	s.write(t, user, 1)
	require.Equal(t, po.Event{UserID: user}.Lane(), testkit.One[int32](t, s.DB, "SELECT lane::int FROM profile.outbox_deliveries"))
	require.Equal(t, int32(5), po.Event{UserID: user}.Lane(), "a lane is a stable hash: other releases run beside this one")
}

// A mistyped topic is told at once; a broker that is away is not waited for.
func TestATopicThatDoesNotExistIsAMistake(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	conf := s.broker.Conf()
	conf.Pubsub.TopicId = "profile.evnets"
	client, closeClient, err := infrapubsub.NewClient(t.Context(), conf)
	require.NoError(t, err)
	defer closeClient()
	_, err = infrapubsub.NewEventTopic(t.Context(), client, conf)
	require.EqualError(t, err, "topic projects/"+s.broker.Project+"/topics/profile.evnets does not exist (messaging.pubsub.topic_id)")

	conf.Pubsub.EmulatorHost = "127.0.0.1:1"
	absent, closeAbsent, err := infrapubsub.NewClient(t.Context(), conf)
	require.NoError(t, err)
	defer closeAbsent()
	topic, err := infrapubsub.NewEventTopic(t.Context(), absent, conf)
	require.NoError(t, err)
	topic.Stop()
}
