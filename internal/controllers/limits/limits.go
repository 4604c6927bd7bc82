// Package limits bounds how often a caller may write (S88). What is counted where is for a Limiter to say.
package limits

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/lingo-services/profile/internal/controllers/identity"
	"github.com/lingo-services/profile/internal/models"
)

// Kind is a kind of call that a user's limits are for.
type Kind uint8

// The kinds.
const (
	// Favorites are changes of likes and bookmarks.
	Favorites Kind = iota + 1
	// Updates are those of profile and preferences.
	Updates
	// Progress reports.
	Progress
)

// day is the window of the calendar rules.
const day = 24 * time.Hour

// Settings are the quotas; each at least 1.
type Settings struct {
	FavoritesPerSecond, FavoritesPerDay, UpdatesPerDay, ProgressPerSecond int64
	// ServicePerSecond is for all calls of a service together; Services has what single ones, by name, get instead.
	ServicePerSecond int64
	Services         map[string]int64
}

// What the decision on a call was, for each rule that decided it.
const (
	Admitted = "admitted"
	Refused  = "refused"
	// The same by this instance alone, while the shared store does not answer.
	AdmittedLocally = "admitted_locally"
	RefusedLocally  = "refused_locally"
)

// Observer counts decisions. Implementations do not block and do not fail.
type Observer interface {
	// CallLimited counts one outcome of a rule; a rule that would have admitted a refused call has none.
	CallLimited(rule, outcome string)
}

// Limits holds every caller to the rules for them.
type Limits struct {
	limiter  Limiter
	users    map[Kind][]Rule
	service  []Rule
	services map[string][]Rule
	observer Observer
}

// NewLimits counts with limiter.
func NewLimits(s Settings, limiter Limiter, observer Observer) *Limits {
	service := func(quota int64) []Rule { return []Rule{{Name: "service", Quota: quota, Window: time.Second}} }
	l := &Limits{
		limiter: limiter, observer: observer, service: service(s.ServicePerSecond), services: map[string][]Rule{},
		users: map[Kind][]Rule{
			Favorites: {
				{Name: "favorites", Quota: s.FavoritesPerSecond, Window: time.Second},
				{Name: "favorites-day", Quota: s.FavoritesPerDay, Window: day, Calendar: true},
			},
			Updates:  {{Name: "updates-day", Quota: s.UpdatesPerDay, Window: day, Calendar: true}},
			Progress: {{Name: "progress", Quota: s.ProgressPerSecond, Window: time.Second}},
		},
	}
	for name, quota := range s.Services {
		l.services[name] = service(quota)
	}
	return l
}

// Take counts a valid call of the context's caller, and tells them what they have left in the response's metadata. A user
// has limits of each kind, a service one for everything it does for anybody. Errors: models.ErrRateLimited, which says
// when to come back; then nothing was counted.
func (l *Limits) Take(ctx context.Context, kind Kind, cost int64) error {
	caller, rules := l.applying(identity.SubjectFrom(ctx), kind)
	decision := l.limiter.Take(ctx, caller, rules, cost)
	if len(decision.States) == 0 {
		return nil
	}
	if err := grpc.SetHeader(ctx, metadata.Pairs(keyPolicy, policies(rules), keyLimit, remains(rules, decision.States))); err != nil {
		return fmt.Errorf("set response header: %w", err)
	}
	wait := decision.Wait()
	for i, s := range decision.States {
		if refused := s.Wait > 0; refused == (wait > 0) {
			l.observer.CallLimited(rules[i].Name, outcome(refused, decision.Local))
		}
	}
	if wait > 0 {
		return models.ErrRateLimited.After(spread(wait))
	}
	return nil
}

// applying are the rules for a subject, and whose use they count.
func (l *Limits) applying(s identity.Subject, kind Kind) (caller string, rules []Rule) {
	if s.Service == "" {
		return s.User.String(), l.users[kind]
	}
	rules, own := l.services[s.Service]
	if !own {
		rules = l.service
	}
	return "service:" + s.Service, rules
}

func outcome(refused, local bool) string {
	switch {
	case refused && local:
		return RefusedLocally
	case refused:
		return Refused
	case local:
		return AdmittedLocally
	}
	return Admitted
}

// spread makes a wait up to a tenth longer, so that those who were refused together do not come back together.
func spread(wait time.Duration) time.Duration {
	return wait + rand.N(wait/10+time.Millisecond) //nolint:gosec // spreading needs no secrecy
}

// Metadata keys of draft-ietf-httpapi-ratelimit-headers-10.
const (
	keyPolicy = "ratelimit-policy"
	keyLimit  = "ratelimit"
)

// policies tells the quotas (q) and windows in seconds (w).
func policies(rules []Rule) string {
	items := make([]string, len(rules))
	for i, r := range rules {
		items[i] = fmt.Sprintf(`"%s";q=%d;w=%d`, r.Name, r.Quota, seconds(r.Window))
	}
	return strings.Join(items, ", ")
}

// remains tells what is left (r), and in how many seconds all of it will be there again (t).
func remains(rules []Rule, states []State) string {
	items := make([]string, len(rules))
	for i, s := range states {
		items[i] = fmt.Sprintf(`"%s";r=%d;t=%d`, rules[i].Name, s.Remaining, seconds(s.Reset))
	}
	return strings.Join(items, ", ")
}

func seconds(d time.Duration) int64 { return int64(math.Ceil(d.Seconds())) }
