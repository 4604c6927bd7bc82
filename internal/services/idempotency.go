package services

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/models/po"
	"github.com/lingo-services/profile/internal/repositories"
)

// Actions scope idempotency keys (A33).
const (
	actionUpdateProfile     = "update_profile"
	actionUpdatePreferences = "update_preferences"
	actionMutateFavorite    = "mutate_favorite"
	actionWatchProgress     = "upsert_watch_progress"
)

// idempotent runs fn in a write transaction. With an idempotency key the answer of the first successful
// run is stored in that same transaction and returned to every repeat (S85). Errors: fn's,
// ErrIdempotencyKeyReused, ErrIdempotencyInProgress.
func idempotent[T any](ctx context.Context, store Store, retention time.Duration, call models.Call, action string, resource uuid.UUID,
	fn func(ctx context.Context, tx *repositories.Tx) (T, error),
) (answer Answer[T], err error) {
	record := po.IdempotencyRecord{
		UserID: call.Subject, Action: action, ResourceID: resource, Key: call.IdempotencyKey, Fingerprint: call.Fingerprint,
	}
	err = store.Write(ctx, call.Actor, func(ctx context.Context, tx *repositories.Tx) error {
		answer = Answer[T]{}
		if call.IdempotencyKey == "" {
			answer.Value, err = fn(ctx, tx)
			return err
		}
		if err := tx.Idempotency.Lock(ctx, record); err != nil {
			return err
		}
		kept, found, err := tx.Idempotency.Get(ctx, record)
		if err != nil {
			return err
		}
		if found {
			if kept.Fingerprint != call.Fingerprint {
				return models.ErrIdempotencyKeyReused
			}
			answer.Replayed = true
			if err := json.Unmarshal(kept.Response, &answer.Value); err != nil {
				return fmt.Errorf("decode stored answer: %w", err)
			}
			return nil
		}
		if answer.Value, err = fn(ctx, tx); err != nil {
			return err
		}
		if record.Response, err = json.Marshal(answer.Value); err != nil {
			return fmt.Errorf("encode answer: %w", err)
		}
		return tx.Idempotency.Put(ctx, record, retention)
	})
	return answer, err
}
