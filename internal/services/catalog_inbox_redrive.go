package services

import (
	"context"
	"errors"
	"fmt"

	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/repositories"
)

// What a redrive can come to.
const (
	RedriveApplied    = "applied"
	RedriveStale      = "stale"
	RedriveDuplicate  = "duplicate"
	RedriveApplicable = "applicable"
	RedriveRefused    = "refused"
	RedriveGone       = "gone"
)

func (s *catalogInboxService) Redrive(ctx context.Context, keys []InboxKey, dryRun bool) ([]Redriven, error) {
	results := make([]Redriven, 0, len(keys))
	for _, key := range keys {
		outcome, err := s.redrive(ctx, key, dryRun)
		switch {
		case errors.Is(err, models.ErrInvalidArgument):
			reason := errors.Unwrap(err).Error() // the cause: the rest is for callers of the API
			if err := s.refuse(ctx, key, reason, dryRun); err != nil {
				return results, err
			}
			results = append(results, Redriven{InboxKey: key, Outcome: RedriveRefused, Reason: reason})
		case err != nil:
			return results, err
		default:
			results = append(results, Redriven{InboxKey: key, Outcome: outcome})
		}
	}
	return results, nil
}

// redrive applies one failure. Errors: ErrInvalidArgument when it still cannot be.
func (s *catalogInboxService) redrive(ctx context.Context, key InboxKey, dryRun bool) (outcome string, err error) {
	err = s.store.Write(ctx, models.ServiceActor, func(ctx context.Context, tx *repositories.Tx) error {
		failure, found, err := tx.Inbox.Lock(ctx, key)
		if err != nil {
			return err
		}
		if !found {
			outcome = RedriveGone
			return nil
		}
		event, err := s.decode(failure.Payload, failure.Attributes)
		if err != nil {
			return models.ErrInvalidArgument.Because(err)
		}
		if dryRun {
			outcome = RedriveApplicable
			return nil
		}
		event.MessageID = failure.MessageID
		counts, err := apply(ctx, tx, key.Generation, []CatalogEvent{event})
		if err != nil {
			return err
		}
		outcome = outcomeOf(counts)
		if event.ID == key.EventID {
			return nil
		}
		event.ID = key.EventID // it was kept under the message's id: settle that row too
		_, err = tx.Inbox.Claim(ctx, key.Generation, []CatalogEvent{event})
		return err
	})
	return outcome, dataError(err)
}

func outcomeOf(counts InboxCounts) string {
	switch {
	case counts.Applied > 0:
		return RedriveApplied
	case counts.Stale > 0:
		return RedriveStale
	}
	return RedriveDuplicate
}

func (s *catalogInboxService) Discard(ctx context.Context, d Discard) (discarded []InboxKey, err error) {
	err = s.store.Write(ctx, models.ServiceActor, func(ctx context.Context, tx *repositories.Tx) error {
		discarded, err = tx.Inbox.Discard(ctx, d.Keys, fmt.Sprintf("discarded by %s: %s; ", d.Operator, d.Reason))
		return err
	})
	return discarded, err
}

// refuse keeps the newest reason, outside the transaction that failed.
func (s *catalogInboxService) refuse(ctx context.Context, key InboxKey, reason string, dryRun bool) error {
	if dryRun {
		return nil
	}
	return s.store.Write(ctx, models.ServiceActor, func(ctx context.Context, tx *repositories.Tx) error {
		failure, found, err := tx.Inbox.Lock(ctx, key)
		if err != nil || !found {
			return err
		}
		failure.Reason = reason
		_, err = tx.Inbox.Park(ctx, key.Generation, []InboxFailure{failure})
		return err
	})
}
