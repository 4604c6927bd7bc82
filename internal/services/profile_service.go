package services

import (
	"context"
	"errors"
	"strconv"

	"github.com/google/uuid"

	"github.com/lingo-services/profile/internal/models"
	outboxevents "github.com/lingo-services/profile/internal/models/outbox_events"
	"github.com/lingo-services/profile/internal/models/po"
	"github.com/lingo-services/profile/internal/models/vo"
	"github.com/lingo-services/profile/internal/repositories"
)

type profileService struct {
	store    Store
	observer Observer
	newID    NewID
	opts     Options
}

// NewProfileService serves profiles from store.
func NewProfileService(store Store, observer Observer, newID NewID, opts Options) ProfileService {
	return &profileService{store, observer, newID, opts}
}

func (s *profileService) Get(ctx context.Context, call models.Call) (user vo.User, err error) {
	err = s.store.Read(ctx, call.Actor, func(ctx context.Context, tx *repositories.Tx) error {
		user, err = tx.Profiles.Get(ctx, call.Subject)
		return err
	})
	return user, err
}

func (s *profileService) Update(ctx context.Context, call models.Call, cmd UpdateProfile) (Answer[vo.ProfileOutcome], error) {
	action := actionUpdateProfile
	if cmd.PreferencesOnly {
		action = actionUpdatePreferences
	}
	answer, err := idempotent(ctx, s.store, s.opts.IdempotencyRetention, call, action, uuid.UUID(call.Subject),
		func(ctx context.Context, tx *repositories.Tx) (vo.ProfileOutcome, error) {
			return s.update(ctx, tx, call, cmd)
		})
	switch {
	case err != nil:
		observeError(s.observer, err)
	case !answer.Replayed && len(answer.Value.Changes) > 0:
		s.observer.PreferencesUpdated()
	}
	return answer, err
}

func (s *profileService) update(ctx context.Context, tx *repositories.Tx, call models.Call, cmd UpdateProfile) (vo.ProfileOutcome, error) {
	counters, err := tx.UserStats.Lock(ctx, []models.UserID{call.Subject})
	if err != nil {
		return vo.ProfileOutcome{}, err
	}
	stored, err := tx.Profiles.Lock(ctx, call.Subject)
	exists := !errors.Is(err, models.ErrProfileNotFound)
	if err != nil && exists {
		return vo.ProfileOutcome{}, err
	}
	if err := cmd.checkConditions(call.Subject, stored.Version); err != nil {
		return vo.ProfileOutcome{}, err
	}
	if !exists {
		if err := cmd.checkProvision(call.Actor); err != nil {
			return vo.ProfileOutcome{}, err
		}
		stored.Extra = map[string]any{}
	}
	next, err := cmd.Patch.Apply(stored.Content)
	if err != nil {
		return vo.ProfileOutcome{}, err
	}
	if exists && next.Equal(stored.Content) {
		return vo.ProfileOutcome{User: stored}, nil
	}
	user, err := s.write(ctx, tx, call.Subject, stored.Version, next)
	if err != nil {
		return vo.ProfileOutcome{}, err
	}
	changes := stored.Changes(user.Preferences)
	if len(changes) > 0 && s.opts.PublishEvents && s.opts.PublishPreferences {
		book := newLedger()
		book.announce(call.Subject, models.VideoID{}, func(id uuid.UUID, _ po.VideoStats) (po.Event, error) {
			return outboxevents.Preferences(id, user, changes, counters[call.Subject].Now)
		})
		if err := book.book(ctx, tx, s.newID); err != nil {
			return vo.ProfileOutcome{}, err
		}
	}
	return vo.ProfileOutcome{User: user, Changes: changes}, nil
}

// write creates at version 0 and updates otherwise. The user is locked, so a lost race here means that
// somebody writes without the lock: give up rather than guess.
func (s *profileService) write(ctx context.Context, tx *repositories.Tx, id models.UserID, version int64, content po.Content) (po.User, error) {
	if version > 0 {
		return tx.Profiles.IncrementVersion(ctx, id, version, content)
	}
	user, created, err := tx.Profiles.Upsert(ctx, id, content)
	if err == nil && !created {
		err = models.ErrTransactionConflict
	}
	return user, err
}

// checkConditions compares with the stored version, 0 when there is no profile (S62).
func (c UpdateProfile) checkConditions(id models.UserID, version int64) error {
	if c.ExpectedVersion != nil && *c.ExpectedVersion != version {
		conflict := models.ErrVersionConflict
		if c.PreferencesOnly {
			conflict = models.ErrPreferenceConflict
		}
		return conflict.WithMetadata("current_version", strconv.FormatInt(version, 10))
	}
	if c.IfMatch != "" && (version == 0 || !models.ETagMatches(c.IfMatch, models.ETag(id, version))) {
		return models.ErrPreconditionFailed.WithMetadata("current_version", strconv.FormatInt(version, 10))
	}
	return nil
}

// checkProvision says whether this call may create the profile (S61).
func (c UpdateProfile) checkProvision(actor models.Actor) error {
	if c.PreferencesOnly && actor.IsService() {
		return models.ErrProfileNotFound
	}
	if !c.Patch.TouchesPreferencesOnly() && !c.Patch.DisplayName.Set {
		return models.ErrInvalidArgument.With(models.Violation{
			Field: "profile.display_name", Description: "is required to create a profile",
		})
	}
	return nil
}
