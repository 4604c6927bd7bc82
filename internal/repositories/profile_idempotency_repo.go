package repositories

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/lingo-services/profile/internal/models/po"
	"github.com/lingo-services/profile/internal/repositories/profiledb"
)

type idempotencyRepo struct{ q *profiledb.Queries }

func (r idempotencyRepo) Lock(ctx context.Context, records []po.IdempotencyRecord) ([]bool, error) {
	var p profiledb.TryLockIdempotencyKeysParams
	for i, record := range records {
		p.Places = append(p.Places, int32(i))
		p.Scopes = append(p.Scopes, record.Scope())
	}
	rows, err := r.q.TryLockIdempotencyKeys(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("lock idempotency keys: %w", translate(err))
	}
	locked := make([]bool, len(records))
	for _, row := range rows {
		locked[row.Place] = row.Locked
	}
	return locked, nil
}

func (r idempotencyRepo) Get(ctx context.Context, records []po.IdempotencyRecord) (map[int]po.IdempotencyRecord, error) {
	var p profiledb.GetIdempotencyKeysParams
	for i, record := range records {
		p.Places = append(p.Places, int32(i))
		p.UserIDs = append(p.UserIDs, uuid.UUID(record.UserID))
		p.Actions = append(p.Actions, record.Action)
		p.ResourceIDs = append(p.ResourceIDs, record.ResourceID)
		p.Keys = append(p.Keys, record.Key)
	}
	rows, err := r.q.GetIdempotencyKeys(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("read idempotency keys: %w", translate(err))
	}
	kept := make(map[int]po.IdempotencyRecord, len(rows))
	for _, row := range rows {
		record := records[row.Place]
		record.Fingerprint, record.Response = [32]byte(row.Fingerprint), []byte(row.Response)
		kept[int(row.Place)] = record
	}
	return kept, nil
}

func (r idempotencyRepo) Put(ctx context.Context, records []po.IdempotencyRecord, retention time.Duration) error {
	p := profiledb.PutIdempotencyKeysParams{RetentionSeconds: retention.Seconds()}
	for _, record := range records {
		p.UserIDs = append(p.UserIDs, uuid.UUID(record.UserID))
		p.Actions = append(p.Actions, record.Action)
		p.ResourceIDs = append(p.ResourceIDs, record.ResourceID)
		p.Keys = append(p.Keys, record.Key)
		p.Fingerprints = append(p.Fingerprints, record.Fingerprint[:])
		p.Responses = append(p.Responses, string(record.Response))
	}
	if err := r.q.PutIdempotencyKeys(ctx, p); err != nil {
		return fmt.Errorf("store idempotency keys: %w", translate(err))
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
