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
	"github.com/lingo-services/profile/internal/services/coalesce"
)

type profileService struct {
	store    Store
	observer Observer
	newID    NewID
	opts     Options
	writer   writer[UpdateProfile, vo.ProfileOutcome]
	reads    *sharedReads[struct{}, vo.User]
}

// NewProfileService serves profiles from store.
func NewProfileService(store Store, observer Observer, newID NewID, opts Options) ProfileService {
	s := &profileService{store: store, observer: observer, newID: newID, opts: opts}
	s.writer = writer[UpdateProfile, vo.ProfileOutcome]{
		store: store, retention: opts.IdempotencyRetention,
		scope: func(c command[UpdateProfile]) (string, uuid.UUID) {
			if c.body.PreferencesOnly {
				return actionUpdatePreferences, uuid.UUID(c.call.Subject)
			}
			return actionUpdateProfile, uuid.UUID(c.call.Subject)
		},
		prepare:   s.prepare,
		touched:   untouched[UpdateProfile, vo.ProfileOutcome],
		committed: s.committed,
		failed:    func(err error) { observeError(observer, err) },
	}
	s.reads = newSharedReads(store, observer, "profile_read", opts.Coalescing, readProfiles)
	return s
}

func (s *profileService) Get(ctx context.Context, call models.Call) (vo.User, error) {
	return s.reads.get(ctx, call, struct{}{})
}

func readProfiles(ctx context.Context, tx *repositories.Tx, asked []question[struct{}]) ([]coalesce.Outcome[vo.User], error) {
	users := make([]models.UserID, len(asked))
	for i, q := range asked {
		users[i] = q.call.Subject
	}
	found, err := tx.Profiles.BatchGet(ctx, users)
	if err != nil {
		return nil, err
	}
	outcomes := make([]coalesce.Outcome[vo.User], len(asked))
	for i, id := range users {
		if user, exists := found[id]; exists {
			outcomes[i].Value = user
		} else {
			outcomes[i].Err = models.ErrProfileNotFound
		}
	}
	return outcomes, nil
}

// Update shares no transaction: a profile changes seldom, and its version is checked against what is locked.
func (s *profileService) Update(ctx context.Context, call models.Call, cmd UpdateProfile) (Answer[vo.ProfileOutcome], error) {
	return s.writer.alone(ctx, newCommand(ctx, call, cmd))
}

func (s *profileService) prepare(cmds []command[UpdateProfile]) ([]read, applyFunc[vo.ProfileOutcome]) {
	return nil, func(ctx context.Context, tx *repositories.Tx, users locked, places []int, outcomes []outcomeFor[vo.ProfileOutcome]) (wrote bool, err error) {
		for _, i := range places {
			if outcomes[i].Value.Value, err = s.update(ctx, tx, users, cmds[i]); err != nil {
				return false, err
			}
		}
		return true, nil
	}
}

func (s *profileService) committed(_ []command[UpdateProfile], outcomes []outcomeFor[vo.ProfileOutcome]) {
	for _, o := range outcomes {
		if o.Err == nil && !o.Value.Replayed && len(o.Value.Value.Changes) > 0 {
			s.observer.PreferencesUpdated()
		}
	}
}

func (s *profileService) update(ctx context.Context, tx *repositories.Tx, users locked, c command[UpdateProfile]) (vo.ProfileOutcome, error) {
	call, cmd := c.call, c.body
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
		book.announce(pendingEvent{user: call.Subject, trace: c.trace, build: func(id uuid.UUID, _ po.VideoStats) (po.Event, error) {
			return outboxevents.Preferences(id, user, changes, users[call.Subject].Now)
		}})
		if _, err := book.book(ctx, tx, users, s.newID); err != nil {
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
