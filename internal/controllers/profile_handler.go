package controllers

import (
	"context"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	profilev1 "github.com/lingo-services/profile/api/profile/v1"
	"github.com/lingo-services/profile/internal/controllers/dto"
	"github.com/lingo-services/profile/internal/controllers/identity"
	"github.com/lingo-services/profile/internal/controllers/limits"
	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/services"
)

// ProfileHandler implements profilev1.ProfileServiceServer: decode, call, encode.
type ProfileHandler struct {
	profilev1.UnimplementedProfileServiceServer
	decoder     *dto.Decoder
	profiles    services.ProfileService
	engagements services.EngagementService
	watch       services.WatchHistoryService
	videos      services.VideoProjectionService
	stats       services.VideoStatsService
	limits      *limits.Limits
}

// NewProfileHandler serves the use-case groups.
func NewProfileHandler(decoder *dto.Decoder, limits *limits.Limits, profiles services.ProfileService, engagements services.EngagementService,
	watch services.WatchHistoryService, videos services.VideoProjectionService, stats services.VideoStatsService,
) *ProfileHandler {
	return &ProfileHandler{
		decoder: decoder, profiles: profiles, engagements: engagements, watch: watch, videos: videos, stats: stats, limits: limits,
	}
}

// GetProfile implements profilev1.ProfileServiceServer.
func (h *ProfileHandler) GetProfile(ctx context.Context, req *profilev1.GetProfileRequest) (*profilev1.GetProfileResponse, error) {
	head := headers(ctx)
	call, err := h.decoder.GetProfile(identity.SubjectFrom(ctx), head, req)
	if err != nil {
		return nil, err
	}
	user, err := h.profiles.Get(ctx, call)
	if err != nil {
		return nil, err
	}
	tag := models.ETag(user.UserID, user.Version)
	if err := respond(ctx, false, keyETag, tag); err != nil {
		return nil, err
	}
	if head.IfNoneMatch != "" && models.ETagMatches(head.IfNoneMatch, tag) {
		return &profilev1.GetProfileResponse{NotModified: true}, nil
	}
	profile, err := dto.Profile(user)
	return &profilev1.GetProfileResponse{Profile: profile}, err
}

// UpdateProfile implements profilev1.ProfileServiceServer.
func (h *ProfileHandler) UpdateProfile(ctx context.Context, req *profilev1.UpdateProfileRequest) (*profilev1.UpdateProfileResponse, error) {
	call, cmd, err := h.decoder.UpdateProfile(identity.SubjectFrom(ctx), headers(ctx), req)
	if err != nil {
		return nil, err
	}
	profile, _, err := h.update(ctx, call, cmd)
	return &profilev1.UpdateProfileResponse{Profile: profile}, err
}

// UpdatePreferences implements profilev1.ProfileServiceServer.
func (h *ProfileHandler) UpdatePreferences(ctx context.Context, req *profilev1.UpdatePreferencesRequest) (*profilev1.UpdatePreferencesResponse, error) {
	call, cmd, err := h.decoder.UpdatePreferences(identity.SubjectFrom(ctx), headers(ctx), req)
	if err != nil {
		return nil, err
	}
	profile, delta, err := h.update(ctx, call, cmd)
	return &profilev1.UpdatePreferencesResponse{Profile: profile, Delta: delta}, err
}

func (h *ProfileHandler) update(ctx context.Context, call models.Call, cmd services.UpdateProfile) (*profilev1.Profile, *profilev1.PreferenceDelta, error) {
	if err := h.limits.Take(ctx, limits.Updates, 1); err != nil {
		return nil, nil, err
	}
	answer, err := h.profiles.Update(ctx, call, cmd)
	if err != nil {
		return nil, nil, err
	}
	user := answer.Value.User
	if err := respond(ctx, answer.Replayed, keyETag, models.ETag(user.UserID, user.Version)); err != nil {
		return nil, nil, err
	}
	profile, err := dto.Profile(user)
	if err != nil {
		return nil, nil, err
	}
	delta, err := dto.Delta(answer.Value.Changes)
	return profile, delta, err
}

// MutateFavorite implements profilev1.ProfileServiceServer.
func (h *ProfileHandler) MutateFavorite(ctx context.Context, req *profilev1.MutateFavoriteRequest) (*profilev1.MutateFavoriteResponse, error) {
	call, cmd, err := h.decoder.MutateFavorite(identity.SubjectFrom(ctx), headers(ctx), req)
	if err != nil {
		return nil, err
	}
	if err := h.limits.Take(ctx, limits.Favorites, 1); err != nil {
		return nil, err
	}
	answer, err := h.engagements.Mutate(ctx, call, cmd)
	if err != nil {
		return nil, err
	}
	return dto.MutateFavoriteResponse(answer.Value), respond(ctx, answer.Replayed)
}

// BatchQueryFavorite implements profilev1.ProfileServiceServer.
func (h *ProfileHandler) BatchQueryFavorite(ctx context.Context, req *profilev1.BatchQueryFavoriteRequest) (*profilev1.BatchQueryFavoriteResponse, error) {
	call, ids, err := h.decoder.BatchQueryFavorite(identity.SubjectFrom(ctx), headers(ctx), req)
	if err != nil {
		return nil, err
	}
	states, err := h.engagements.BatchQuery(ctx, call, ids)
	if err != nil {
		return nil, err
	}
	return dto.BatchQueryFavoriteResponse(ids, states, req.GetIncludeStats()), nil
}

// ListFavorites implements profilev1.ProfileServiceServer.
func (h *ProfileHandler) ListFavorites(ctx context.Context, req *profilev1.ListFavoritesRequest) (*profilev1.ListFavoritesResponse, error) {
	call, query, err := h.decoder.ListFavorites(identity.SubjectFrom(ctx), headers(ctx), req)
	if err != nil {
		return nil, err
	}
	page, err := h.engagements.List(ctx, call, query)
	if err != nil {
		return nil, err
	}
	return dto.ListFavoritesResponse(call.Subject, page), nil
}

// UpsertWatchProgress implements profilev1.ProfileServiceServer.
func (h *ProfileHandler) UpsertWatchProgress(ctx context.Context, req *profilev1.UpsertWatchProgressRequest) (*profilev1.UpsertWatchProgressResponse, error) {
	call, report, err := h.decoder.UpsertWatchProgress(identity.SubjectFrom(ctx), headers(ctx), req)
	if err != nil {
		return nil, err
	}
	if err := h.limits.Take(ctx, limits.Progress, 1); err != nil {
		return nil, err
	}
	answer, err := h.watch.Report(ctx, call, report)
	if err != nil {
		return nil, err
	}
	return dto.UpsertWatchProgressResponse(answer.Value), respond(ctx, answer.Replayed)
}

// GetWatchProgress implements profilev1.ProfileServiceServer.
func (h *ProfileHandler) GetWatchProgress(ctx context.Context, req *profilev1.GetWatchProgressRequest) (*profilev1.GetWatchProgressResponse, error) {
	call, id, err := h.decoder.GetWatchProgress(identity.SubjectFrom(ctx), headers(ctx), req)
	if err != nil {
		return nil, err
	}
	records, err := h.watch.BatchGet(ctx, call, []models.VideoID{id})
	if err != nil {
		return nil, err
	}
	return dto.GetWatchProgressResponse(records[0]), nil
}

// BatchGetWatchProgress implements profilev1.ProfileServiceServer.
func (h *ProfileHandler) BatchGetWatchProgress(ctx context.Context, req *profilev1.BatchGetWatchProgressRequest) (*profilev1.BatchGetWatchProgressResponse, error) {
	call, ids, err := h.decoder.BatchGetWatchProgress(identity.SubjectFrom(ctx), headers(ctx), req)
	if err != nil {
		return nil, err
	}
	records, err := h.watch.BatchGet(ctx, call, ids)
	if err != nil {
		return nil, err
	}
	return dto.BatchGetWatchProgressResponse(ids, records), nil
}

// ListWatchHistory implements profilev1.ProfileServiceServer.
func (h *ProfileHandler) ListWatchHistory(ctx context.Context, req *profilev1.ListWatchHistoryRequest) (*profilev1.ListWatchHistoryResponse, error) {
	call, query, err := h.decoder.ListWatchHistory(identity.SubjectFrom(ctx), headers(ctx), req)
	if err != nil {
		return nil, err
	}
	page, err := h.watch.List(ctx, call, query)
	if err != nil {
		return nil, err
	}
	return dto.ListWatchHistoryResponse(call.Subject, page), nil
}

// GetVideoStats implements profilev1.ProfileServiceServer.
func (h *ProfileHandler) GetVideoStats(ctx context.Context, req *profilev1.GetVideoStatsRequest) (*profilev1.GetVideoStatsResponse, error) {
	id, err := h.decoder.GetVideoStats(identity.SubjectFrom(ctx), headers(ctx), req)
	if err != nil {
		return nil, err
	}
	stats, err := h.stats.BatchGet(ctx, []models.VideoID{id})
	if err != nil {
		return nil, err
	}
	return dto.GetVideoStatsResponse(stats[0]), nil
}

// BatchGetVideoStats implements profilev1.ProfileServiceServer.
func (h *ProfileHandler) BatchGetVideoStats(ctx context.Context, req *profilev1.BatchGetVideoStatsRequest) (*profilev1.BatchGetVideoStatsResponse, error) {
	ids, err := h.decoder.BatchGetVideoStats(identity.SubjectFrom(ctx), headers(ctx), req)
	if err != nil {
		return nil, err
	}
	stats, err := h.stats.BatchGet(ctx, ids)
	if err != nil {
		return nil, err
	}
	return dto.BatchGetVideoStatsResponse(ids, stats), nil
}

// BatchGetVideos implements profilev1.ProfileServiceServer.
func (h *ProfileHandler) BatchGetVideos(ctx context.Context, req *profilev1.BatchGetVideosRequest) (*profilev1.BatchGetVideosResponse, error) {
	ids, err := h.decoder.BatchGetVideos(identity.SubjectFrom(ctx), headers(ctx), req)
	if err != nil || len(ids) == 0 {
		return &profilev1.BatchGetVideosResponse{}, err
	}
	videos, err := h.videos.ListByIDs(ctx, ids)
	if err != nil {
		return nil, err
	}
	stats, err := h.stats.BatchGet(ctx, ids)
	if err != nil {
		return nil, err
	}
	return dto.BatchGetVideosResponse(ids, videos, stats), nil
}

// PurgeUserData implements profilev1.ProfileServiceServer: authorised and validated, but not served yet.
func (h *ProfileHandler) PurgeUserData(ctx context.Context, req *profilev1.PurgeUserDataRequest) (*profilev1.PurgeUserDataResponse, error) {
	if _, err := h.decoder.PurgeUserData(identity.SubjectFrom(ctx), headers(ctx), req); err != nil {
		return nil, err
	}
	return nil, models.ErrMethodNotAvailable
}

// respond sets response headers: pairs of key and value, and whether the answer is a stored one.
func respond(ctx context.Context, replayed bool, pairs ...string) error {
	if replayed {
		pairs = append(pairs, keyReplayed, "true")
	}
	if len(pairs) == 0 {
		return nil
	}
	if err := grpc.SetHeader(ctx, metadata.Pairs(pairs...)); err != nil {
		return fmt.Errorf("set response header: %w", err)
	}
	return nil
}
