package main

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// story is a small history of one key that is in order until a test changes it.
func story(n int) history {
	h := history{told: map[uuid.UUID]outcome{}}
	key, start := uuid.New(), time.Now()
	for i := range n {
		event, version := uuid.New(), int64(i+1)
		h.journal = append(h.journal, entry{event: event, key: key, version: version, id: version})
		h.arrivals = append(h.arrivals, arrival{event: event, key: key, version: version, at: start.Add(time.Duration(i) * time.Millisecond)})
		h.deletions = append(h.deletions, deletion{id: version, at: start.Add(time.Second)})
		h.told[event] = committed
	}
	return h
}

func TestOracle(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*history)
		want   []string
	}{
		"Good":      {func(*history) {}, nil},
		"Loss":      {func(h *history) { h.arrivals = h.arrivals[:4] }, []string{"I1", "I5"}},
		"Phantom":   {func(h *history) { h.journal = h.journal[:4]; delete(h.told, h.arrivals[4].event) }, []string{"I2"}},
		"Inversion": {func(h *history) { h.arrivals[1], h.arrivals[2] = h.arrivals[2], h.arrivals[1] }, []string{"I3"}},
		"Gap": {func(h *history) {
			h.journal, h.arrivals = h.journal[1:], h.arrivals[1:]
			for event := range h.told {
				delete(h.told, event)
			}
		}, []string{"I3"}},
		"Duplicate":        {func(h *history) { h.arrivals = append(h.arrivals, h.arrivals[0]) }, []string{"I4"}},
		"AllowedDuplicate": {func(h *history) { h.arrivals, h.allowance = append(h.arrivals, h.arrivals[0]), 1 }, nil},
		"LateRepetitionIsNoInversion": {func(h *history) {
			h.arrivals, h.allowance = append(h.arrivals, h.arrivals[0], h.arrivals[1]), 2
		}, nil},
		"DeletedEarly":       {func(h *history) { h.deletions[2].at = h.arrivals[2].at.Add(-time.Microsecond) }, []string{"I5"}},
		"TwoOwners":          {func(h *history) { h.sharedEpochs = 1 }, []string{"I12"}},
		"ConfirmedAndGone":   {func(h *history) { h.told[uuid.New()] = committed }, []string{"I1"}},
		"RolledBackAndThere": {func(h *history) { h.told[h.journal[3].event] = rolledBack }, []string{"I2"}},
		"UnknownMayBeEither": {func(h *history) { h.told[uuid.New()], h.told[h.journal[3].event] = unknown, unknown }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := story(5)
			c.change(&h)
			var got []string
			for _, p := range judge(h).problems {
				got = append(got, p[:len(p)-len(p[indexColon(p):])])
			}
			require.Equal(t, c.want, got)
		})
	}
}

func indexColon(s string) int {
	for i, r := range s {
		if r == ':' {
			return i
		}
	}
	return len(s)
}

func TestPercentile(t *testing.T) {
	t.Parallel()
	var sample []time.Duration
	for i := range 100 {
		sample = append(sample, time.Duration(100-i))
	}
	require.Equal(t, time.Duration(100), percentile(sample, 0.99))
	require.Equal(t, time.Duration(51), percentile(sample, 0.5))
	require.Zero(t, percentile(nil, 0.5))
}

// A mutant whose text has moved on would be found out only by whoever runs them all.
func TestMutantsFitTheSources(t *testing.T) {
	t.Chdir("../..")
	for _, m := range mutants() {
		_, err := m.overlay(t.TempDir())
		require.NoError(t, err, m.name)
	}
}
