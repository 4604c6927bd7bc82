package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"cloud.google.com/go/pubsub/v2"
	"google.golang.org/protobuf/encoding/protojson"

	outboxevents "github.com/lingo-services/profile/internal/models/outbox_events"
)

// tailed is a received message as it is printed: with its payload, or with the bytes and why they could not
// be read.
type tailed struct {
	Attributes  map[string]string `json:"attributes"`
	OrderingKey string            `json:"ordering_key"`
	PublishTime time.Time         `json:"publish_time"`
	Payload     json.RawMessage   `json:"payload,omitempty"`
	Bytes       []byte            `json:"payload_base64,omitempty"`
	Note        string            `json:"note,omitempty"`
}

func newTailed(m *pubsub.Message) tailed {
	t := tailed{Attributes: m.Attributes, OrderingKey: m.OrderingKey, PublishTime: m.PublishTime.UTC()}
	payload, err := asJSON(m.Attributes["event_type"], m.Data)
	if err != nil {
		t.Bytes, t.Note = m.Data, err.Error()
		return t
	}
	t.Payload = payload
	return t
}

func asJSON(kind string, payload []byte) (json.RawMessage, error) {
	message, err := outboxevents.Decode(kind, payload)
	if err != nil {
		return nil, err
	}
	text, err := protojson.Marshal(message)
	if err != nil {
		return nil, fmt.Errorf("write %s as JSON: %w", kind, err)
	}
	return text, nil
}

// text is one JSON line, or a block for people: a line of what matters, the attributes, the payload.
func (t tailed) text(asJSON bool) []byte {
	if asJSON {
		return line(t)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %q version=%q key=%q\n ", t.PublishTime.Format(time.RFC3339Nano), t.Attributes["event_type"], t.Attributes["version"], t.OrderingKey)
	for _, name := range slices.Sorted(maps.Keys(t.Attributes)) {
		fmt.Fprintf(&b, " %s=%q", name, t.Attributes[name]) // quoted: a terminal must not obey what anybody published
	}
	b.WriteString("\n  ")
	if t.Note != "" {
		fmt.Fprintf(&b, "base64 %s (%q)\n", base64.StdEncoding.EncodeToString(t.Bytes), t.Note)
		return b.Bytes()
	}
	b.Write(line(t.Payload))
	return b.Bytes()
}

// line is compact JSON without HTML escapes, and a newline.
func line(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(v) // strings, a time and JSON cannot fail
	return b.Bytes()
}
