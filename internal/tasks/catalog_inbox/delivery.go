package cataloginbox

import (
	"errors"

	"cloud.google.com/go/pubsub/v2"
	"github.com/google/uuid"

	"github.com/lingo-services/profile/internal/clients/catalog"
	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/models/po"
	"github.com/lingo-services/profile/internal/services"
)

// delivery is a message in hand. err says why its event cannot be applied; nil when it can, as far as we know.
type delivery struct {
	message *pubsub.Message
	event   services.CatalogEvent
	err     error
}

func newDelivery(m *pubsub.Message) *delivery {
	d := &delivery{message: m}
	d.event, d.err = catalog.Decode(m.Data, m.Attributes)
	d.event.MessageID = m.ID
	return d
}

func (d *delivery) state() po.InboxState {
	var unknown *catalog.UnknownTypeError
	if errors.As(d.err, &unknown) {
		return po.Parked
	}
	return po.Dead
}

// failure is what to keep of a delivery that cannot be applied.
func (d *delivery) failure() services.InboxFailure {
	f := services.InboxFailure{
		EventID: d.event.ID, State: d.state(), EventType: d.event.Type, AggregateType: d.message.Attributes["aggregate_type"],
		AggregateID: d.message.Attributes["aggregate_id"], MessageID: d.message.ID, Payload: d.message.Data,
		Attributes: d.message.Attributes, Reason: d.err.Error(),
	}
	if f.EventID == uuid.Nil {
		f.EventID = services.MessageEventID(d.message.ID)
	}
	if d.event.Change.VideoID != (models.VideoID{}) {
		f.AggregateID = d.event.Change.VideoID.String()
	}
	return f
}

func eventsOf(batch []*delivery) []services.CatalogEvent {
	events := make([]services.CatalogEvent, len(batch))
	for i, d := range batch {
		events[i] = d.event
	}
	return events
}

func failuresOf(batch []*delivery) []services.InboxFailure {
	failures := make([]services.InboxFailure, len(batch))
	for i, d := range batch {
		failures[i] = d.failure()
	}
	return failures
}
