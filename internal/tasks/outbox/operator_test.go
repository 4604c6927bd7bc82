package outbox_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/models/po"
	"github.com/lingo-services/profile/internal/services"
	"github.com/lingo-services/profile/test/testkit"
)

// page is a query for everything.
var page = services.StuckQuery{Limit: 100}

// poisoned is a stage whose broker will not have version 3 of a user until healed.
func poisoned(t *testing.T) (s *stage, sick models.UserID, healed *atomic.Bool) {
	t.Helper()
	sick, healed = testkit.NewUser(), &atomic.Bool{}
	return newStage(t, refuse(func(r *publishRequest) error {
		return errIf(!healed.Load() && carriesVersion(r, sick, "3"), errPoison)
	})), sick, healed
}

func TestS76_RedriveReleasesTheKeyInOrder(t *testing.T) {
	t.Parallel()
	s, sick, healed := poisoned(t)
	operator := services.NewOutboxService(s.Store)
	p := s.publisher(t)
	ids := s.write(t, sick, 5)
	<-p.deadLetters
	s.awaitQueue(t, 3)
	stuck, err := operator.List(t.Context(), page)
	require.NoError(t, err)
	require.Len(t, stuck, 1)
	require.Equal(t, ids[2], stuck[0].EventID)
	require.Equal(t, sick, stuck[0].Key)
	require.Equal(t, int64(3), stuck[0].Version)
	require.Equal(t, int32(3), stuck[0].Attempts)
	require.Equal(t, int64(2), stuck[0].Waiting)
	require.Contains(t, stuck[0].Error, "poison")
	require.NotNil(t, stuck[0].DeadAt)

	healed.Store(true)
	would, err := operator.Redrive(t.Context(), services.StuckQuery{Key: sick, Limit: 100}, true)
	require.NoError(t, err)
	require.Equal(t, stuck, would)
	same, err := operator.List(t.Context(), page)
	require.NoError(t, err)
	require.Equal(t, stuck, same, "a dry run")
	did, err := operator.Redrive(t.Context(), services.StuckQuery{EventIDs: ids[2:3], Limit: 100}, false)
	require.NoError(t, err)
	require.Equal(t, stuck, did)
	s.awaitVersions(t, sick, 5)
	s.awaitQueue(t, 0)
	again, err := operator.Redrive(t.Context(), page, false)
	require.NoError(t, err)
	require.Empty(t, again)
}

func TestS76_SkipArchivesTheHeadAndReleasesTheKey(t *testing.T) {
	t.Parallel()
	s, sick, _ := poisoned(t)
	operator := services.NewOutboxService(s.Store)
	p := s.publisher(t)
	ids := s.write(t, sick, 5)
	<-p.deadLetters
	stuck, err := operator.List(t.Context(), page)
	require.NoError(t, err)
	require.Len(t, stuck, 1)
	skip := services.Skip{ID: stuck[0].ID, Operator: "ada", Reason: "too big"}
	found, err := operator.Skip(t.Context(), services.Skip{ID: stuck[0].ID + 1, Operator: "ada", Reason: "not the head"})
	require.NoError(t, err)
	require.False(t, found)
	found, err = operator.Skip(t.Context(), skip)
	require.NoError(t, err)
	require.True(t, found)
	s.awaitQueue(t, 0)
	require.Eventually(t, func() bool { return len(firsts(s.inbox.versionsOf(sick))) == 4 }, patience, tick)
	require.Equal(t, []string{"1", "2", "4", "5"}, firsts(s.inbox.versionsOf(sick)))
	require.Equal(t, "ada|too big|3|"+ids[2].String(), testkit.One[string](t, s.DB,
		"SELECT concat_ws('|', operator, reason, delivery_attempts, event_id) FROM profile.outbox_skipped WHERE last_error LIKE '%poison%'"))
	found, err = operator.Skip(t.Context(), skip)
	require.NoError(t, err)
	require.False(t, found)
	status, err := operator.Status(t.Context())
	require.NoError(t, err)
	require.Equal(t, po.OutboxCounts{Skipped: 1, Publishers: 1}, status.OutboxCounts)
	require.Len(t, status.Lanes, po.Lanes)
	require.NotEmpty(t, status.Lanes[0].Owner)
}

func quietly(int64, int64) {}

func TestS76_ReplayRepeatsUnderTheSameIds(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	operator := services.NewOutboxService(s.Store)
	user, other := testkit.NewUser(), testkit.NewUser()
	s.publisher(t)
	ids := s.write(t, user, 4)
	s.write(t, other, 2)
	s.awaitQueue(t, 0)
	q := services.ReplayQuery{Since: time.Hour, Key: user}
	would, err := operator.Replay(t.Context(), q, true, quietly)
	require.NoError(t, err)
	require.Equal(t, map[string]int64{"profile.engagement.added": 4}, would.ByType)
	require.Zero(t, s.queued(t))
	seen, total := int64(0), int64(0)
	did, err := operator.Replay(t.Context(), q, false, func(step, of int64) { seen, total = seen+step, of })
	require.NoError(t, err)
	require.Equal(t, would.ByType, did.ByType)
	require.Equal(t, total, seen)
	require.Eventually(t, func() bool { return len(s.inbox.versionsOf(user)) == 8 }, patience, tick)
	require.Equal(t, append(upTo(4), upTo(4)...), s.inbox.versionsOf(user))
	require.Equal(t, upTo(2), s.inbox.versionsOf(other))
	counts := map[string]int{}
	for _, m := range s.inbox.all() {
		counts[m.Attributes["event_id"]]++
	}
	for _, id := range ids {
		require.Equal(t, 2, counts[id.String()])
	}
	s.awaitQueue(t, 0)
}

func TestS76_ReplayTakesWhatWasDeliveredAndAskedFor(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	operator := services.NewOutboxService(s.Store)
	users := newUsers(4)
	waiting, blocked, skipped, fine := users[0], users[1], users[2], users[3]
	for _, user := range users {
		s.write(t, user, 3)
	}
	at := "WHERE (id, ordering_key) IN (SELECT e.id, e.ordering_key FROM profile.outbox_events e WHERE e.ordering_key = $1 AND e.version = $2)"
	s.DB.Exec(t, "DELETE FROM profile.outbox_deliveries WHERE ordering_key <> $1", uuid.UUID(waiting))
	s.DB.Exec(t, `INSERT INTO profile.outbox_deliveries (id, slot, lane, ordering_key, dead_at)
		SELECT id, slot, 0, ordering_key, now() FROM profile.outbox_events WHERE ordering_key = $1 AND version = 2`, uuid.UUID(blocked))
	s.DB.Exec(t, `INSERT INTO profile.outbox_skipped (event_id, id, ordering_key, event_type, version, delivery_attempts, operator, reason)
		SELECT event_id, id, ordering_key, event_type, version, 5, 'o', 'r' FROM profile.outbox_events WHERE ordering_key = $1 AND version = 2`, uuid.UUID(skipped))
	s.DB.Exec(t, "UPDATE profile.outbox_events SET created_at = created_at - interval '2 hours' "+at, uuid.UUID(fine), 1)
	s.DB.Exec(t, "UPDATE profile.outbox_events SET created_at = created_at - interval '2 hours' "+at, uuid.UUID(waiting), 1)
	s.DB.Exec(t, "UPDATE profile.outbox_events SET event_type = 'other' "+at, uuid.UUID(fine), 2)
	for name, c := range map[string]struct {
		query services.ReplayQuery
		want  map[string]int64
	}{
		"not waiting, skipped or behind a dead letter": {services.ReplayQuery{Since: time.Hour}, map[string]int64{"profile.engagement.added": 4, "other": 1}},
		"older":      {services.ReplayQuery{Since: 3 * time.Hour, Key: fine}, map[string]int64{"profile.engagement.added": 2, "other": 1}},
		"until":      {services.ReplayQuery{Since: 3 * time.Hour, To: time.Now().Add(-time.Hour)}, map[string]int64{"profile.engagement.added": 1}},
		"type":       {services.ReplayQuery{Since: time.Hour, Type: "other"}, map[string]int64{"other": 1}},
		"none":       {services.ReplayQuery{From: time.Now().Add(time.Hour)}, map[string]int64{}},
		"key before": {services.ReplayQuery{Since: time.Hour, Key: blocked}, map[string]int64{"profile.engagement.added": 1}},
	} {
		done, err := operator.Replay(t.Context(), c.query, true, quietly)
		require.NoError(t, err, name)
		require.Equal(t, c.want, done.ByType, name)
	}
	epoch := testkit.One[int64](t, s.DB, "SELECT sum(epoch)::bigint FROM profile.outbox_lanes")
	done, err := operator.Replay(t.Context(), services.ReplayQuery{Since: time.Hour, Key: fine}, false, quietly)
	require.NoError(t, err)
	require.Equal(t, map[string]int64{"profile.engagement.added": 1, "other": 1}, done.ByType)
	require.Equal(t, epoch+1, testkit.One[int64](t, s.DB, "SELECT sum(epoch)::bigint FROM profile.outbox_lanes"), "one lane is read again")
	require.Equal(t, int64(po.Event{UserID: fine}.Lane()), testkit.One[int64](t, s.DB, "SELECT DISTINCT lane::bigint FROM profile.outbox_deliveries WHERE ordering_key = $1", uuid.UUID(fine)))
	done, err = operator.Replay(t.Context(), services.ReplayQuery{Since: time.Hour, Key: fine}, false, quietly)
	require.NoError(t, err)
	require.Empty(t, done.ByType, "they wait already")
}

// P21: a dead letter waits for somebody; several operators at once do what one does.
func TestP21_OperatorsAtTheSameTimeApplyOnce(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	operator := services.NewOutboxService(s.Store)
	user := testkit.NewUser()
	s.write(t, user, 2)
	die := "UPDATE profile.outbox_deliveries SET dead_at = now(), delivery_attempts = 5, last_error = 'poison' WHERE id = (SELECT min(id) FROM profile.outbox_deliveries)"
	epochs := func() int64 {
		return testkit.One[int64](t, s.DB, "SELECT sum(epoch)::bigint FROM profile.outbox_lanes")
	}
	s.DB.Exec(t, die)
	before := epochs()
	var applied atomic.Int64
	for _, err := range testkit.Together(8, func(int) error {
		redriven, err := operator.Redrive(t.Context(), page, false)
		applied.Add(int64(len(redriven)))
		return err
	}) {
		require.NoError(t, err)
	}
	require.Equal(t, int64(1), applied.Load())
	require.Equal(t, before+1, epochs())
	require.Equal(t, "poison", testkit.One[string](t, s.DB, "SELECT last_error FROM profile.outbox_deliveries WHERE last_error IS NOT NULL AND dead_at IS NULL AND delivery_attempts = 0"))

	s.DB.Exec(t, die)
	stuck, err := operator.List(t.Context(), page)
	require.NoError(t, err)
	applied.Store(0)
	for _, err := range testkit.Together(8, func(int) error {
		found, err := operator.Skip(t.Context(), services.Skip{ID: stuck[0].ID, Operator: "o", Reason: "r"})
		if found {
			applied.Add(1)
		}
		return err
	}) {
		require.NoError(t, err)
	}
	require.Equal(t, int64(1), applied.Load())
	require.Equal(t, before+2, epochs())
	require.Equal(t, 1, s.queued(t))
}

// Events that were refused and are still tried are listed on demand.
func TestP21_RetryingEventsAreListedOnDemand(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	operator := services.NewOutboxService(s.Store)
	s.write(t, testkit.NewUser(), 1)
	s.DB.Exec(t, "UPDATE profile.outbox_deliveries SET delivery_attempts = 2, last_error = 'later'")
	stuck, err := operator.List(t.Context(), page)
	require.NoError(t, err)
	require.Empty(t, stuck)
	stuck, err = operator.List(t.Context(), services.StuckQuery{Retrying: true, Limit: 1})
	require.NoError(t, err)
	require.Len(t, stuck, 1)
	require.Nil(t, stuck[0].DeadAt)
	redriven, err := operator.Redrive(t.Context(), services.StuckQuery{Retrying: true, Limit: 1}, false)
	require.NoError(t, err)
	require.Empty(t, redriven, "it is no dead letter")
	status, err := operator.Status(t.Context())
	require.NoError(t, err)
	require.Positive(t, status.Lag)
}
