package repositories

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/lingo-services/profile/internal/models/po"
	"github.com/lingo-services/profile/internal/repositories/profiledb"
)

type inboxRepo struct{ q *profiledb.Queries }

const (
	sourceCatalog  = "catalog"
	aggregateVideo = "video"
)

func (r inboxRepo) Claim(ctx context.Context, generation int32, events []po.CatalogEvent) ([]uuid.UUID, error) {
	p := profiledb.ClaimInboxEventsParams{Generation: generation, SourceService: sourceCatalog, AggregateType: aggregateVideo}
	for _, e := range events {
		p.EventIDs = append(p.EventIDs, e.ID)
		p.EventTypes = append(p.EventTypes, e.Type)
		p.AggregateIDs = append(p.AggregateIDs, e.Change.VideoID.String())
		p.MessageIDs = append(p.MessageIDs, storable(e.MessageID))
	}
	claimed, err := r.q.ClaimInboxEvents(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("claim inbox events: %w", translate(err))
	}
	return claimed, nil
}

func (r inboxRepo) Park(ctx context.Context, generation int32, failures []po.InboxFailure) ([]uuid.UUID, error) {
	var kept []uuid.UUID
	for _, round := range rounds(failures, func(f po.InboxFailure) uuid.UUID { return f.EventID }) {
		p := profiledb.ParkInboxEventsParams{Generation: generation, SourceService: sourceCatalog}
		for _, i := range round {
			f := failures[i]
			attributes, err := json.Marshal(storableMap(f.Attributes))
			if err != nil {
				return nil, fmt.Errorf("encode attributes: %w", err)
			}
			p.EventIDs = append(p.EventIDs, f.EventID)
			p.EventTypes = append(p.EventTypes, storable(f.EventType))
			p.AggregateTypes = append(p.AggregateTypes, storable(f.AggregateType))
			p.AggregateIDs = append(p.AggregateIDs, storable(f.AggregateID))
			p.MessageIDs = append(p.MessageIDs, storable(f.MessageID))
			p.States = append(p.States, string(f.State))
			p.Payloads = append(p.Payloads, f.Payload)
			p.Attributes = append(p.Attributes, string(attributes))
			p.LastErrors = append(p.LastErrors, storable(f.Reason))
		}
		ids, err := r.q.ParkInboxEvents(ctx, p)
		if err != nil {
			return nil, fmt.Errorf("park inbox events: %w", translate(err))
		}
		kept = append(kept, ids...)
	}
	return distinct(kept), nil
}

// storableMap: what is kept of a broken message must not break in turn.
func storableMap(m map[string]string) map[string]string {
	out := make(map[string]string, len(m))
	for k, v := range m {
		out[storable(k)] = storable(v)
	}
	return out
}

func (r inboxRepo) List(ctx context.Context, q po.InboxQuery) ([]po.InboxEntry, error) {
	ids := q.IDs
	if ids == nil {
		ids = []uuid.UUID{} // NULL has no cardinality
	}
	rows, err := r.q.ListInboxFailures(ctx, profiledb.ListInboxFailuresParams{
		State: string(q.State), EventIDs: ids, AfterReceivedAt: q.After.ReceivedAt, AfterEventID: q.After.EventID,
		AfterGeneration: q.After.Generation, PageLimit: q.Limit,
	})
	if err != nil {
		return nil, fmt.Errorf("list inbox failures: %w", translate(err))
	}
	entries := make([]po.InboxEntry, len(rows))
	for i, row := range rows {
		entries[i] = po.InboxEntry{
			InboxKey: po.InboxKey{EventID: row.EventID, Generation: row.Generation}, State: po.InboxState(row.State),
			EventType: row.EventType, AggregateType: orZero(row.AggregateType), AggregateID: orZero(row.AggregateID),
			MessageID: orZero(row.MessageID), PayloadBytes: int(row.PayloadBytes), Reason: orZero(row.LastError),
			ReceivedAt: row.ReceivedAt.UTC(),
		}
	}
	return entries, nil
}

func (r inboxRepo) Lock(ctx context.Context, key po.InboxKey) (po.InboxFailure, bool, error) {
	row, err := r.q.LockInboxFailure(ctx, profiledb.LockInboxFailureParams{EventID: key.EventID, Generation: key.Generation})
	if errors.Is(err, pgx.ErrNoRows) {
		return po.InboxFailure{}, false, nil
	}
	if err != nil {
		return po.InboxFailure{}, false, fmt.Errorf("lock inbox failure: %w", translate(err))
	}
	f := po.InboxFailure{
		EventID: key.EventID, State: po.InboxState(row.State), EventType: row.EventType, AggregateType: orZero(row.AggregateType),
		AggregateID: orZero(row.AggregateID), MessageID: orZero(row.MessageID), Payload: row.Payload, Reason: orZero(row.LastError),
	}
	if err := json.Unmarshal([]byte(row.Attributes), &f.Attributes); err != nil {
		return po.InboxFailure{}, false, fmt.Errorf("decode attributes of %s: %w", key.EventID, err)
	}
	return f, true, nil
}

func (r inboxRepo) Discard(ctx context.Context, keys []po.InboxKey, note string) ([]po.InboxKey, error) {
	p := profiledb.DiscardInboxFailuresParams{Note: storable(note)}
	for _, k := range keys {
		p.EventIDs = append(p.EventIDs, k.EventID)
		p.Generations = append(p.Generations, k.Generation)
	}
	rows, err := r.q.DiscardInboxFailures(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("discard inbox failures: %w", translate(err))
	}
	discarded := make([]po.InboxKey, len(rows))
	for i, row := range rows {
		discarded[i] = po.InboxKey{EventID: row.EventID, Generation: row.Generation}
	}
	return discarded, nil
}

func (r inboxRepo) Status(ctx context.Context) (po.InboxStatus, error) {
	row, err := r.q.InboxStatus(ctx, po.InboxCountLimit)
	if err != nil {
		return po.InboxStatus{}, fmt.Errorf("read inbox status: %w", translate(err))
	}
	return po.InboxStatus{
		Dead: row.Dead, Parked: row.Parked, OldestFailure: unlessEpoch(row.OldestFailure), LastReceived: unlessEpoch(row.LastReceived),
		TableBytes: row.TableBytes,
	}, nil
}

func unlessEpoch(t time.Time) *time.Time {
	if t.Unix() == 0 {
		return nil
	}
	return utc(&t)
}

func (r inboxRepo) Prune(ctx context.Context, olderThan time.Duration, limit int32) (int64, error) {
	n, err := r.q.PruneInboxEvents(ctx, profiledb.PruneInboxEventsParams{OlderThanSeconds: olderThan.Seconds(), MaxRows: limit})
	if err != nil {
		return 0, fmt.Errorf("prune inbox: %w", translate(err))
	}
	return n, nil
}
