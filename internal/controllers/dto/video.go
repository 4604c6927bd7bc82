package dto

import (
	"google.golang.org/protobuf/proto"

	profilev1 "github.com/lingo-services/profile/api/profile/v1"
	"github.com/lingo-services/profile/internal/controllers/identity"
	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/models/vo"
)

// GetVideoStats decodes the id asked for.
func (d *Decoder) GetVideoStats(s identity.Subject, h Headers, req *profilev1.GetVideoStatsRequest) (models.VideoID, error) {
	r := d.begin(s, h, req)
	id := r.video("video_id", req.GetVideoId())
	return id, r.err()
}

// BatchGetVideoStats decodes the ids asked for.
func (d *Decoder) BatchGetVideoStats(s identity.Subject, h Headers, req *profilev1.BatchGetVideoStatsRequest) ([]models.VideoID, error) {
	return d.videoIDs(s, h, req, req.GetVideoIds())
}

// BatchGetVideos decodes the ids asked for.
func (d *Decoder) BatchGetVideos(s identity.Subject, h Headers, req *profilev1.BatchGetVideosRequest) ([]models.VideoID, error) {
	return d.videoIDs(s, h, req, req.GetVideoIds())
}

func (d *Decoder) videoIDs(s identity.Subject, h Headers, req proto.Message, texts []string) ([]models.VideoID, error) {
	r := d.begin(s, h, req)
	ids := r.videos("video_ids", texts)
	return ids, r.err()
}

// GetVideoStatsResponse encodes counters.
func GetVideoStatsResponse(stats vo.VideoStats) *profilev1.GetVideoStatsResponse {
	return &profilev1.GetVideoStatsResponse{Stats: vo.Stats(stats)}
}

// BatchGetVideoStatsResponse encodes counters of the ids asked for, in that order.
func BatchGetVideoStatsResponse(ids []models.VideoID, stats []vo.VideoStats) *profilev1.BatchGetVideoStatsResponse {
	resp := &profilev1.BatchGetVideoStatsResponse{Items: make([]*profilev1.VideoStatsItem, len(ids))}
	for i, id := range ids {
		resp.Items[i] = &profilev1.VideoStatsItem{VideoId: id.String(), Stats: vo.Stats(stats[i])}
	}
	return resp
}

// BatchGetVideosResponse encodes the videos asked for, in that order.
func BatchGetVideosResponse(ids []models.VideoID, videos map[models.VideoID]vo.Video, stats []vo.VideoStats) *profilev1.BatchGetVideosResponse {
	resp := &profilev1.BatchGetVideosResponse{Items: make([]*profilev1.VideoItem, len(ids))}
	for i, id := range ids {
		item := &profilev1.VideoItem{VideoId: id.String(), Stats: vo.Stats(stats[i]), Availability: availability(models.Unknown)}
		if video, known := videos[id]; known {
			item.Video, item.Availability = vo.Metadata(&video), availability(video.Availability)
		}
		resp.Items[i] = item
	}
	return resp
}
