package outboxevents

import (
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/types/known/timestamppb"

	profilev1 "github.com/lingo-services/profile/api/profile/v1"
	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/models/po"
)

// Deletion is one erasure of a user's data; its two events share it.
type Deletion struct {
	UserID models.UserID
	TaskID uuid.UUID
	// PurgedAt is when erasing starts: what the user did up to then is void.
	PurgedAt time.Time
}

// Erased counts what a finished deletion erased.
type Erased struct {
	Profiles, Engagements, WatchRecords, Events, IdempotencyRecords int64
}

// Scheduled announces a deletion decided at the given time (S80).
func (d Deletion) Scheduled(id uuid.UUID, at time.Time) (po.Event, error) {
	return encode(id, UserDeletionScheduled, d.UserID, at, &profilev1.UserDeletionScheduledEvent{
		EventId: id.String(), UserId: d.UserID.String(), PurgeTaskId: d.TaskID.String(),
		OccurredAt: timestamppb.New(at), DeleteAfter: timestamppb.New(d.PurgedAt),
	})
}

// Completed reports that nothing of the user was left at the given time (S80).
func (d Deletion) Completed(id uuid.UUID, at time.Time, erased Erased) (po.Event, error) {
	return encode(id, UserDeletionCompleted, d.UserID, at, &profilev1.UserDeletionCompletedEvent{
		EventId: id.String(), UserId: d.UserID.String(), PurgeTaskId: d.TaskID.String(),
		OccurredAt: timestamppb.New(at), PurgedAt: timestamppb.New(d.PurgedAt),
		Erased: &profilev1.ErasedCounts{
			Profiles: erased.Profiles, Engagements: erased.Engagements, WatchRecords: erased.WatchRecords,
			Events: erased.Events, IdempotencyRecords: erased.IdempotencyRecords,
		},
	})
}
