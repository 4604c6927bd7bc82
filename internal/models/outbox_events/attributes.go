package outboxevents

import (
	"strconv"
	"strings"
	"time"

	"github.com/lingo-services/profile/internal/models/po"
)

// ContentType of every payload.
const ContentType = "application/protobuf"

const (
	schemaVersion = "v1"
	specVersion   = "1.0"
	// source and event id together name an event among all services.
	source = "/lingo-services/profile"
	// schemaBase is an identifier, the common part of every schema's $id.
	schemaBase    = "https://github.com/lingo-services/profile/api/events/profile/v1/"
	maxAttributes = 16
)

// Attributes are those of the message that carries a delivery, the same on every retry (S74): api.md section 4
// and CloudEvents. traceparent is there only when a trace is.
func Attributes(d po.Delivery) map[string]string {
	id, aggregate, at := d.EventID.String(), d.AggregateID.String(), d.OccurredAt.UTC().Format(time.RFC3339Nano)
	attributes := make(map[string]string, maxAttributes)
	attributes["event_id"] = id
	attributes["event_type"] = d.EventType
	attributes["aggregate_id"] = aggregate
	attributes["aggregate_type"] = d.AggregateType
	attributes["version"] = strconv.FormatInt(d.Version, 10)
	attributes["occurred_at"] = at
	attributes["schema_version"] = schemaVersion
	attributes["content-type"] = ContentType
	attributes["ce-specversion"] = specVersion
	attributes["ce-id"] = id
	attributes["ce-source"] = source
	attributes["ce-type"] = d.EventType
	attributes["ce-time"] = at
	attributes["ce-subject"] = aggregate
	attributes["ce-dataschema"] = SchemaID(d.EventType)
	if d.TraceParent != "" {
		attributes["traceparent"] = d.TraceParent
	}
	return attributes
}

// SchemaID is the $id of the JSON Schema of a kind's protojson form, also of kinds this binary does not know.
func SchemaID(kind Kind) string {
	return schemaBase + strings.TrimPrefix(kind, "profile.") + ".json"
}
