package repositories

import (
	"context"
	"fmt"

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

func (r watchLogRepo) ListRecent(ctx context.Context, q po.WatchQuery) ([]po.WatchEntry, error) {
	before := po.WatchKey{LastWatchedAt: endOfTime, VideoID: models.VideoID(greatestID)}
	if q.Before != nil {
		before = *q.Before
	}
	rows, err := r.q.ListWatchHistory(ctx, profiledb.ListWatchHistoryParams{
		UserID: uuid.UUID(q.UserID), BeforeAt: before.LastWatchedAt, BeforeVideoID: uuid.UUID(before.VideoID),
		WatchedAfter: orZero(q.WatchedAfter), WatchedBefore: or(q.WatchedBefore, endOfTime),
		Completion: string(q.Completion), IncludeUnavailable: q.IncludeUnavailable, PageSize: int32(q.PageSize),
	})
	if err != nil {
		return nil, fmt.Errorf("list watch history: %w", translate(err))
	}
	entries := make([]po.WatchEntry, len(rows))
	for i, row := range rows {
		entries[i] = po.WatchEntry{
			Log: decodeWatchLog(row.ProfileWatchLog),
			ListedVideo: joinedVideo{
				row.ProfileWatchLog.VideoID, row.Availability, row.UploaderID, row.Title, row.Description, row.DurationMicros,
				row.ThumbnailURL, row.HLSMasterPlaylist, row.Status, row.VisibilityStatus, row.PublishedAt, row.Version,
				row.VideoUpdatedAt,
			}.decode(joinedStats(row.LikeCount, row.BookmarkCount, row.UniqueWatchers, row.TotalWatchSeconds, row.StatsVersion, row.StatsUpdatedAt)),
		}
	}
	return entries, nil
}

func decodeWatchLog(row profiledb.ProfileWatchLog) po.WatchLog {
	return po.WatchLog{
		UserID: models.UserID(row.UserID), VideoID: models.VideoID(row.VideoID),
		PositionSeconds: row.PositionSeconds, RatioBP: row.RatioBP, ResumeAt: row.ResumeAt.UTC(), MaxRatioBP: row.MaxRatioBP,
		ReportedSeconds: row.ReportedSeconds, CountedSeconds: row.CountedSeconds, QualifiedAt: utc(row.QualifiedAt),
		CompletedAt: utc(row.CompletedAt), CompletedCount: row.CompletedCount, CompletionArmed: row.CompletionArmed,
		LastEmittedRatioBP: row.LastEmittedRatioBP, SessionID: row.SessionID, SessionSeq: row.SessionSeq,
		FirstWatchedAt: row.FirstWatchedAt.UTC(), LastWatchedAt: row.LastWatchedAt.UTC(), ExpiresAt: row.ExpiresAt.UTC(),
	}
}
