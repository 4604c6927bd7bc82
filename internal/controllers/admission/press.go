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
	// lookAt is when to look again, in nanoseconds; waiting is what was seen last.
	lookAt, waiting atomic.Int64
}

// lookEvery is how long a look is good for.
const lookEvery = time.Millisecond

// NewPress looks at runnable, the number of goroutines that wait for a processor, of which limit may.
func NewPress(limit int, runnable func() int, now func() time.Time) *Press {
	return &Press{limit: limit, runnable: runnable, now: now}
}

// Crowded reports whether more than so many times the limit wait, as of the last millisecond.
func (p *Press) Crowded(times int) bool {
	now, due := p.now().UnixNano(), p.lookAt.Load()
	if now >= due && p.lookAt.CompareAndSwap(due, now+int64(lookEvery)) {
		p.waiting.Store(int64(p.runnable()))
	}
	return p.waiting.Load() > int64(times*p.limit)
}

// Runnable is how many goroutines of this process wait for a processor.
func Runnable() int {
	sample := []metrics.Sample{{Name: "/sched/goroutines/runnable:goroutines"}}
	metrics.Read(sample)
	return int(sample[0].Value.Uint64())
}
