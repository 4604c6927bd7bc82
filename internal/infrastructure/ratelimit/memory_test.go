package ratelimit_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lingo-services/profile/internal/controllers/limits"
	"github.com/lingo-services/profile/internal/infrastructure/ratelimit"
)

func TestS88_MemoryIsBounded(t *testing.T) {
	t.Parallel()
	const size = 1000
	memory := ratelimit.NewMemory(size, func() time.Time { return noon })
	rules := []limits.Rule{second, daily(100)}
	take := func(caller string) limits.Decision { return memory.Take(t.Context(), caller, rules, 1) }
	for i := range 10 * size {
		require.Zero(t, take(strconv.Itoa(i)).Wait())
		if i%100 == 0 {
			take("regular")
		}
	}
	require.Equal(t, size, memory.Len())
	require.Positive(t, take("regular").Wait(), "who keeps calling is not forgotten, refused or not")
	require.Equal(t, int64(9), take("0").States[0].Remaining, "who has not called for longest is")
}

// Callers who are refused make nobody else forgotten.
func TestS88_RefusalsAreNotRemembered(t *testing.T) {
	t.Parallel()
	memory := ratelimit.NewMemory(10, func() time.Time { return noon })
	impossible := []limits.Rule{{Name: "impossible", Quota: 1, Window: time.Second}}
	for i := range 100 {
		require.Equal(t, time.Second, memory.Take(t.Context(), strconv.Itoa(i), impossible, 2).Wait())
	}
	require.Zero(t, memory.Len())
}

func TestS88_OffLimitsNothing(t *testing.T) {
	t.Parallel()
	for range 1000 {
		require.Equal(t, limits.Decision{}, ratelimit.Off{}.Take(t.Context(), "anybody", []limits.Rule{second}, 1))
	}
}

func BenchmarkMemoryTake(b *testing.B) {
	memory := ratelimit.NewMemory(100_000, time.Now)
	rules := []limits.Rule{{Name: "second", Quota: 1_000_000, Window: time.Second}, daily(1_000_000_000)}
	callers := make([]string, 10_000)
	for i := range callers {
		callers[i] = newCaller()
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		memory.Take(b.Context(), callers[i%len(callers)], rules, 1)
	}
}
