package admission

import (
	"runtime/metrics"
	"sync/atomic"
	"time"
)

// Press tells when so much waits for a processor that a call which comes now would only wait with it, and keep those
// that were admitted waiting. A gate cannot tell: to be refused there a call must have had a processor already. Safe for
// concurrent use.
type Press struct {
	limit    int
	runnable func() int
	now      func() time.Time
	// lookAt is when to look again, in nanoseconds; crowded is what was seen last.
	lookAt  atomic.Int64
	crowded atomic.Bool
}

// lookEvery is how long a look is good for.
const lookEvery = time.Millisecond

// NewPress is crowded while runnable, the number of goroutines that wait for a processor, is above limit.
func NewPress(limit int, runnable func() int, now func() time.Time) *Press {
	return &Press{limit: limit, runnable: runnable, now: now}
}

// Crowded is as of the last millisecond.
func (p *Press) Crowded() bool {
	now, due := p.now().UnixNano(), p.lookAt.Load()
	if now >= due && p.lookAt.CompareAndSwap(due, now+int64(lookEvery)) {
		p.crowded.Store(p.runnable() > p.limit)
	}
	return p.crowded.Load()
}

// Runnable is how many goroutines of this process wait for a processor.
func Runnable() int {
	sample := []metrics.Sample{{Name: "/sched/goroutines/runnable:goroutines"}}
	metrics.Read(sample)
	return int(sample[0].Value.Uint64())
}
