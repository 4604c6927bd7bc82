package outboxevents

import (
	"fmt"
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"

	profilev1 "github.com/lingo-services/profile/api/profile/v1"
)

var messages = map[Kind]proto.Message{
	EngagementAdded:       (*profilev1.EngagementAddedEvent)(nil),
	EngagementRemoved:     (*profilev1.EngagementRemovedEvent)(nil),
	WatchProgressed:       (*profilev1.WatchProgressedEvent)(nil),
	WatchRemoved:          (*profilev1.WatchRemovedEvent)(nil),
	PreferencesUpdated:    (*profilev1.PreferencesUpdatedEvent)(nil),
	UserDeletionScheduled: (*profilev1.UserDeletionScheduledEvent)(nil),
	UserDeletionCompleted: (*profilev1.UserDeletionCompletedEvent)(nil),
}

// Kinds are all kinds of event, sorted.
func Kinds() []Kind { return slices.Sorted(maps.Keys(messages)) }

// Decode reads a published payload. Errors: an unknown event_type, a payload that is not its message.
func Decode(eventType string, payload []byte) (proto.Message, error) {
	kind, known := messages[eventType]
	if !known {
		return nil, fmt.Errorf("unknown event type %q", eventType)
	}
	message := kind.ProtoReflect().New().Interface()
	if err := proto.Unmarshal(payload, message); err != nil {
		return nil, fmt.Errorf("decode %s: %w", eventType, err)
	}
	return message, nil
}
