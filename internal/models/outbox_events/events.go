// Package outboxevents builds the events this service publishes: type names and protobuf payloads of
// api/profile/v1/events.proto. Versions are given out when they are stored.
package outboxevents

import (
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	profilev1 "github.com/lingo-services/profile/api/profile/v1"
	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/models/po"
	"github.com/lingo-services/profile/internal/models/vo"
)

// Kind is the event_type attribute.
type Kind = string

// The kinds of event.
const (
	EngagementAdded       Kind = "profile.engagement.added"
	EngagementRemoved     Kind = "profile.engagement.removed"
	WatchProgressed       Kind = "profile.watch.progressed"
	WatchRemoved          Kind = "profile.watch.removed"
	PreferencesUpdated    Kind = "profile.preferences.updated"
	UserDeletionScheduled Kind = "profile.user.deletion.scheduled"
	UserDeletionCompleted Kind = "profile.user.deletion.completed"
)

const sourceManual = "manual"

// Engagement reports that a like or bookmark became active or stopped being so.
func Engagement(id uuid.UUID, cmd po.FavoriteCommand, change po.FavoriteChange, stats po.VideoStats) (po.Event, error) {
	at := timestamppb.New(change.EventAt)
	kind, message := EngagementAdded, proto.Message(&profilev1.EngagementAddedEvent{
		EventId: id.String(), UserId: cmd.UserID.String(), VideoId: cmd.VideoID.String(), FavoriteType: vo.FavoriteType(cmd.Type),
		OccurredAt: at, Source: sourceManual, Stats: vo.Stats(stats),
	})
	if !cmd.Active {
		kind, message = EngagementRemoved, &profilev1.EngagementRemovedEvent{
			EventId: id.String(), UserId: cmd.UserID.String(), VideoId: cmd.VideoID.String(), FavoriteType: vo.FavoriteType(cmd.Type),
			OccurredAt: at, DeletedAt: timestamppb.New(change.At), Source: sourceManual, Stats: vo.Stats(stats),
		}
	}
	return encode(id, kind, cmd.UserID, change.EventAt, message)
}

// Progress reports a watch row right after a report that emits (po.Merged.Emits).
func Progress(id uuid.UUID, m po.Merged, durationMicros int64, stats po.VideoStats) (po.Event, error) {
	details := map[string]any{"first_watch": m.FirstWatch, "progressed": m.Progressed, "completed": m.Completed}
	if m.Next.SessionID != nil {
		details["session_id"] = *m.Next.SessionID
	}
	context, err := structpb.NewStruct(details)
	if err != nil {
		return po.Event{}, fmt.Errorf("encode event context: %w", err)
	}
	return encode(id, WatchProgressed, m.Next.UserID, m.At, &profilev1.WatchProgressedEvent{
		EventId: id.String(), UserId: m.Next.UserID.String(), VideoId: m.Next.VideoID.String(),
		Progress: vo.WatchProgress(m.Next, durationMicros), Context: context, OccurredAt: timestamppb.New(m.At), Stats: vo.Stats(stats),
	})
}

// Reason says why a watch record left the history.
type Reason string

// The reasons: the user removed one record (S46), several at once (S46), or the retention ended (S43, S44).
const (
	Deleted Reason = "deleted"
	Cleared Reason = "cleared"
	Expired Reason = "expired"
)

// Removal reports that a watch record left the history; stats are the video's counters right after it.
func Removal(id uuid.UUID, user models.UserID, video models.VideoID, reason Reason, at time.Time, stats po.VideoStats) (po.Event, error) {
	return encode(id, WatchRemoved, user, at, &profilev1.WatchRemovedEvent{
		EventId: id.String(), UserId: user.String(), VideoId: video.String(), OccurredAt: timestamppb.New(at),
		Reason: string(reason), Stats: vo.Stats(stats),
	})
}

// Preferences reports changed preferences; values of extra stay inside, only their names leave (S68).
func Preferences(id uuid.UUID, user po.User, changes []po.PreferenceChange, at time.Time) (po.Event, error) {
	delta := &profilev1.PreferenceDelta{}
	for _, c := range changes {
		change := &profilev1.PreferenceChange{Field: c.Field}
		if !strings.HasPrefix(c.Field, "extra.") {
			var err error
			if change.OldValue, err = structpb.NewValue(c.Old); err != nil {
				return po.Event{}, fmt.Errorf("encode old %s: %w", c.Field, err)
			}
			if change.NewValue, err = structpb.NewValue(c.New); err != nil {
				return po.Event{}, fmt.Errorf("encode new %s: %w", c.Field, err)
			}
		}
		delta.Changes = append(delta.Changes, change)
	}
	return encode(id, PreferencesUpdated, user.UserID, at, &profilev1.PreferencesUpdatedEvent{
		EventId: id.String(), UserId: user.UserID.String(), ProfileVersion: user.Version, OccurredAt: timestamppb.New(at), Delta: delta,
	})
}

func encode(id uuid.UUID, kind Kind, user models.UserID, at time.Time, message proto.Message) (po.Event, error) {
	payload, err := proto.MarshalOptions{Deterministic: true}.Marshal(message)
	if err != nil {
		return po.Event{}, fmt.Errorf("encode %s: %w", kind, err)
	}
	return po.Event{ID: id, Type: kind, UserID: user, OccurredAt: at, Payload: payload}, nil
}
