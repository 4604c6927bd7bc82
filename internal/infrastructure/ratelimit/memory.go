package ratelimit

import (
	"context"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/lingo-services/profile/internal/controllers/limits"
)

// Memory is a Limiter of this process. When it is full, whoever has not called for longest is forgotten.
type Memory struct {
	now func() time.Time

	mu   sync.Mutex
	used *simplelru.LRU[key, int64]
}

type key struct{ caller, rule string }

// NewMemory remembers up to size pairs of caller and rule; size is at least 1.
func NewMemory(size int, now func() time.Time) *Memory {
	used, _ := simplelru.NewLRU[key, int64](size, nil) // fails only without a size
	return &Memory{now: now, used: used}
}

// Take implements limits.Limiter.
func (m *Memory) Take(_ context.Context, caller string, rules []limits.Rule, cost int64) limits.Decision {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now().UnixMicro()
	states, admitted := make([]limits.State, len(rules)), true
	for i, r := range rules {
		used, _ := m.used.Get(key{caller, r.Name})
		meter := newMeter(r)
		if held := meter.held(now, used); held < used {
			m.used.Add(key{caller, r.Name}, held)
		}
		wait := meter.wait(now, used, cost)
		states[i] = meter.state(now, used, wait)
		admitted = admitted && wait == 0
	}
	if !admitted {
		return limits.Decision{States: states}
	}
	for i, r := range rules {
		used, _ := m.used.Peek(key{caller, r.Name})
		meter := newMeter(r)
		used = meter.held(now, used) + cost*meter.interval
		m.used.Add(key{caller, r.Name}, used)
		states[i] = meter.state(now, used, 0)
	}
	return limits.Decision{States: states}
}

// Len is how many pairs are remembered.
func (m *Memory) Len() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.used.Len()
}
