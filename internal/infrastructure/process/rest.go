package process

import (
	"context"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// restEvery is how often a process looks whether it has come to rest.
const restEvery = 2 * time.Second

// giveBack returns memory to the system when a burst is over, until ctx ends.
func giveBack(ctx context.Context) {
	ticker := time.NewTicker(restEvery)
	defer ticker.Stop()
	for last := readHeap(); ; {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			last = last.giveBack()
		}
	}
}

// giveBack returns what can be spared when nothing was collected since h was read, and most of what the heap holds is
// garbage or free. At garbagePercent nothing would be collected for minutes then. It returns the heap as it is now.
func (h heap) giveBack() heap {
	now := readHeap()
	if now.cycles != h.cycles || now.spare() <= now.live {
		return now
	}
	runtime.GC() // what pools hold, and half of what stacks have grown by, survives one collection
	debug.FreeOSMemory()
	return readHeap()
}

// heap is in bytes, live as of the last collection.
type heap struct{ cycles, live, objects, free uint64 }

// spare is what could be given back.
func (h heap) spare() uint64 { return h.free + h.objects - min(h.live, h.objects) }

func readHeap() heap {
	samples := []metrics.Sample{
		{Name: "/gc/cycles/total:gc-cycles"},
		{Name: "/gc/heap/live:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/memory/classes/heap/free:bytes"},
	}
	metrics.Read(samples)
	return heap{samples[0].Value.Uint64(), samples[1].Value.Uint64(), samples[2].Value.Uint64(), samples[3].Value.Uint64()}
}
