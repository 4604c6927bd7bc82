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

// GetWatchProgress decodes the video asked for.
func (d *Decoder) GetWatchProgress(s identity.Subject, h Headers, req *profilev1.GetWatchProgressRequest) (models.Call, models.VideoID, error) {
	r := d.begin(s, h, req)
	id := r.video("video_id", req.GetVideoId())
	return r.read(), id, r.err()
}

// BatchGetWatchProgress decodes the ids asked for.
func (d *Decoder) BatchGetWatchProgress(s identity.Subject, h Headers, req *profilev1.BatchGetWatchProgressRequest) (models.Call, []models.VideoID, error) {
	r := d.begin(s, h, req)
	ids := r.videos("video_ids", req.GetVideoIds())
	return r.read(), ids, r.err()
}

// ListWatchHistory decodes a page request.
func (d *Decoder) ListWatchHistory(s identity.Subject, h Headers, req *profilev1.ListWatchHistoryRequest) (models.Call, services.WatchListQuery, error) {
	r := d.begin(s, h, req)
	filter := req.GetFilter()
	return r.read(), services.WatchListQuery{
		Completion:         completion(filter.GetCompletion()),
		WatchedAfter:       r.bound("filter.watched_after", filter.GetWatchedAfter()),
		WatchedBefore:      r.bound("filter.watched_before", filter.GetWatchedBefore()),
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

// GetWatchProgressResponse encodes what is kept of a video.
func GetWatchProgressResponse(r vo.WatchRecord) *profilev1.GetWatchProgressResponse {
	return &profilev1.GetWatchProgressResponse{Progress: vo.WatchProgress(r.Log, r.DurationMicros), Recorded: r.Log.QualifiedAt != nil}
}

// BatchGetWatchProgressResponse encodes what is kept of the ids asked for, in that order.
func BatchGetWatchProgressResponse(ids []models.VideoID, records []vo.WatchRecord) *profilev1.BatchGetWatchProgressResponse {
	resp := &profilev1.BatchGetWatchProgressResponse{Items: make([]*profilev1.WatchProgressItem, len(records))}
	for i, r := range records {
		resp.Items[i] = &profilev1.WatchProgressItem{
			VideoId: ids[i].String(), Progress: vo.WatchProgress(r.Log, r.DurationMicros), Recorded: r.Log.QualifiedAt != nil,
		}
	}
	return resp
}

// ListWatchHistoryResponse encodes a page for the listed user.
func ListWatchHistoryResponse(owner models.UserID, page vo.Page[vo.WatchEntry]) *profilev1.ListWatchHistoryResponse {
	resp := &profilev1.ListWatchHistoryResponse{NextPageToken: page.NextToken}
	for _, e := range page.Items {
		item := &profilev1.WatchHistoryEntry{
			VideoId: e.Log.VideoID.String(), Availability: availability(e.Availability), Progress: vo.WatchProgress(e.Log, e.Metadata.GetDurationMicros()),
		}
		if e.ShownTo(owner) { // otherwise only that an entry is there (S51)
			item.Video, item.Stats = e.Metadata, e.Counters
		}
		resp.Items = append(resp.Items, item)
	}
	return resp
}
