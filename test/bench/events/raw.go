package main

import (
	"context"
	"time"

	"cloud.google.com/go/pubsub/v2"
	"github.com/google/uuid"

	infrapubsub "github.com/lingo-services/profile/internal/infrastructure/pubsub"
	outboxevents "github.com/lingo-services/profile/internal/models/outbox_events"
	"github.com/lingo-services/profile/internal/models/po"
)

// message is the message that our publisher makes of an event.
func message(e po.Event) *pubsub.Message {
	return &pubsub.Message{
		Data: e.Payload, OrderingKey: e.UserID.String(),
		Attributes: outboxevents.Attributes(po.Delivery{
			EventID: e.ID, AggregateType: "user", AggregateID: uuid.UUID(e.UserID), EventType: e.Type, Key: e.UserID, Version: e.Version,
			OccurredAt: e.OccurredAt,
		}),
	}
}

// raw publishes the same messages from memory, all at once, with the same client settings: events a second.
func (w *world) raw(ctx context.Context, users, n int) (float64, error) {
	defer w.broker.ClearMessages()
	messages := make([]*pubsub.Message, 0, n)
	for _, e := range events(users, n) {
		messages = append(messages, message(e))
	}
	topic, err := infrapubsub.NewEventTopic(ctx, w.client, w.conf.GetMessaging())
	if err != nil {
		return 0, err
	}
	defer topic.Stop()
	begin := time.Now()
	if err := publishAll(ctx, topic, messages); err != nil {
		return 0, err
	}
	return float64(n) / time.Since(begin).Seconds(), nil
}

// publishAll returns when the broker has every message.
func publishAll(ctx context.Context, topic *pubsub.Publisher, messages []*pubsub.Message) error {
	results := make([]*pubsub.PublishResult, len(messages))
	for i, m := range messages {
		results[i] = topic.Publish(ctx, m)
	}
	for _, r := range results {
		if _, err := r.Get(ctx); err != nil {
			return err
		}
	}
	return nil
}
