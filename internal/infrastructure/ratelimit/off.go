package ratelimit

import (
	"context"

	"github.com/lingo-services/profile/internal/controllers/limits"
)

// Off is a Limiter that admits everything.
type Off struct{}

// Take implements limits.Limiter.
func (Off) Take(context.Context, string, []limits.Rule, int64) limits.Decision {
	return limits.Decision{}
}
