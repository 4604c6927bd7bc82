package observability_test

import (
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/require"

	"github.com/lingo-services/profile/internal/infrastructure/observability"
	cataloginbox "github.com/lingo-services/profile/internal/tasks/catalog_inbox"
)

// series are the metrics of one name.
func series(t *testing.T, m *observability.Metrics, name string) []*dto.Metric {
	t.Helper()
	families, err := m.Registry.Gather()
	require.NoError(t, err)
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()
		}
	}
	require.FailNow(t, "no metric", name)
	return nil
}

func inboxLag(t *testing.T, m *observability.Metrics) float64 {
	t.Helper()
	return series(t, m, "profile_inbox_lag_seconds")[0].GetGauge().GetValue()
}

func TestA100_LagIsTheAgeOfTheOldestMessageInHand(t *testing.T) {
	t.Parallel()
	m := observability.NewMetrics()
	inbox := observability.NewInboxMetrics(m)
	require.Zero(t, inboxLag(t, m), "idle")
	now := time.Now()
	for _, age := range []time.Duration{time.Minute, time.Hour, time.Hour, time.Second} {
		inbox.Received(now.Add(-age))
	}
	const slack = 60
	inbox.Settled(now.Add(-time.Hour))
	require.InDelta(t, time.Hour.Seconds(), inboxLag(t, m), slack, "the other of the two is still there")
	inbox.Settled(now.Add(-time.Hour))
	require.InDelta(t, time.Minute.Seconds(), inboxLag(t, m), slack)
	inbox.Settled(now.Add(-time.Minute))
	inbox.Settled(now.Add(-time.Second))
	require.Zero(t, inboxLag(t, m))
	inbox.Received(now.Add(time.Hour))
	require.Zero(t, inboxLag(t, m), "a broker's clock that is ahead")
}

func TestA100_InboxCounters(t *testing.T) {
	t.Parallel()
	m := observability.NewMetrics()
	inbox := observability.NewInboxMetrics(m)
	inbox.Counted(cataloginbox.Dead, 2)
	inbox.Committed(3, time.Millisecond)
	inbox.Nacked(4)
	inbox.Faulty(cataloginbox.Dropped, 5)
	inbox.AckFailed()
	require.Len(t, series(t, m, "catalog_inbox_events_total"), 5, "every result is there from the start")
	require.Len(t, series(t, m, "catalog_inbox_field_faults_total"), 2, "so is every fault")
	require.InDelta(t, 5, series(t, m, "catalog_inbox_field_faults_total")[0].GetCounter().GetValue(), 0, "dropped")
	require.InDelta(t, 3, series(t, m, "catalog_inbox_batch_size")[0].GetHistogram().GetSampleSum(), 0)
	require.InDelta(t, 1, series(t, m, "catalog_inbox_apply_duration_seconds")[0].GetHistogram().GetSampleCount(), 0)
	require.InDelta(t, 4, series(t, m, "catalog_inbox_nacks_total")[0].GetCounter().GetValue(), 0)
	require.InDelta(t, 1, series(t, m, "catalog_inbox_ack_failures_total")[0].GetCounter().GetValue(), 0)
}
