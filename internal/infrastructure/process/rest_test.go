package process

import (
	"runtime"
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/require"
)

// burst leaves garbage that is not collected.
func burst() uint64 {
	const size, pieces = 1 << 20, 64
	var held [][]byte
	for range pieces {
		held = append(held, make([]byte, size))
	}
	return uint64(len(held) * size)
}

//nolint:paralleltest // the heap is everybody's
func TestA81_MemoryGoesBackWhenTheProcessRests(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	runtime.GC()
	last := readHeap()
	garbage := burst()
	require.Greater(t, readHeap().spare(), garbage/2)

	last = last.giveBack() // nothing was collected meanwhile
	require.Less(t, readHeap().spare(), garbage/2)
	require.Equal(t, last.cycles, last.giveBack().cycles, "there is nothing more to give")

	runtime.GC() // the process is at work
	_ = burst()
	before := readHeap().cycles
	require.Equal(t, before, last.giveBack().cycles)
}
