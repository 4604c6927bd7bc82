package po

import (
	"time"

	"github.com/google/uuid"
)

// CatalogEvent is one event of the catalog, decoded and within the bounds of our columns.
type CatalogEvent struct {
	// ID is the same on every delivery.
	ID uuid.UUID
	// Type is catalog.video.created, .updated or .deleted.
	Type string
	// MessageID is the broker's; empty when the event did not come from one.
	MessageID string
	// OccurredAt is the zero time when the producer did not say. It decides nothing.
	OccurredAt time.Time
	Change     VideoChange
	// Dropped are the fields, as paths in video.v1.Event, that could not be read or stored and are not part of Change;
	// Unknown those with a value we do not know, which hides the video.
	Dropped, Unknown []string
}

// InboxState of a received event.
type InboxState string

// The states: Processed is applied; Dead cannot be decoded or stored; Parked is of a type we do not know yet.
const (
	Processed InboxState = "processed"
	Dead      InboxState = "dead"
	Parked    InboxState = "parked"
)

// InboxKey names a row of profile.inbox_events.
type InboxKey struct {
	EventID    uuid.UUID
	Generation int32
}

// InboxFailure is an event that could not be applied, with what it takes to try again.
type InboxFailure struct {
	// EventID is the event's own, or one made from MessageID when it has none that can be read.
	EventID       uuid.UUID
	State         InboxState
	EventType     string
	AggregateType string
	AggregateID   string
	// MessageID is the broker's.
	MessageID  string
	Payload    []byte
	Attributes map[string]string
	// Reason is why it could not be applied.
	Reason string
}

// InboxEntry is a stored failure as lists show it.
type InboxEntry struct {
	InboxKey
	State                                            InboxState
	EventType, AggregateType, AggregateID, MessageID string
	PayloadBytes                                     int
	Reason                                           string
	ReceivedAt                                       time.Time
}

// InboxQuery selects a page of failures, oldest first.
type InboxQuery struct {
	// State is empty for both, IDs for all.
	State InboxState
	IDs   []uuid.UUID
	// After is the last entry of the page before; the zero value for the first page.
	After InboxEntry
	Limit int32
}

// InboxStatus is the state of the inbox, cheap to read at any size.
type InboxStatus struct {
	// Dead and Parked count up to InboxCountLimit.
	Dead, Parked int64
	// OldestFailure and LastReceived are nil when there is none.
	OldestFailure, LastReceived *time.Time
	// TableBytes is the size of the table with its indexes.
	TableBytes int64
}

// InboxCountLimit is where counting failures stops.
const InboxCountLimit = 10_000
