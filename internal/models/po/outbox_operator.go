package po

import (
	"time"

	"github.com/google/uuid"

	"github.com/lingo-services/profile/internal/models"
)

// OutboxCountLimit is where counting events for operators stops.
const OutboxCountLimit = 1000

// StuckEvent is an event that the broker refused, as operators see it.
type StuckEvent struct {
	// ID orders the events of Key.
	ID        int64
	EventID   uuid.UUID
	EventType string
	Key       models.UserID
	Version   int64
	// Attempts counts refusals, Error is the last one.
	Attempts  int32
	Error     string
	CreatedAt time.Time
	// DeadAt is nil while it is still tried.
	DeadAt *time.Time
	// Waiting counts later events of Key in the queue, up to OutboxCountLimit.
	Waiting int64
}

// StuckQuery selects a page of refused events, by id.
type StuckQuery struct {
	// IDs and EventIDs name events; both empty for all.
	IDs      []int64
	EventIDs []uuid.UUID
	// Key is the zero id for all.
	Key models.UserID
	// Retrying includes those that are no dead letters yet.
	Retrying bool
	// After is the last id of the page before; 0 for the first page.
	After int64
	Limit int32
}

// Skip gives up a dead letter.
type Skip struct {
	ID int64
	// Operator did it, for Reason; both are kept.
	Operator, Reason string
}

// LaneStatus is who publishes a lane.
type LaneStatus struct {
	Lane
	// Owner is empty when nobody does.
	Owner string
	// Lease is how long the owner may go on without renewing it; negative when it has expired.
	Lease time.Duration
}

// OutboxCounts are counted on small tables, or up to OutboxCountLimit.
type OutboxCounts struct {
	// DeadLetters count up to OutboxCountLimit.
	DeadLetters int64
	// Skipped events were given up by operators.
	Skipped int64
	// Publishers are alive.
	Publishers int64
}

// LogSlots is the number of parts of the event log; the day decides which one is written.
const LogSlots = 10

// LogSlot is a part of the event log that has events.
type LogSlot struct {
	Slot            int32
	FirstID, LastID int64
	FirstAt, LastAt time.Time
}

// LogScan asks for the next events of a slot.
type LogScan struct {
	Slot int32
	// After is the last id seen; 0 for the start.
	After int64
	Limit int32
	// Since (inclusive), Until (exclusive), Key and Type say which of them are wanted. The zero id and the
	// empty type want all.
	Since, Until time.Time
	Key          models.UserID
	Type         string
}

// LoggedEvent is an event of the log.
type LoggedEvent struct {
	ID   int64
	Key  models.UserID
	Type string
	// Repeatable: it is wanted, it was delivered, and its key is not blocked before it.
	Repeatable bool
}
