package ratelimit

import (
	"time"

	"github.com/lingo-services/profile/internal/controllers/limits"
)

// meter is the arithmetic of one rule, in microseconds: they are exact in the numbers of Redis' scripts for 200 years.
type meter struct {
	// interval is what one call costs, burst what may be used at a time.
	interval, burst int64
	// window is that of a calendar rule; 0 for one that slides.
	window int64
}

func newMeter(r limits.Rule) meter {
	window := r.Window.Microseconds()
	m := meter{interval: max(window/r.Quota, 1)}
	m.burst = m.interval * r.Quota
	if r.Calendar {
		m.window = window
	}
	return m
}

// origin is where the meter's clock stands.
func (m meter) origin(now int64) int64 {
	if m.window == 0 {
		return now
	}
	return now - now%m.window
}

// held is what is used now of what was used before. It is less than used when the clock was set back, and is stored then:
// nobody is to be locked out for as long.
func (m meter) held(now, used int64) int64 {
	origin := m.origin(now)
	return min(max(used, origin), origin+m.burst)
}

// wait is how long until a call that costs so much is admitted; 0 when it is.
func (m meter) wait(now, used, cost int64) int64 {
	origin := m.origin(now)
	over := m.held(now, used) + cost*m.interval - (origin + m.burst)
	switch {
	case over <= 0:
		return 0
	case m.window == 0:
		return over
	}
	return origin + m.window - now
}

// state is what is left when so much is used and the caller has to wait.
func (m meter) state(now, used, wait int64) limits.State {
	origin, held := m.origin(now), m.held(now, used)
	reset := held - origin
	if m.window != 0 {
		reset = origin + m.window - now
	}
	return limits.State{Wait: microseconds(wait), Remaining: (origin + m.burst - held) / m.interval, Reset: microseconds(reset)}
}

func microseconds(n int64) time.Duration { return time.Duration(n) * time.Microsecond }
