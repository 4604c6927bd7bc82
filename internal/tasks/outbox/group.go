package outbox

import (
	"context"
	"time"

	"cloud.google.com/go/pubsub/v2"

	"github.com/lingo-services/profile/internal/models/po"
)

// event is a delivery in the publisher's hands.
type event struct {
	po.Delivery
	// readAt and Age together give its age without asking the database again.
	readAt time.Time
	// acknowledged events only wait to be forgotten by the database.
	acknowledged bool
}

func (e *event) age(now time.Time) time.Duration { return e.Age + now.Sub(e.readAt) }

// group is what was handed to the client at once for one key, in order.
type group struct {
	key     string
	events  []*event
	results []*pubsub.PublishResult
	sentAt  time.Time
	// acknowledged is how many of the events, from the first, the broker has; err is what happened to the next.
	acknowledged int
	err          error
	took         time.Duration
}

// await returns when the outcome of every event is known.
func (g *group) await(ctx context.Context) {
	for i, result := range g.results {
		_, err := result.Get(ctx)
		switch {
		case err == nil && g.err == nil:
			g.acknowledged = i + 1
		case err != nil && (g.err == nil || isPaused(g.err)):
			g.err = err
		}
	}
	g.took = time.Since(g.sentAt)
}
