package po

import (
	"hash/fnv"
	"time"

	"github.com/google/uuid"

	"github.com/lingo-services/profile/internal/models"
)

// Lanes is the number of publishing lanes; every user belongs to one.
const Lanes = 16

// Event is a row of profile.outbox_events, immutable once written.
type Event struct {
	// ID is a UUIDv7, the same on every delivery.
	ID   uuid.UUID
	Type string
	// UserID is the aggregate and the ordering key.
	UserID models.UserID
	// Version counts the user's events: 1, 2, 3, …
	Version    int64
	OccurredAt time.Time
	// Payload is the protobuf message of Type.
	Payload []byte
	// TraceParent is the W3C traceparent of the call that caused the event; empty without one.
	TraceParent string
}

// Lane is a stable hash of the ordering key: it must not change between releases.
func (e Event) Lane() int32 {
	h := fnv.New32a()
	_, _ = h.Write(e.UserID[:])
	return int32(h.Sum32() % Lanes)
}

// Delivery is a stored event that the broker has not acknowledged yet, as the publisher reads it.
type Delivery struct {
	// ID orders the deliveries of a key.
	ID   int64
	Lane int32
	// EventID is a UUIDv7, the same on every delivery.
	EventID       uuid.UUID
	AggregateType string
	AggregateID   uuid.UUID
	EventType     string
	// Key is the user: the ordering key.
	Key models.UserID
	// Version counts the events of Key: 1, 2, 3, …
	Version int64
	// Payload is the protobuf message of EventType.
	Payload []byte
	// TraceParent is the W3C traceparent of the call that caused the event; empty without one.
	TraceParent string
	OccurredAt  time.Time
	// Attempts counts refusals of this message by the broker.
	Attempts int32
	// Dead deliveries have used up their attempts and block their key.
	Dead bool
	// Age is how long ago, by the database's clock, the event was written when it was read.
	Age time.Duration
}

// IdempotencyRecord is the stored answer of a successful call (S85).
type IdempotencyRecord struct {
	UserID models.UserID
	// Action and ResourceID scope the key.
	Action      string
	ResourceID  uuid.UUID
	Key         string
	Fingerprint [32]byte
	// Response is JSON.
	Response []byte
}

// Scope is the lock and log name of the record: profile:<user>:<action>:<resource>:<key> (A33).
func (r IdempotencyRecord) Scope() string {
	return "profile:" + r.UserID.String() + ":" + r.Action + ":" + r.ResourceID.String() + ":" + r.Key
}
