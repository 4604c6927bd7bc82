package dto

import (
	profilev1 "github.com/lingo-services/profile/api/profile/v1"
	"github.com/lingo-services/profile/internal/controllers/identity"
	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/models/vo"
	"github.com/lingo-services/profile/internal/services"
)

// UpsertWatchProgress decodes one report. occurred_at wins over progress.last_watched_at (S41).
func (d *Decoder) UpsertWatchProgress(s identity.Subject, h Headers, req *profilev1.UpsertWatchProgressRequest) (models.Call, services.ProgressReport, error) {
	r := d.begin(s, h, req)
	progress := req.GetProgress()
	claimed := r.claimed("occurred_at", req.GetOccurredAt())
	if req.GetOccurredAt() == nil {
		claimed = r.claimed("progress.last_watched_at", progress.GetLastWatchedAt())
	}
	report := services.ProgressReport{
		UserID:          s.User,
		VideoID:         r.video("video_id", req.GetVideoId()),
		Claimed:         claimed,
		PositionSeconds: progress.GetPositionSeconds(),
		TotalSeconds:    progress.GetTotalWatchSeconds(),
		SessionID:       progress.GetSessionId(),
		Seq:             req.GetSeq(),
	}
	if progress != nil && progress.ProgressRatio != nil {
		bp := vo.BasisPoints(progress.GetProgressRatio())
		report.RatioBP = &bp
	}
	asked := report
	asked.Claimed = dated(report.Claimed)
	return r.write(req.GetIdempotencyKey(), asked), report, r.err()
}

// ListWatchHistory decodes a page request.
func (d *Decoder) ListWatchHistory(s identity.Subject, h Headers, req *profilev1.ListWatchHistoryRequest) (models.Call, services.WatchListQuery, error) {
	r := d.begin(s, h, req)
	filter := req.GetFilter()
	return r.read(), services.WatchListQuery{
		Completion:         completion(filter.GetCompletion()),
		WatchedAfter:       r.instant("filter.watched_after", filter.GetWatchedAfter()),
		WatchedBefore:      r.instant("filter.watched_before", filter.GetWatchedBefore()),
		IncludeUnavailable: req.GetIncludeUnavailable(),
		Page:               services.PageRequest{Size: req.GetPageSize(), Token: req.GetPageToken()},
	}, r.err()
}

func completion(c profilev1.CompletionState) models.Completion {
	switch c {
	case profilev1.CompletionState_COMPLETION_STATE_COMPLETED:
		return models.Completed
	case profilev1.CompletionState_COMPLETION_STATE_IN_PROGRESS:
		return models.InProgress
	case profilev1.CompletionState_COMPLETION_STATE_UNSPECIFIED:
	}
	return models.AnyCompletion
}

// UpsertWatchProgressResponse encodes an outcome.
func UpsertWatchProgressResponse(o vo.WatchOutcome) *profilev1.UpsertWatchProgressResponse {
	return &profilev1.UpsertWatchProgressResponse{
		Progress: vo.WatchProgress(o.Progress.Log, o.Progress.DurationMicros), Stats: vo.Stats(o.Stats), Recorded: o.Recorded,
		Reason: outcomeReason(o.Outcome),
	}
}

// ListWatchHistoryResponse encodes a page for the listed user.
func ListWatchHistoryResponse(owner models.UserID, page vo.Page[vo.WatchEntry]) *profilev1.ListWatchHistoryResponse {
	resp := &profilev1.ListWatchHistoryResponse{NextPageToken: page.NextToken}
	for _, e := range page.Items {
		item := &profilev1.WatchHistoryEntry{VideoId: e.VideoID.String(), Availability: availability(e.Availability)}
		if !isPlaceholder(owner, e.ListedVideo) {
			var duration int64
			if e.Video != nil {
				duration = deref(e.Video.DurationMicros)
			}
			item.Progress, item.Video, item.Stats = vo.WatchProgress(e.Log, duration), videoMetadata(e.Video), vo.Stats(e.Stats)
		}
		resp.Items = append(resp.Items, item)
	}
	return resp
}
