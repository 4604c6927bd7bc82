package services

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/models/po"
	"github.com/lingo-services/profile/internal/repositories"
)

type catalogInboxService struct {
	store      Store
	decode     CatalogDecoder
	generation int32
}

// NewCatalogInboxService keeps inbox and projection in store; decode is for redrives.
func NewCatalogInboxService(store Store, decode CatalogDecoder, generation InboxGeneration) CatalogInboxService {
	return &catalogInboxService{store, decode, int32(generation)}
}

func (s *catalogInboxService) Apply(ctx context.Context, events []CatalogEvent) (counts InboxCounts, err error) {
	err = s.store.Write(ctx, models.ServiceActor, func(ctx context.Context, tx *repositories.Tx) error {
		counts, err = apply(ctx, tx, s.generation, events)
		return err
	})
	return counts, dataError(err)
}

// dataError tells callers apart what the database cannot hold from what it cannot do now.
func dataError(err error) error {
	if repositories.IsDataError(err) {
		return models.ErrInvalidArgument.Because(err)
	}
	return err
}

// apply claims events first: what another transaction has, or an earlier delivery brought, is left out.
func apply(ctx context.Context, tx *repositories.Tx, generation int32, events []CatalogEvent) (counts InboxCounts, err error) {
	distinct := distinctEvents(events)
	claimed, err := tx.Inbox.Claim(ctx, generation, distinct)
	if err != nil {
		return InboxCounts{}, err
	}
	isNew := setOf(claimed)
	var changes []po.VideoChange
	for _, e := range distinct {
		if isNew[e.ID] {
			changes = append(changes, e.Change)
		}
	}
	counts.Duplicates = len(events) - len(changes)
	if len(changes) == 0 {
		return counts, nil
	}
	changed, err := tx.Videos.UpsertFromCatalogEvent(ctx, changes)
	if err != nil {
		return InboxCounts{}, err
	}
	moved := setOf(changed)
	for _, c := range changes {
		if moved[c.VideoID] {
			counts.Applied++
		} else {
			counts.Stale++
		}
	}
	return counts, nil
}

// distinctEvents keeps the first of every id.
func distinctEvents(events []CatalogEvent) []CatalogEvent {
	seen := make(map[uuid.UUID]bool, len(events))
	kept := make([]CatalogEvent, 0, len(events))
	for _, e := range events {
		if !seen[e.ID] {
			seen[e.ID] = true
			kept = append(kept, e)
		}
	}
	return kept
}

func setOf[T comparable](values []T) map[T]bool {
	set := make(map[T]bool, len(values))
	for _, v := range values {
		set[v] = true
	}
	return set
}

func (s *catalogInboxService) Park(ctx context.Context, failures []InboxFailure) error {
	return dataError(s.store.Write(ctx, models.ServiceActor, func(ctx context.Context, tx *repositories.Tx) error {
		kept, err := tx.Inbox.Park(ctx, s.generation, failures)
		if err != nil {
			return err
		}
		// A broken message that bears the id of an event already processed is kept under the message's own.
		done := setOf(kept)
		var impostors []InboxFailure
		for _, f := range failures {
			if !done[f.EventID] {
				f.EventID = MessageEventID(f.MessageID)
				impostors = append(impostors, f)
			}
		}
		if len(impostors) == 0 {
			return nil
		}
		_, err = tx.Inbox.Park(ctx, s.generation, impostors)
		return err
	}))
}

// MessageEventID identifies a message that bears no event id that can be read.
func MessageEventID(messageID string) uuid.UUID {
	return uuid.NewSHA1(uuid.NameSpaceOID, []byte("pubsub message "+messageID))
}

func (s *catalogInboxService) Status(ctx context.Context) (status InboxStatus, err error) {
	err = s.store.Read(ctx, models.ServiceActor, func(ctx context.Context, tx *repositories.Tx) error {
		status, err = tx.Inbox.Status(ctx)
		return err
	})
	return status, err
}

func (s *catalogInboxService) List(ctx context.Context, q InboxQuery) (entries []InboxEntry, err error) {
	err = s.store.Read(ctx, models.ServiceActor, func(ctx context.Context, tx *repositories.Tx) error {
		entries, err = tx.Inbox.List(ctx, q)
		return err
	})
	return entries, err
}

func (s *catalogInboxService) Prune(ctx context.Context, olderThan time.Duration, limit int32) (removed int64, err error) {
	err = s.store.Write(ctx, models.ServiceActor, func(ctx context.Context, tx *repositories.Tx) error {
		removed, err = tx.Inbox.Prune(ctx, olderThan, limit)
		return err
	})
	return removed, err
}
