package outboxevents_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	outboxevents "github.com/lingo-services/profile/internal/models/outbox_events"
)

func TestS74_EveryMessageCarriesEveryAttribute(t *testing.T) {
	t.Parallel()
	for kind, event := range samples(t) {
		d := delivery(event)
		d.OccurredAt = event.OccurredAt.In(time.FixedZone("", 3600))
		occurred := event.OccurredAt.Format(time.RFC3339Nano)
		want := map[string]string{
			"event_id": event.ID.String(), "event_type": kind, "aggregate_id": event.UserID.String(), "aggregate_type": "user", "version": "3",
			"occurred_at": occurred, "schema_version": "v1", "content-type": "application/protobuf",
			"ce-specversion": "1.0", "ce-id": event.ID.String(), "ce-source": "/lingo-services/profile", "ce-type": kind, "ce-time": occurred,
			"ce-subject": event.UserID.String(), "ce-dataschema": outboxevents.SchemaID(kind), "traceparent": parent,
		}
		require.Equal(t, want, outboxevents.Attributes(d))

		d.TraceParent = ""
		delete(want, "traceparent")
		require.Equal(t, want, outboxevents.Attributes(d), "no trace, no attribute")
	}
}

func TestS74_RetryCarriesTheSameAttributes(t *testing.T) {
	t.Parallel()
	first := delivery(samples(t)[outboxevents.EngagementAdded])
	again := first
	again.Attempts, again.Age, again.Lane = 4, time.Hour, 15
	require.Equal(t, outboxevents.Attributes(first), outboxevents.Attributes(again))
}

// An older publisher may meet events that a newer writer stored.
func TestS74_UnknownKindCarriesEveryAttributeToo(t *testing.T) {
	t.Parallel()
	d := delivery(samples(t)[outboxevents.EngagementAdded])
	d.EventType = "profile.badge.won"
	attributes := outboxevents.Attributes(d)
	require.Equal(t, "profile.badge.won", attributes["event_type"])
	require.Equal(t, "https://github.com/lingo-services/profile/api/events/profile/v1/badge.won.json", attributes["ce-dataschema"])
}

func TestS74_TimesAndVersionsKeepEveryDigit(t *testing.T) {
	t.Parallel()
	d := delivery(samples(t)[outboxevents.EngagementAdded])
	d.OccurredAt, d.Version = time.Date(2030, 12, 31, 23, 59, 59, 999_999_999, time.UTC), 1<<62
	attributes := outboxevents.Attributes(d)
	require.Equal(t, "2030-12-31T23:59:59.999999999Z", attributes["occurred_at"])
	require.Equal(t, "4611686018427387904", attributes["version"])
}

// Pub/Sub takes 100 attributes, keys of 256 bytes and values of 1024.
func TestS74_AttributesFitTheBroker(t *testing.T) {
	t.Parallel()
	for _, event := range samples(t) {
		require.Equal(t, uuid.Version(7), event.ID.Version())
		for key, value := range outboxevents.Attributes(delivery(event)) {
			require.LessOrEqual(t, len(key), 256)
			require.NotEmpty(t, value, key)
			require.LessOrEqual(t, len(value), 1024, key)
		}
	}
}

func BenchmarkAttributes(b *testing.B) {
	d := delivery(samples(b)[outboxevents.WatchProgressed])
	d.Version = 123_456
	b.ReportAllocs()
	for b.Loop() {
		_ = outboxevents.Attributes(d)
	}
}
