package ratelimit_test

import (
	"context"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lingo-services/profile/internal/controllers/limits"
	"github.com/lingo-services/profile/internal/infrastructure/ratelimit"
	"github.com/lingo-services/profile/internal/infrastructure/redislink"
	"github.com/lingo-services/profile/test/testkit/redistest"
)

// rare gives no call back while a test runs.
var rare = limits.Rule{Name: "rare", Quota: 3, Window: 24 * time.Hour}

func TestS88_InstancesShareOneRedis(t *testing.T) {
	t.Parallel()
	server := redistest.New(t)
	a, b, caller := newRedis(t, server.URL(), slow), newRedis(t, server.URL(), slow), newCaller()
	for i, instance := range []*ratelimit.Redis{a, b, a, b, a} {
		d := instance.Take(t.Context(), caller, []limits.Rule{rare}, 1)
		require.False(t, d.Local)
		require.Equal(t, i >= 3, d.Wait() > 0)
	}
	require.Equal(t, []string{"profile:limit:{" + caller + "}:rare"}, server.Client().Keys(t.Context(), "*").Val())
}

// Keys end a minute after their use does, so that Redis holds nothing for callers who are gone; the clock is Redis' own.
func TestS88_KeysEndInRedis(t *testing.T) {
	t.Parallel()
	server := redistest.New(t)
	r, caller := newRedis(t, server.URL(), slow), newCaller()
	r.Take(t.Context(), caller, []limits.Rule{second, daily(10)}, 1)
	life := func(rule string) time.Duration {
		return server.Client().PTTL(t.Context(), "profile:limit:{"+caller+"}:"+rule).Val()
	}
	require.InDelta(t, time.Minute, life("second"), float64(slow))
	now := server.Client().Time(t.Context()).Val().UTC()
	require.InDelta(t, now.Truncate(day).Add(day).Sub(now)+time.Minute, life("day"), float64(slow))
}

// What is not a number was not written by us, and nobody is locked out for it.
func TestS88_WhatIsNoNumberIsNoUse(t *testing.T) {
	t.Parallel()
	server := redistest.New(t)
	r, caller := newRedis(t, server.URL(), slow), newCaller()
	for _, value := range []string{"", "x", "-1", "nan", "1e400"} {
		require.NoError(t, server.Client().Set(t.Context(), "profile:limit:{"+caller+"}:rare", value, 0).Err())
		d := r.Take(t.Context(), caller, []limits.Rule{rare}, 1)
		require.False(t, d.Local, value)
	}
}

func TestS88_WithoutRedisALocalFloorHolds(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]struct{ gone, back func(s *redistest.Server) }{
		"Killed": {func(s *redistest.Server) { s.Kill() }, func(s *redistest.Server) { s.Start() }},
		"Hanging": {
			func(s *redistest.Server) { s.Signal(syscall.SIGSTOP) },
			func(s *redistest.Server) { s.Signal(syscall.SIGCONT) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := redistest.New(t)
			r, caller := newRedis(t, server.URL(), redislink.DefaultTimeout), newCaller()
			take := func(caller string) limits.Decision { return r.Take(t.Context(), caller, []limits.Rule{rare}, 1) }
			require.Eventually(t, func() bool { return !take(newCaller()).Local }, patience, tick)
			fault.gone(server)
			begin := time.Now()
			for i := range 5 {
				d := take(caller)
				require.True(t, d.Local)
				require.Equal(t, i >= 3, d.Wait() > 0, "this instance alone holds to the quota")
			}
			require.Less(t, time.Since(begin), 2*time.Second)
			fault.back(server)
			require.Eventually(t, func() bool { return !take(newCaller()).Local }, patience, tick)
			d := r.Take(t.Context(), newCaller(), []limits.Rule{rare}, 1)
			require.Equal(t, rare.Quota-1, d.States[0].Remaining)
		})
	}
}

// A caller that has gone says nothing about Redis.
func TestS88_ACancelledCallIsNoFailureOfRedis(t *testing.T) {
	t.Parallel()
	server := redistest.New(t)
	r := newRedis(t, server.URL(), slow)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	require.True(t, r.Take(gone, newCaller(), []limits.Rule{rare}, 1).Local)
	require.False(t, r.Take(t.Context(), newCaller(), []limits.Rule{rare}, 1).Local)
}

func TestS88_ABadURLIsNotRepeated(t *testing.T) {
	t.Parallel()
	_, _, err := ratelimit.NewRedis(redislink.Options{URL: "http://secret@nowhere", Now: time.Now}, ratelimit.NewMemory(1, time.Now))
	require.ErrorIs(t, err, ratelimit.ErrRedisURL)
	require.NotContains(t, err.Error(), "secret")
}

func BenchmarkRedisTake(b *testing.B) {
	server := redistest.New(b)
	r, caller := newRedis(b, server.URL(), slow), newCaller()
	rules := []limits.Rule{{Name: "second", Quota: 1_000_000, Window: time.Second}, daily(1_000_000_000)}
	b.ReportAllocs()
	for b.Loop() {
		r.Take(b.Context(), caller, rules, 1)
	}
}
