package repositories

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/models/po"
	"github.com/lingo-services/profile/internal/repositories/profiledb"
)

type watchLogRepo struct{ q *profiledb.Queries }

func (r watchLogRepo) Get(ctx context.Context, keys []WatchKey) (map[WatchKey]po.WatchLog, error) {
	var p profiledb.GetWatchLogsParams
	for _, k := range keys {
		p.UserIDs = append(p.UserIDs, uuid.UUID(k.UserID))
		p.VideoIDs = append(p.VideoIDs, uuid.UUID(k.VideoID))
	}
	rows, err := r.q.GetWatchLogs(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("read watch logs: %w", translate(err))
	}
	logs := make(map[WatchKey]po.WatchLog, len(rows))
	for _, row := range rows {
		log := decodeWatchLog(row)
		logs[WatchKey{log.UserID, log.VideoID}] = log
	}
	return logs, nil
}

func (r watchLogRepo) UpsertProgress(ctx context.Context, logs []po.WatchLog) error {
	var p profiledb.PutWatchLogsParams
	for _, l := range logs {
		p.UserIDs = append(p.UserIDs, uuid.UUID(l.UserID))
		p.VideoIDs = append(p.VideoIDs, uuid.UUID(l.VideoID))
		p.PositionSeconds = append(p.PositionSeconds, l.PositionSeconds)
		p.RatioBPs = append(p.RatioBPs, l.RatioBP)
		p.ResumeAts = append(p.ResumeAts, l.ResumeAt)
		p.RatioAts = append(p.RatioAts, l.RatioAt)
		p.FurthestSeconds = append(p.FurthestSeconds, l.FurthestSeconds)
		p.MaxRatioBPs = append(p.MaxRatioBPs, l.MaxRatioBP)
		p.ReportedSeconds = append(p.ReportedSeconds, l.ReportedSeconds)
		p.CountedSeconds = append(p.CountedSeconds, l.CountedSeconds)
		p.QualifiedAts = append(p.QualifiedAts, orZero(l.QualifiedAt))
		p.CompletedAts = append(p.CompletedAts, orZero(l.CompletedAt))
		p.CompletedCounts = append(p.CompletedCounts, l.CompletedCount)
		p.CompletionArmed = append(p.CompletionArmed, l.CompletionArmed)
		p.LastEmittedRatioBPs = append(p.LastEmittedRatioBPs, or(l.LastEmittedRatioBP, -1))
		p.SessionIDs = append(p.SessionIDs, orZero(l.SessionID))
		p.SessionSeqs = append(p.SessionSeqs, or(l.SessionSeq, -1))
		p.FirstWatchedAts = append(p.FirstWatchedAts, l.FirstWatchedAt)
		p.LastWatchedAts = append(p.LastWatchedAts, l.LastWatchedAt)
		p.ExpiresAts = append(p.ExpiresAts, l.ExpiresAt)
	}
	if err := r.q.PutWatchLogs(ctx, p); err != nil {
		return fmt.Errorf("store watch logs: %w", translate(err))
	}
	return nil
}

func (r watchLogRepo) Sessions(ctx context.Context, keys []po.WatchSessionKey) (map[po.WatchSessionKey]int64, error) {
	var p profiledb.GetWatchSessionsParams
	for _, k := range keys {
		p.UserIDs = append(p.UserIDs, uuid.UUID(k.UserID))
		p.VideoIDs = append(p.VideoIDs, uuid.UUID(k.VideoID))
		p.SessionIDs = append(p.SessionIDs, k.SessionID)
	}
	rows, err := r.q.GetWatchSessions(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("read watch sessions: %w", translate(err))
	}
	seen := make(map[po.WatchSessionKey]int64, len(rows))
	for _, row := range rows {
		seen[po.WatchSessionKey{UserID: models.UserID(row.UserID), VideoID: models.VideoID(row.VideoID), SessionID: row.SessionID}] = row.Seq
	}
	return seen, nil
}

func (r watchLogRepo) UpsertSessions(ctx context.Context, sessions []po.WatchSession) error {
	var p profiledb.PutWatchSessionsParams
	for _, s := range sessions {
		p.UserIDs = append(p.UserIDs, uuid.UUID(s.UserID))
		p.VideoIDs = append(p.VideoIDs, uuid.UUID(s.VideoID))
		p.SessionIDs = append(p.SessionIDs, s.SessionID)
		p.Seqs = append(p.Seqs, s.Seq)
	}
	if err := r.q.PutWatchSessions(ctx, p); err != nil {
		return fmt.Errorf("store watch sessions: %w", translate(err))
	}
	return nil
}

func (r watchLogRepo) PruneSessions(ctx context.Context, untouched time.Duration, limit int32) (int64, error) {
	n, err := r.q.PruneWatchSessions(ctx, profiledb.PruneWatchSessionsParams{OlderThanSeconds: untouched.Seconds(), MaxRows: limit})
	if err != nil {
		return 0, fmt.Errorf("prune watch sessions: %w", translate(err))
	}
	return n, nil
}

func (r watchLogRepo) Unjudged(ctx context.Context, limit int32) ([]WatchKey, error) {
	rows, err := r.q.FindUnjudgedWatchLogs(ctx, limit)
	if err != nil {
		return nil, fmt.Errorf("find watch logs to judge: %w", translate(err))
	}
	keys := make([]WatchKey, len(rows))
	for i, row := range rows {
		keys[i] = WatchKey{models.UserID(row.UserID), models.VideoID(row.VideoID)}
	}
	return keys, nil
}

func (r watchLogRepo) BatchGet(ctx context.Context, user models.UserID, ids []models.VideoID) (map[models.VideoID]po.WatchRecord, error) {
	p := profiledb.GetWatchProgressParams{UserID: uuid.UUID(user)}
	for _, id := range ids {
		p.VideoIDs = append(p.VideoIDs, uuid.UUID(id))
	}
	rows, err := r.q.GetWatchProgress(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("read watch progress: %w", translate(err))
	}
	records := make(map[models.VideoID]po.WatchRecord, len(rows))
	for _, row := range rows {
		if row.Expired {
			continue
		}
		log := decodeWatchLog(row.ProfileWatchLog)
		records[log.VideoID] = po.WatchRecord{Log: log, DurationMicros: row.DurationMicros}
	}
	return records, nil
}

func (r watchLogRepo) ListRecent(ctx context.Context, queries []po.WatchQuery) ([][]po.WatchLog, error) {
	var p profiledb.ListWatchHistoryParams
	for i, q := range queries {
		before := or(q.Before, po.WatchKey{LastWatchedAt: endOfTime, VideoID: models.VideoID(greatestID)})
		p.Ordinals = append(p.Ordinals, int32(i))
		p.UserIDs = append(p.UserIDs, uuid.UUID(q.UserID))
		p.BeforeAts = append(p.BeforeAts, before.LastWatchedAt)
		p.BeforeVideos = append(p.BeforeVideos, uuid.UUID(before.VideoID))
		p.WatchedAfters = append(p.WatchedAfters, orZero(q.WatchedAfter))
		p.WatchedBefores = append(p.WatchedBefores, or(q.WatchedBefore, endOfTime))
		p.Completions = append(p.Completions, string(q.Completion))
		p.MaxRows = append(p.MaxRows, int32(q.Limit))
	}
	rows, err := r.q.ListWatchHistory(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("list watch history: %w", translate(err))
	}
	lists := make([][]po.WatchLog, len(queries))
	for _, row := range rows {
		if lists[row.Ordinal] == nil {
			lists[row.Ordinal] = make([]po.WatchLog, 0, queries[row.Ordinal].Limit)
		}
		lists[row.Ordinal] = append(lists[row.Ordinal], po.WatchLog{
			UserID: queries[row.Ordinal].UserID, VideoID: models.VideoID(row.VideoID),
			PositionSeconds: row.PositionSeconds, RatioBP: row.RatioBP, ResumeAt: row.ResumeAt.UTC(), RatioAt: or(row.RatioAt, row.ResumeAt).UTC(),
			MaxRatioBP: row.MaxRatioBP, CountedSeconds: row.CountedSeconds, QualifiedAt: utc(row.QualifiedAt), CompletedAt: utc(row.CompletedAt),
			CompletedCount: row.CompletedCount, SessionID: row.SessionID,
			FirstWatchedAt: row.FirstWatchedAt.UTC(), LastWatchedAt: row.LastWatchedAt.UTC(), ExpiresAt: row.ExpiresAt.UTC(),
		})
	}
	for _, list := range lists {
		slices.SortFunc(list, func(a, b po.WatchLog) int {
			return -cmp.Or(a.LastWatchedAt.Compare(b.LastWatchedAt), bytes.Compare(a.VideoID[:], b.VideoID[:]))
		})
	}
	return lists, nil
}

func decodeWatchLog(row profiledb.ProfileWatchLog) po.WatchLog {
	return po.WatchLog{
		UserID: models.UserID(row.UserID), VideoID: models.VideoID(row.VideoID),
		PositionSeconds: row.PositionSeconds, RatioBP: row.RatioBP, ResumeAt: row.ResumeAt.UTC(), MaxRatioBP: row.MaxRatioBP,
		ReportedSeconds: row.ReportedSeconds, CountedSeconds: row.CountedSeconds, QualifiedAt: utc(row.QualifiedAt),
		CompletedAt: utc(row.CompletedAt), CompletedCount: row.CompletedCount, CompletionArmed: row.CompletionArmed,
		LastEmittedRatioBP: row.LastEmittedRatioBP, SessionID: row.SessionID, SessionSeq: row.SessionSeq,
		RatioAt: or(row.RatioAt, row.ResumeAt).UTC(), FurthestSeconds: row.FurthestSeconds,
		FirstWatchedAt: row.FirstWatchedAt.UTC(), LastWatchedAt: row.LastWatchedAt.UTC(), ExpiresAt: row.ExpiresAt.UTC(),
	}
}
