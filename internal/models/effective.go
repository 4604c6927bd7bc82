package models

import (
	"cmp"
	"time"
)

// Limits of S5.
const (
	maxFuture   = 5 * time.Minute
	clockOffset = 2 * time.Second
)

// Earliest is the first time that can be claimed.
var Earliest = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// ClaimedTime is what a request says about when something happened.
type ClaimedTime struct {
	// OccurredAt is nil when the client did not say.
	OccurredAt *time.Time
	// ClientNow is the client's clock when it sent the request; nil when it did not say.
	ClientNow *time.Time
	// Field is where the request says OccurredAt, as violations name it; empty: occurred_at.
	Field string
}

// Effective is the time a command counts from (S5), in microseconds.
type Effective struct {
	At time.Time
	// Live commands carry no time of their own: they come after everything stored.
	Live bool
}

// Effective applies S5 against the database clock now: a claimed time is corrected by the client's clock
// offset when that exceeds 2 s, cut to now when it is ahead, and refused when it is more than 5 minutes
// ahead or before the year 2000. Errors: OCCURRED_AT_IN_FUTURE, INVALID_ARGUMENT.
func (c ClaimedTime) Effective(now time.Time) (Effective, error) {
	now = now.Truncate(time.Microsecond)
	if c.OccurredAt == nil {
		return Effective{At: now, Live: true}, nil
	}
	at := *c.OccurredAt
	if c.ClientNow != nil {
		if offset := now.Sub(*c.ClientNow); offset.Abs() > clockOffset {
			at = at.Add(offset)
		}
	}
	at = at.UTC().Truncate(time.Microsecond)
	field := cmp.Or(c.Field, "occurred_at")
	switch {
	case at.After(now.Add(maxFuture)):
		return Effective{}, ErrOccurredAtInFuture.With(Violation{Field: field, Description: "must not be more than 5 minutes ahead of the server"})
	case at.Before(Earliest):
		return Effective{}, ErrInvalidArgument.With(Violation{Field: field, Description: "must not be before 2000-01-01"})
	case at.After(now):
		at = now
	}
	return Effective{At: at}, nil
}
