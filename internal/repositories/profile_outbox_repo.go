package repositories

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"github.com/lingo-services/profile/internal/models/po"
	"github.com/lingo-services/profile/internal/repositories/profiledb"
)

type outboxRepo struct {
	q *profiledb.Queries
	// wrote tells the Store that there is something to publish once this has committed.
	wrote *bool
}

const aggregateUser = "user"

func (r outboxRepo) Append(ctx context.Context, events []po.Event) error {
	if len(events) == 0 {
		return nil
	}
	var p profiledb.InsertEventsParams
	for _, e := range events {
		p.EventIDs = append(p.EventIDs, e.ID)
		p.AggregateTypes = append(p.AggregateTypes, aggregateUser)
		p.AggregateIDs = append(p.AggregateIDs, uuid.UUID(e.UserID))
		p.EventTypes = append(p.EventTypes, e.Type)
		p.OrderingKeys = append(p.OrderingKeys, uuid.UUID(e.UserID))
		p.Versions = append(p.Versions, e.Version)
		p.Payloads = append(p.Payloads, e.Payload)
		p.Headers = append(p.Headers, headers(e.TraceParent))
		p.OccurredAts = append(p.OccurredAts, e.OccurredAt)
		p.Lanes = append(p.Lanes, e.Lane())
	}
	if err := r.q.InsertEvents(ctx, p); err != nil {
		return fmt.Errorf("append events: %w", translate(err))
	}
	*r.wrote = true
	return nil
}

// headers are the JSON that goes with an event.
func headers(traceParent string) string {
	if traceParent == "" {
		return "{}"
	}
	return `{"traceparent": "` + traceParent + `"}` // hexadecimal digits and dashes
}
