package repositories

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/google/uuid"

	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/models/po"
	"github.com/lingo-services/profile/internal/repositories/profiledb"
)

type idempotencyRepo struct{ q *profiledb.Queries }

func (r idempotencyRepo) Lock(ctx context.Context, record po.IdempotencyRecord) error {
	locked, err := r.q.TryLockIdempotencyKey(ctx, record.Scope())
	if err != nil {
		return fmt.Errorf("lock idempotency key: %w", translate(err))
	}
	if !locked {
		return models.ErrIdempotencyInProgress
	}
	return nil
}

func (r idempotencyRepo) Get(ctx context.Context, record po.IdempotencyRecord) (po.IdempotencyRecord, bool, error) {
	row, err := r.q.GetIdempotencyKey(ctx, profiledb.GetIdempotencyKeyParams{
		UserID: uuid.UUID(record.UserID), Action: record.Action, ResourceID: record.ResourceID, IdempotencyKey: record.Key,
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return po.IdempotencyRecord{}, false, nil
	}
	if err != nil {
		return po.IdempotencyRecord{}, false, fmt.Errorf("read idempotency key: %w", translate(err))
	}
	record.Fingerprint = [32]byte(row.Fingerprint)
	record.Response = []byte(row.Response)
	return record, true, nil
}

func (r idempotencyRepo) Put(ctx context.Context, record po.IdempotencyRecord, retention time.Duration) error {
	err := r.q.PutIdempotencyKey(ctx, profiledb.PutIdempotencyKeyParams{
		UserID: uuid.UUID(record.UserID), Action: record.Action, ResourceID: record.ResourceID, IdempotencyKey: record.Key,
		Fingerprint: record.Fingerprint[:], Response: string(record.Response), RetentionSeconds: retention.Seconds(),
	})
	if err != nil {
		return fmt.Errorf("store idempotency key: %w", translate(err))
	}
	return nil
}

func (r idempotencyRepo) Prune(ctx context.Context, limit int32) (int64, error) {
	n, err := r.q.PruneIdempotencyKeys(ctx, limit)
	if err != nil {
		return 0, fmt.Errorf("prune idempotency keys: %w", translate(err))
	}
	return n, nil
}
