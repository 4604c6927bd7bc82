// Package workload is how much tests do, and work for its own sake.
package workload

import (
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// Mutations is how many mutated credentials or cursors a test tries: 100,000, or what PROFILE_TEST_MUTATIONS says.
func Mutations(t testing.TB) int {
	t.Helper()
	text := os.Getenv("PROFILE_TEST_MUTATIONS")
	if text == "" {
		return 100_000
	}
	n, err := strconv.Atoi(text)
	require.NoError(t, err)
	return n
}

// Busy keeps n goroutines wanting a processor until stop, which waits for their end, is called.
func Busy(n int) (stop func()) {
	var over atomic.Bool
	var group sync.WaitGroup
	for range n {
		group.Go(func() {
			for !over.Load() {
				runtime.Gosched()
			}
		})
	}
	return func() { over.Store(true); group.Wait() }
}
