package repositories_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/models/po"
	"github.com/lingo-services/profile/internal/repositories"
	"github.com/lingo-services/profile/test/testkit"
)

func event(u models.UserID, version int64) po.Event {
	return po.Event{
		ID: uuid.Must(uuid.NewV7()), Type: "profile.engagement.added", UserID: u, Version: version, OccurredAt: noon, Payload: []byte{1, 0, 255},
	}
}

func appendEvents(t testing.TB, s schema, events ...po.Event) {
	t.Helper()
	do(t, s, func(ctx context.Context, tx *repositories.Tx) error { return tx.Outbox.Append(ctx, events) })
}

// logged is an event with its delivery, as stored.
type logged struct {
	ID, Version              int64
	Slot, DeliverySlot, Lane int16
	Key, DeliveryKey         uuid.UUID
}

func loggedEvents(t testing.TB, s schema) []logged {
	t.Helper()
	rows, err := s.DB.Owner.Query(t.Context(), `
		SELECT e.id, e.version, e.slot, d.slot, d.lane, e.ordering_key, d.ordering_key
		FROM profile.outbox_events e JOIN profile.outbox_deliveries d USING (id) ORDER BY e.id`)
	require.NoError(t, err)
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[logged])
	require.NoError(t, err)
	return all
}

func TestM97_EventsAreLoggedWithTheirDeliveries(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.stopClock(t, noon)
	appendEvents(t, s)
	require.Empty(t, loggedEvents(t, s))
	e := event(user(1), 3)
	appendEvents(t, s, e)
	type row struct {
		EventID, AggregateID, OrderingKey uuid.UUID
		AggregateType, EventType, Headers string
		Version                           int64
		Payload                           []byte
		OccurredAt, CreatedAt             time.Time
	}
	rows, err := s.DB.Owner.Query(t.Context(), `SELECT event_id, aggregate_id, ordering_key, aggregate_type, event_type, headers::text, version,
		payload, occurred_at AT TIME ZONE 'UTC', created_at AT TIME ZONE 'UTC' FROM profile.outbox_events`)
	require.NoError(t, err)
	got, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[row])
	require.NoError(t, err)
	require.Equal(t, row{e.ID, uuid.UUID(e.UserID), uuid.UUID(e.UserID), "user", e.Type, "{}", 3, e.Payload, noon, noon}, got)
}

func TestS75_IDsGrowInVersionOrderOfAUser(t *testing.T) {
	t.Parallel()
	s := open(t)
	appendEvents(t, s, event(user(2), 2), event(user(1), 3), event(user(2), 1), event(user(1), 1), event(user(1), 2))
	appendEvents(t, s, event(user(2), 3), event(user(1), 4))
	versions := map[uuid.UUID][]int64{}
	for _, e := range loggedEvents(t, s) {
		versions[e.Key] = append(versions[e.Key], e.Version)
	}
	require.Equal(t, map[uuid.UUID][]int64{uuid.UUID(user(1)): {1, 2, 3, 4}, uuid.UUID(user(2)): {1, 2, 3}}, versions)
}

// P20: the key is the user, never a video, so that a hot video does not serialise everybody.
func TestP20_DeliveriesAreKeyedAndLanedByUser(t *testing.T) {
	t.Parallel()
	s := open(t)
	var events []po.Event
	for range 200 {
		events = append(events, event(newUser(), 1))
	}
	appendEvents(t, s, events...)
	lanes := map[uuid.UUID]int16{}
	for _, e := range events {
		lanes[uuid.UUID(e.UserID)] = int16(e.Lane())
	}
	used := map[int16]bool{}
	for _, e := range loggedEvents(t, s) {
		require.Equal(t, lanes[e.Key], e.Lane)
		require.Equal(t, e.Key, e.DeliveryKey)
		require.Contains(t, lanes, e.Key)
		used[e.Lane] = true
	}
	require.Len(t, used, po.Lanes, "200 users reach every lane")
	require.Equal(t, int64(po.Lanes), testkit.One[int64](t, s.DB,
		"SELECT count(*) FROM profile.outbox_lanes WHERE lane BETWEEN 0 AND 15 AND owner IS NULL"), "every lane can be owned")
}

func TestP18_FutureEventIsAvailableNow(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.stopClock(t, noon)
	e := event(user(1), 1)
	e.OccurredAt = noon.AddDate(10, 0, 0)
	appendEvents(t, s, e)
	require.Equal(t, noon, testkit.One[time.Time](t, s.DB, "SELECT available_at FROM profile.outbox_deliveries").UTC())
}

func TestS77_EventsOfADayLandInItsPartitionOfTheRing(t *testing.T) {
	t.Parallel()
	s := open(t)
	midnight := time.Date(2030, 1, 2, 0, 0, 0, 0, time.UTC)
	var want []int16
	const slots = 10
	for day := range slots + 1 {
		for _, at := range []time.Time{midnight, midnight.AddDate(0, 0, 1).Add(-time.Microsecond)} {
			at = at.AddDate(0, 0, day)
			s.stopClock(t, at)
			appendEvents(t, s, event(newUser(), 1))
			want = append(want, int16(at.Unix()/86_400%slots))
		}
	}
	var used []int16
	for _, e := range loggedEvents(t, s) {
		require.Equal(t, e.Slot, e.DeliverySlot)
		used = append(used, e.Slot)
	}
	require.Equal(t, want, used)
	slices.Sort(used)
	require.Len(t, slices.Compact(used), slots)
	require.True(t, testkit.One[bool](t, s.DB,
		"SELECT bool_and(tableoid::regclass::text = 'profile.outbox_events_' || slot) FROM profile.outbox_events"))
}

// A day can return to a slot that retention has not emptied yet: the log still takes the events.
func TestS77_FullRingNeverFailsAWrite(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.stopClock(t, noon)
	appendEvents(t, s, event(user(1), 1), event(user(1), 2))
	s.stopClock(t, noon.AddDate(0, 0, 10))
	appendEvents(t, s, event(user(1), 3))
	all := loggedEvents(t, s)
	require.Len(t, all, 3)
	require.Equal(t, all[0].Slot, all[2].Slot)
}

func TestM44_StatusViewHasTheColumnsOfTheTemplate(t *testing.T) {
	t.Parallel()
	s := open(t)
	rows, err := s.DB.Owner.Query(t.Context(), `SELECT column_name::text FROM information_schema.columns
		WHERE table_schema = 'profile' AND table_name = 'outbox_status'`)
	require.NoError(t, err)
	columns, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	require.ElementsMatch(t, []string{
		"id", "event_id", "aggregate_type", "aggregate_id", "event_type", "ordering_key", "version", "payload", "headers", "occurred_at",
		"created_at", "available_at", "delivery_attempts", "last_error", "locked_at", "lock_token", "dead_at", "published",
	}, columns)
}

func TestM44_StatusViewFollowsADelivery(t *testing.T) {
	t.Parallel()
	s := open(t)
	e := event(user(1), 1)
	appendEvents(t, s, e)
	type status struct {
		Published bool
		Attempts  int32
		LastError *string
		Dead      bool
		Token     *string
		Locked    bool
	}
	see := func() status {
		rows, err := s.DB.Owner.Query(t.Context(), `SELECT published, delivery_attempts, last_error, dead_at IS NOT NULL, lock_token,
			locked_at IS NOT NULL FROM profile.outbox_status WHERE event_id = $1`, e.ID)
		require.NoError(t, err)
		got, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[status])
		require.NoError(t, err)
		return got
	}
	require.Equal(t, status{}, see())
	s.DB.Exec(t, "UPDATE profile.outbox_lanes SET owner = 'a', lease_until = now() WHERE lane = $1", e.Lane())
	s.DB.Exec(t, "UPDATE profile.outbox_deliveries SET delivery_attempts = 5, last_error = 'no', dead_at = now()")
	require.Equal(t, status{Attempts: 5, LastError: ptr("no"), Dead: true, Token: ptr("a"), Locked: true}, see())
	s.DB.Exec(t, "DELETE FROM profile.outbox_deliveries")
	require.Equal(t, status{Published: true}, see())
}
