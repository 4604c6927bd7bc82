package main

import (
	"encoding/json"
	"os/user"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/lingo-services/profile/test/testkit"
)

// logged puts an event into the log and, when it is dead or waits, into the queue.
func logged(t *testing.T, db *testkit.Database, key uuid.UUID, version int, queue string) (id string, event uuid.UUID) {
	t.Helper()
	event = uuid.New()
	id = testkit.One[string](t, db, `WITH e AS (
		INSERT INTO profile.outbox_events (event_id, aggregate_type, aggregate_id, event_type, ordering_key, version, payload, occurred_at)
		VALUES ($1, 'user', $2, 'profile.engagement.added', $2, $3, '', now()) RETURNING id, slot),
		d AS (INSERT INTO profile.outbox_deliveries (id, slot, lane, ordering_key, dead_at, delivery_attempts, last_error)
		SELECT id, slot, 1, $2, CASE WHEN $4::text = 'dead' THEN now() END, 5, E'refused \x1b[2J' FROM e WHERE $4::text <> '')
		SELECT id::text FROM e`, event, key, version, queue)
	return id, event
}

func TestS76_OutboxCommandsShowRedriveAndSkip(t *testing.T) {
	db := testkit.NewDatabase(t)
	t.Setenv("DATABASE_URL", db.OwnerURL)
	key := uuid.New()
	head, headEvent := logged(t, db, key, 1, "dead")
	logged(t, db, key, 2, "waits")
	other, otherEvent := logged(t, db, uuid.New(), 1, "dead")

	out, err := ctl(t, "outbox", "status")
	require.NoError(t, err)
	var status struct {
		Dead, Skipped, Publishers int
		Lag                       float64 `json:"lag_seconds"`
		Lanes                     []struct{ Lane, Epoch int }
	}
	require.NoError(t, json.Unmarshal([]byte(out), &status))
	require.Equal(t, 2, status.Dead)
	require.Len(t, status.Lanes, 16)
	require.Positive(t, status.Lag, "of the one that waits")
	out, err = ctl(t, "outbox", "status", "--json=false")
	require.NoError(t, err)
	require.Contains(t, out, "dead letters  2\n")

	out, err = ctl(t, "outbox", "list", "--json=false", "--key", key.String())
	require.NoError(t, err)
	require.Contains(t, out, headEvent.String())
	require.NotContains(t, out, otherEvent.String())
	require.NotContains(t, out, "\x1b", "a terminal must not obey it")
	out, err = ctl(t, "outbox", "list", "--limit", "1")
	require.NoError(t, err)
	require.Equal(t, 1, strings.Count(out, "\n"))
	require.Contains(t, out, `"waiting":1`)
	out, err = ctl(t, "outbox", "list", "--retrying")
	require.NoError(t, err)
	require.Equal(t, 3, strings.Count(out, "\n"))

	before := db.RowCounts(t)
	for _, args := range [][]string{{"redrive", "--all"}, {"skip", "--id", head, "--reason", "r"}} {
		out, err = ctl(t, append([]string{"outbox"}, append(args, "--json=false")...)...)
		require.NoError(t, err, out)
		require.Contains(t, out, "nothing was changed")
	}
	require.Equal(t, before, db.RowCounts(t))
	require.Equal(t, 2, testkit.One[int](t, db, "SELECT count(*)::int FROM profile.outbox_deliveries WHERE dead_at IS NOT NULL"))

	out, err = ctl(t, "outbox", "skip", "--id", headEvent.String(), "--reason", "too big", "--yes")
	require.NoError(t, err, out)
	me, err := user.Current()
	require.NoError(t, err)
	require.Equal(t, me.Username+" too big", testkit.One[string](t, db, "SELECT operator || ' ' || reason FROM profile.outbox_skipped"))
	_, err = ctl(t, "outbox", "skip", "--id", headEvent.String(), "--reason", "too big", "--yes", "--operator", "ada")
	require.ErrorContains(t, err, headEvent.String()+" is not a dead letter")

	out, err = ctl(t, "outbox", "redrive", "--yes", "--id", other+","+head)
	require.ErrorContains(t, err, head+" is not a dead letter")
	require.Contains(t, out, otherEvent.String(), "what could be redriven was")
	require.Zero(t, testkit.One[int](t, db, "SELECT count(*)::int FROM profile.outbox_deliveries WHERE dead_at IS NOT NULL"))
	require.Equal(t, int64(2), testkit.One[int64](t, db, "SELECT epoch FROM profile.outbox_lanes WHERE lane = 1"))
}

func TestS76_ReplayCommandCountsAndQueues(t *testing.T) {
	db := testkit.NewDatabase(t)
	t.Setenv("DATABASE_URL", db.OwnerURL)
	key := uuid.New()
	logged(t, db, key, 1, "")
	logged(t, db, key, 2, "")
	out, err := ctl(t, "outbox", "replay", "--since", "1h", "--json=false")
	require.NoError(t, err)
	require.Contains(t, out, `2 "profile.engagement.added"`)
	require.NotContains(t, out, "gone", "the log is younger than an hour and has all its events")
	require.Contains(t, out, "nothing was changed")
	require.Zero(t, db.RowCounts(t)["outbox_deliveries"])
	out, err = ctl(t, "outbox", "replay", "--from", time.Now().Add(-time.Minute).Format(time.RFC3339), "--key", key.String(), "--yes")
	require.NoError(t, err)
	require.Contains(t, out, `"by_type":{"profile.engagement.added":2}`)
	require.Equal(t, int64(2), db.RowCounts(t)["outbox_deliveries"])
	out, err = ctl(t, "outbox", "replay", "--since", "1m", "--type", "none", "--json=false")
	require.NoError(t, err)
	require.Contains(t, out, "no such events")
}

func TestS76_ReplayCommandSaysWhatIsGone(t *testing.T) {
	db := testkit.NewDatabase(t)
	t.Setenv("DATABASE_URL", db.OwnerURL)
	replay := func(flags ...string) string {
		t.Helper()
		out, err := ctl(t, append([]string{"outbox", "replay"}, flags...)...)
		require.NoError(t, err, out)
		return out
	}
	require.NotContains(t, replay("--since", "1h"), "gone,", "there never was an event")

	key := uuid.New()
	logged(t, db, key, 1, "")
	logged(t, db, key, 2, "")
	out := replay("--since", "240h", "--json=false")
	require.NotContains(t, out, "gone", "there was nothing before the first event")
	require.Contains(t, replay("--since", "240h"), `"gone_up_to":0`)

	db.Exec(t, "UPDATE profile.outbox_events SET slot = (slot + 5) % 10, created_at = created_at - interval '5 days'")
	logged(t, db, key, 3, "")
	require.NotContains(t, replay("--since", "240h", "--key", key.String(), "--json=false"), "gone", "the log begins in another slot")
	db.Exec(t, "DELETE FROM profile.outbox_events WHERE version < 3")
	require.Contains(t, replay("--since", "240h", "--json=false"), "older events, up to 2, are gone\n")
	require.Contains(t, replay("--since", "240h"), `"gone_up_to":2`)
	require.NotContains(t, replay("--from", time.Now().Add(time.Hour).Format(time.RFC3339), "--json=false"), "gone", "nobody asked for those")
}

func TestS76_OutboxCommandsRefuseWhatTheyDoNotUnderstand(t *testing.T) {
	t.Setenv("DATABASE_URL", "postgres://127.0.0.1:1/none")
	for want, args := range map[string][]string{
		"--id, --key or --all":                {"redrive"},
		"neither an id nor an event id":       {"list", "--id", "x"},
		"--key: \"x\" is not a UUID":          {"list", "--key", "x"},
		"--from or --since":                   {"replay"},
		"--from: \"x\" is not an RFC 3339":    {"replay", "--from", "x"},
		"--reason is required":                {"skip", "--id", "1", "--reason", " "},
		"--id is required":                    {"skip", "--reason", "r"},
		"at most 200 and 1000":                {"skip", "--id", "1", "--reason", strings.Repeat("r", 1001)},
		"say from when":                       {"replay", "--since", "1h", "--from", "2030-01-01T00:00:00Z"},
		"--to: \"tomorrow\" is not an RFC 33": {"replay", "--since", "1h", "--to", "tomorrow"},
	} {
		_, err := ctl(t, append([]string{"outbox"}, args...)...)
		require.ErrorContains(t, err, want)
	}
}
