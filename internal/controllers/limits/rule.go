package limits

import (
	"context"
	"time"
)

// Rule lets one caller make so many calls in so much time.
type Rule struct {
	// Name is what metadata, metrics and stores call it.
	Name string
	// Quota of calls in each Window; at least 1.
	Quota  int64
	Window time.Duration
	// Calendar windows begin at multiples of Window since 1970, a day's at midnight UTC, with the whole Quota. Other
	// windows slide (GCRA): who has been away for a window has the whole Quota, and one call comes back every
	// Window/Quota.
	Calendar bool
}

// Limiter remembers what callers took. Safe for concurrent use; it never fails a call.
type Limiter interface {
	// Take takes cost, from 1 to the least quota, from every rule, or nothing from any. Use is remembered by caller and
	// name of the rule.
	Take(ctx context.Context, caller string, rules []Rule, cost int64) Decision
}

// Decision is what a Limiter says about a call.
type Decision struct {
	// States has one entry for each rule, in order; none where nothing is limited.
	States []State
	// Local: the shared store does not answer, and only this instance's calls were counted.
	Local bool
}

// Wait is how long until every rule would admit the call; zero when it is admitted.
func (d Decision) Wait() (wait time.Duration) {
	for _, s := range d.States {
		wait = max(wait, s.Wait)
	}
	return wait
}

// State is what a caller has left of a rule after the decision.
type State struct {
	// Wait is how long until this rule would admit the call; zero when it does.
	Wait      time.Duration
	Remaining int64
	// Reset is how long until the whole quota is there again.
	Reset time.Duration
}
