package rest

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	profilev1 "github.com/lingo-services/profile/api/profile/v1"
)

// Call has a method of ProfileService called within this process, as a call from outside would be: what guards those
// stands before handler here. unreadable, unless nil, is why no request could be read: a caller who may call learns
// INVALID_ARGUMENT then, anybody else what they always learn (S87).
type Call func(ctx context.Context, method string, request proto.Message, unreadable error, handler grpc.UnaryHandler) (any, error)

// service is ProfileService as routes call it.
type service struct {
	profilev1.UnsafeProfileServiceServer
	handler profilev1.ProfileServiceServer
	call    Call
}

// unreadableError has all violations of a request that its caller was allowed to make.
type unreadableError struct{ problems []Violation }

func (unreadableError) Error() string { return "the request cannot be read" }

// through calls a method with what its route fixes.
func through[Q proto.Message, A any](ctx context.Context, s service, method string, request Q, serve func(ctx context.Context, request Q) (A, error)) (answer A, err error) {
	var unreadable error
	if problems := problemsOf(ctx, request); len(problems) > 0 {
		unreadable = unreadableError{problems}
	}
	got, err := s.call(ctx, method, request, unreadable, func(ctx context.Context, _ any) (any, error) { return serve(ctx, request) })
	if unreadable != nil && status.Code(err) == codes.InvalidArgument {
		return answer, unreadable
	}
	answer, _ = got.(A)
	return answer, err
}

// GetProfile implements profilev1.ProfileServiceServer.
func (s service) GetProfile(ctx context.Context, request *profilev1.GetProfileRequest) (*profilev1.GetProfileResponse, error) {
	return through(ctx, s, profilev1.ProfileService_GetProfile_FullMethodName, request, s.handler.GetProfile)
}

// UpdateProfile implements profilev1.ProfileServiceServer.
func (s service) UpdateProfile(ctx context.Context, request *profilev1.UpdateProfileRequest) (*profilev1.UpdateProfileResponse, error) {
	return through(ctx, s, profilev1.ProfileService_UpdateProfile_FullMethodName, request, s.handler.UpdateProfile)
}

// UpdatePreferences implements profilev1.ProfileServiceServer.
func (s service) UpdatePreferences(ctx context.Context, request *profilev1.UpdatePreferencesRequest) (*profilev1.UpdatePreferencesResponse, error) {
	return through(ctx, s, profilev1.ProfileService_UpdatePreferences_FullMethodName, request, s.handler.UpdatePreferences)
}

// MutateFavorite implements profilev1.ProfileServiceServer.
func (s service) MutateFavorite(ctx context.Context, request *profilev1.MutateFavoriteRequest) (*profilev1.MutateFavoriteResponse, error) {
	return through(ctx, s, profilev1.ProfileService_MutateFavorite_FullMethodName, request, s.handler.MutateFavorite)
}

// BatchQueryFavorite implements profilev1.ProfileServiceServer.
func (s service) BatchQueryFavorite(ctx context.Context, request *profilev1.BatchQueryFavoriteRequest) (*profilev1.BatchQueryFavoriteResponse, error) {
	return through(ctx, s, profilev1.ProfileService_BatchQueryFavorite_FullMethodName, request, s.handler.BatchQueryFavorite)
}

// ListFavorites implements profilev1.ProfileServiceServer.
func (s service) ListFavorites(ctx context.Context, request *profilev1.ListFavoritesRequest) (*profilev1.ListFavoritesResponse, error) {
	return through(ctx, s, profilev1.ProfileService_ListFavorites_FullMethodName, request, s.handler.ListFavorites)
}

// UpsertWatchProgress implements profilev1.ProfileServiceServer.
func (s service) UpsertWatchProgress(ctx context.Context, request *profilev1.UpsertWatchProgressRequest) (*profilev1.UpsertWatchProgressResponse, error) {
	return through(ctx, s, profilev1.ProfileService_UpsertWatchProgress_FullMethodName, request, s.handler.UpsertWatchProgress)
}

// GetWatchProgress implements profilev1.ProfileServiceServer.
func (s service) GetWatchProgress(ctx context.Context, request *profilev1.GetWatchProgressRequest) (*profilev1.GetWatchProgressResponse, error) {
	return through(ctx, s, profilev1.ProfileService_GetWatchProgress_FullMethodName, request, s.handler.GetWatchProgress)
}

// BatchGetWatchProgress implements profilev1.ProfileServiceServer.
func (s service) BatchGetWatchProgress(ctx context.Context, request *profilev1.BatchGetWatchProgressRequest) (*profilev1.BatchGetWatchProgressResponse, error) {
	return through(ctx, s, profilev1.ProfileService_BatchGetWatchProgress_FullMethodName, request, s.handler.BatchGetWatchProgress)
}

// ListWatchHistory implements profilev1.ProfileServiceServer.
func (s service) ListWatchHistory(ctx context.Context, request *profilev1.ListWatchHistoryRequest) (*profilev1.ListWatchHistoryResponse, error) {
	return through(ctx, s, profilev1.ProfileService_ListWatchHistory_FullMethodName, request, s.handler.ListWatchHistory)
}

// GetVideoStats implements profilev1.ProfileServiceServer.
func (s service) GetVideoStats(ctx context.Context, request *profilev1.GetVideoStatsRequest) (*profilev1.GetVideoStatsResponse, error) {
	return through(ctx, s, profilev1.ProfileService_GetVideoStats_FullMethodName, request, s.handler.GetVideoStats)
}

// BatchGetVideoStats implements profilev1.ProfileServiceServer.
func (s service) BatchGetVideoStats(ctx context.Context, request *profilev1.BatchGetVideoStatsRequest) (*profilev1.BatchGetVideoStatsResponse, error) {
	return through(ctx, s, profilev1.ProfileService_BatchGetVideoStats_FullMethodName, request, s.handler.BatchGetVideoStats)
}

// BatchGetVideos implements profilev1.ProfileServiceServer.
func (s service) BatchGetVideos(ctx context.Context, request *profilev1.BatchGetVideosRequest) (*profilev1.BatchGetVideosResponse, error) {
	return through(ctx, s, profilev1.ProfileService_BatchGetVideos_FullMethodName, request, s.handler.BatchGetVideos)
}

// PurgeUserData implements profilev1.ProfileServiceServer.
func (s service) PurgeUserData(ctx context.Context, request *profilev1.PurgeUserDataRequest) (*profilev1.PurgeUserDataResponse, error) {
	return through(ctx, s, profilev1.ProfileService_PurgeUserData_FullMethodName, request, s.handler.PurgeUserData)
}
