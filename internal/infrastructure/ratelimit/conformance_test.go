package ratelimit_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/lingo-services/profile/internal/controllers/limits"
	"github.com/lingo-services/profile/internal/infrastructure/ratelimit"
	"github.com/lingo-services/profile/internal/infrastructure/redislink"
	"github.com/lingo-services/profile/test/testkit/redistest"
)

const (
	patience = 10 * time.Second
	tick     = 10 * time.Millisecond
	// slow is a timeout that a busy machine keeps, pause how long a dead Redis is left alone.
	slow  = 5 * time.Second
	pause = 100 * time.Millisecond
)

const (
	interval = 100 * time.Millisecond
	day      = 24 * time.Hour
)

var (
	noon   = time.Date(2030, 1, 2, 12, 0, 0, 0, time.UTC)
	second = limits.Rule{Name: "second", Quota: 10, Window: time.Second}
)

func daily(quota int64) limits.Rule {
	return limits.Rule{Name: "day", Quota: quota, Window: day, Calendar: true}
}

// bench is a limiter and its stopped clock.
type bench struct {
	limits.Limiter
	set func(time.Time)

	now time.Time
}

func (b *bench) at(now time.Time) {
	b.now = now
	b.set(now)
}

func (b *bench) advance(d time.Duration) { b.at(b.now.Add(d)) }

func (b *bench) take(caller string, cost int64, rules ...limits.Rule) limits.Decision {
	return b.Take(context.Background(), caller, rules, cost)
}

// takes reports how many of n calls were admitted, which must be the first ones.
func (b *bench) takes(t testing.TB, n int, caller string, rules ...limits.Rule) (admitted int) {
	t.Helper()
	for i := range n {
		if b.take(caller, 1, rules...).Wait() == 0 {
			require.Equal(t, i, admitted, "admitted after a refusal, at the same time")
			admitted++
		}
	}
	return admitted
}

// backends are what every rule of limits.Limiter is tested on.
func backends(t *testing.T) map[string]func(t testing.TB) *bench {
	t.Helper()
	server := redistest.New(t)
	return map[string]func(t testing.TB) *bench{
		"memory": func(testing.TB) *bench {
			var now atomic.Pointer[time.Time]
			memory := ratelimit.NewMemory(10_000, func() time.Time { return *now.Load() })
			b := &bench{Limiter: memory, set: func(at time.Time) { now.Store(&at) }}
			b.at(noon)
			return b
		},
		"redis": func(t testing.TB) *bench {
			shared := newRedis(t, server.URL(), slow)
			clock := "clock:" + uuid.NewString()
			shared.ClockFrom(clock)
			b := &bench{Limiter: reachable{t, shared}, set: setClock(t, server.Client(), clock)}
			b.at(noon)
			return b
		},
	}
}

func setClock(t testing.TB, client *redis.Client, key string) func(time.Time) {
	return func(at time.Time) {
		us := at.UnixMicro()
		require.NoError(t, client.HSet(context.Background(), key, "s", us/1_000_000, "us", us%1_000_000).Err())
	}
}

// reachable is a Redis that must answer.
type reachable struct {
	t testing.TB
	limits.Limiter
}

func (r reachable) Take(ctx context.Context, caller string, rules []limits.Rule, cost int64) limits.Decision {
	d := r.Limiter.Take(ctx, caller, rules, cost)
	if d.Local {
		r.t.Error("Redis did not answer")
	}
	return d
}

func newRedis(t testing.TB, url string, timeout time.Duration) *ratelimit.Redis {
	t.Helper()
	floor := ratelimit.NewMemory(10_000, time.Now)
	r, stop, err := ratelimit.NewRedis(redislink.Options{URL: url, Timeout: timeout, Pause: pause, Now: time.Now}, floor)
	require.NoError(t, err)
	t.Cleanup(stop)
	return r
}

func newCaller() string { return uuid.NewString() }

func TestS88_EveryLimiterKeepsTheLimits(t *testing.T) {
	t.Parallel()
	for name, newBench := range backends(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conform(t, newBench)
		})
	}
}

// conform runs every rule of limits.Limiter on one backend.
func conform(t *testing.T, newBench func(t testing.TB) *bench) {
	t.Helper()
	t.Run("ABurstIsTheQuota", func(t *testing.T) {
		b, caller := newBench(t), newCaller()
		for i := range second.Quota {
			require.Equal(t, limits.Decision{States: []limits.State{
				{Remaining: second.Quota - 1 - i, Reset: time.Duration(i+1) * interval},
			}}, b.take(caller, 1, second))
		}
		refused := b.take(caller, 1, second)
		require.Equal(t, []limits.State{{Wait: interval, Remaining: 0, Reset: time.Second}}, refused.States)
		require.Equal(t, interval, refused.Wait())
	})
	t.Run("CallsComeBackOneByOne", func(t *testing.T) {
		b, caller := newBench(t), newCaller()
		require.Equal(t, 10, b.takes(t, 11, caller, second))
		b.advance(interval - time.Microsecond)
		require.Equal(t, time.Microsecond, b.take(caller, 1, second).Wait())
		b.advance(time.Microsecond)
		require.Equal(t, 1, b.takes(t, 2, caller, second))
		b.advance(3 * interval)
		require.Equal(t, 3, b.takes(t, 5, caller, second))
		b.advance(time.Hour)
		require.Equal(t, 10, b.takes(t, 20, caller, second), "being away for long saves up no more than the quota")
	})
	t.Run("ADayBeginsAtMidnightUTC", func(t *testing.T) {
		b, caller := newBench(t), newCaller()
		midnight := time.Date(2030, 1, 3, 0, 0, 0, 0, time.UTC)
		require.Equal(t, 2, b.takes(t, 2, caller, daily(3)))
		b.at(midnight.Add(-time.Second))
		require.Equal(t, []limits.State{{Remaining: 0, Reset: time.Second}}, b.take(caller, 1, daily(3)).States)
		require.Equal(t, []limits.State{{Wait: time.Second, Remaining: 0, Reset: time.Second}}, b.take(caller, 1, daily(3)).States)
		b.at(midnight.Add(-time.Microsecond))
		require.Equal(t, time.Microsecond, b.take(caller, 1, daily(3)).Wait())
		b.at(midnight)
		require.Equal(t, []limits.State{{Remaining: 2, Reset: day}}, b.take(caller, 1, daily(3)).States)
		require.Equal(t, 2, b.takes(t, 5, caller, daily(3)))
		b.advance(10 * day)
		require.Equal(t, 3, b.takes(t, 5, caller, daily(3)), "days without a call save up nothing")
	})
	t.Run("OddQuotasOfADayAreWhole", func(t *testing.T) {
		b := newBench(t)
		for _, quota := range []int64{1, 7, 100, 999} {
			require.Equal(t, int(quota), b.takes(t, int(quota)+10, newCaller(), daily(quota)))
		}
	})
	t.Run("TwoRulesAreTakenBothOrNone", func(t *testing.T) {
		b, caller := newBench(t), newCaller()
		require.Equal(t, 10, b.takes(t, 30, caller, second, daily(15)))
		refused := b.take(caller, 1, second, daily(15))
		require.Equal(t, []int64{0, 5}, []int64{refused.States[0].Remaining, refused.States[1].Remaining}, "the refused calls took of the day")
		require.Equal(t, []time.Duration{interval, 0}, []time.Duration{refused.States[0].Wait, refused.States[1].Wait})
		b.advance(time.Second)
		require.Equal(t, 5, b.takes(t, 30, caller, second, daily(15)))
		refused = b.take(caller, 1, daily(15), second)
		require.Equal(t, []int64{0, 5}, []int64{refused.States[0].Remaining, refused.States[1].Remaining}, "the refused calls took of the second")
		require.Equal(t, 12*time.Hour-time.Second, refused.Wait(), "the longest wait counts")
	})
	t.Run("RefusedCallsTakeNothing", func(t *testing.T) {
		b, caller := newBench(t), newCaller()
		require.Equal(t, 10, b.takes(t, 500, caller, second))
		b.advance(interval)
		require.Equal(t, 1, b.takes(t, 500, caller, second))
	})
	t.Run("ACallMayCostMore", func(t *testing.T) {
		b, caller := newBench(t), newCaller()
		require.Equal(t, int64(6), b.take(caller, 4, second).States[0].Remaining)
		require.Equal(t, int64(2), b.take(caller, 4, second).States[0].Remaining)
		refused := b.take(caller, 4, second)
		require.Equal(t, []limits.State{{Wait: 2 * interval, Remaining: 2, Reset: 8 * interval}}, refused.States)
		require.Zero(t, b.take(caller, 2, second).Wait(), "the smaller call still fits")
	})
	t.Run("CallersAndRulesAreApart", func(t *testing.T) {
		b, caller, other := newBench(t), newCaller(), second
		other.Name = "other"
		require.Equal(t, 10, b.takes(t, 20, caller, second))
		require.Equal(t, 10, b.takes(t, 20, newCaller(), second))
		require.Equal(t, 10, b.takes(t, 20, caller, other))
	})
	t.Run("AClockThatIsSetBackLocksNobodyOut", func(t *testing.T) {
		b, caller := newBench(t), newCaller()
		require.Equal(t, 10, b.takes(t, 20, caller, second))
		b.advance(-time.Hour)
		require.Equal(t, interval, b.take(caller, 1, second).Wait())
		b.advance(interval)
		require.Equal(t, 1, b.takes(t, 2, caller, second))
	})
	t.Run("ASmallerQuotaHoldsAtOnce", func(t *testing.T) {
		b, caller, smaller := newBench(t), newCaller(), second
		smaller.Quota = 1
		require.Equal(t, 10, b.takes(t, 20, caller, second))
		require.Equal(t, time.Second, b.take(caller, 1, smaller).Wait())
	})
	t.Run("AThousandAtATimeGetTheQuota", func(t *testing.T) {
		b, caller := newBench(t), newCaller()
		var admitted atomic.Int64
		var group sync.WaitGroup
		for range 1000 {
			group.Go(func() {
				if b.take(caller, 1, second, daily(500)).Wait() == 0 {
					admitted.Add(1)
				}
			})
		}
		group.Wait()
		require.Equal(t, second.Quota, admitted.Load())
		require.Equal(t, 500-second.Quota, b.take(caller, 1, second, daily(500)).States[1].Remaining)
	})
	t.Run("AModelAgrees", func(t *testing.T) {
		b := newBench(t)
		rapid.Check(t, func(t *rapid.T) { newModel(t, b).run(t) })
	})
}

// model is what limits mean, by looking at everything that was ever admitted: a bucket that drips, and a tally of days.
type model struct {
	b      *bench
	caller string
	rules  []limits.Rule
	quota  int64
	daily  int64
	taken  []call
}

type call struct {
	at   time.Time
	cost int64
}

func newModel(t *rapid.T, b *bench) *model {
	// Quotas that divide a second: otherwise a call comes back a fraction of a microsecond early.
	m := &model{b: b, caller: newCaller(), quota: rapid.SampledFrom([]int64{1, 2, 5, 10, 1000}).Draw(t, "quota"), daily: rapid.Int64Range(1, 40).Draw(t, "daily")}
	m.rules = []limits.Rule{{Name: "second", Quota: m.quota, Window: time.Second}, daily(m.daily)}
	b.at(noon)
	return m
}

// bucket is what the second has left, in units of which a call costs one second.
func (m *model) bucket() time.Duration {
	full := time.Duration(m.quota) * time.Second
	left, last := full, time.Time{}
	for _, c := range append(m.taken, call{m.b.now, 0}) {
		if !last.IsZero() {
			left = min(full, left+min(c.at.Sub(last), time.Minute)*time.Duration(m.quota))
		}
		left -= time.Duration(c.cost) * time.Second
		last = c.at
	}
	return left
}

func (m *model) today() (taken int64) {
	for _, c := range m.taken {
		if c.at.Format(time.DateOnly) == m.b.now.Format(time.DateOnly) {
			taken += c.cost
		}
	}
	return taken
}

func (m *model) run(t *rapid.T) {
	t.Repeat(map[string]func(*rapid.T){
		"take": func(t *rapid.T) {
			cost := rapid.Int64Range(1, min(m.quota, m.daily)).Draw(t, "cost")
			missing := max(0, time.Duration(cost)*time.Second-m.bucket())
			over := m.today()+cost > m.daily
			d := m.b.take(m.caller, cost, m.rules...)
			if want := (missing + time.Duration(m.quota) - 1) / time.Duration(m.quota); d.States[0].Wait != want {
				t.Fatalf("the second waits %s, not %s", d.States[0].Wait, want)
			}
			if wait := d.States[1].Wait; (wait > 0) != over {
				t.Fatalf("of the day %d of %d are taken, wait %s", m.today(), m.daily, wait)
			}
			if d.Wait() == 0 {
				m.taken = append(m.taken, call{m.b.now, cost})
			}
			if want := int64(m.bucket() / time.Second); d.States[0].Remaining != want {
				t.Fatalf("the second has %d left, not %d", d.States[0].Remaining, want)
			}
			if want := m.daily - m.today(); d.States[1].Remaining != want {
				t.Fatalf("the day has %d left, not %d", d.States[1].Remaining, want)
			}
		},
		"take after the wait": func(t *rapid.T) {
			cost := rapid.Int64Range(1, min(m.quota, m.daily)).Draw(t, "cost")
			d := m.b.take(m.caller, cost, m.rules...)
			if wait := d.Wait(); wait > 0 {
				m.b.advance(wait - time.Microsecond)
				if m.b.take(m.caller, cost, m.rules...).Wait() == 0 {
					t.Fatalf("admitted before the wait of %s was over", wait)
				}
				m.b.advance(time.Microsecond)
				if d = m.b.take(m.caller, cost, m.rules...); d.Wait() > 0 {
					t.Fatalf("refused after the wait of %s", wait)
				}
			}
			m.taken = append(m.taken, call{m.b.now, cost})
		},
		"a moment later": func(t *rapid.T) {
			m.b.advance(time.Duration(rapid.Int64Range(1, 1_500_000).Draw(t, "us")) * time.Microsecond)
		},
		"hours later": func(t *rapid.T) { m.b.advance(time.Duration(rapid.Int64Range(1, 14).Draw(t, "hours")) * time.Hour) },
	})
}
