package po_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lingo-services/profile/internal/models"
)

// BenchmarkMerge merges the next report of a session that goes on.
func BenchmarkMerge(b *testing.B) {
	r := row{duration: 600 * seconds}
	report := said(60, 1000)
	report.PositionSeconds, report.TotalSeconds = 60, 60
	require.True(b, r.merge(report).Changed)
	report.At = models.Effective{At: now.Add(-50 * time.Second)}
	report.PositionSeconds, report.TotalSeconds = 70, 70
	c := r.context(report)
	b.ReportAllocs()
	for b.Loop() {
		require.True(b, r.log.Merge(report, c).Changed)
	}
}
