package controllers

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestS92_CallLinesAreBounded(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	budget := &lineBudget{most: 3}
	written := func(calls int) (lines int, skipped int64) {
		for range calls {
			before, write := budget.take(now)
			skipped += before
			if write {
				lines++
			}
		}
		return lines, skipped
	}
	lines, skipped := written(10)
	require.Equal(t, 3, lines)
	require.Zero(t, skipped, "nobody can tell yet")
	now = now.Add(time.Second)
	lines, skipped = written(4)
	require.Equal(t, 3, lines)
	require.Equal(t, int64(7), skipped, "of the second before, told once")
	now = now.Add(time.Hour)
	lines, skipped = written(2)
	require.Equal(t, 2, lines)
	require.Equal(t, int64(1), skipped)

	unbounded := &lineBudget{}
	for range 10_000 {
		skipped, write := unbounded.take(now)
		require.True(t, write)
		require.Zero(t, skipped)
	}
}
