package dto

import (
	"google.golang.org/protobuf/types/known/timestamppb"

	profilev1 "github.com/lingo-services/profile/api/profile/v1"
	"github.com/lingo-services/profile/internal/controllers/identity"
	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/models/vo"
	"github.com/lingo-services/profile/internal/services"
)

// MutateFavorite decodes one command.
func (d *Decoder) MutateFavorite(s identity.Subject, h Headers, req *profilev1.MutateFavoriteRequest) (models.Call, services.FavoriteCommand, error) {
	r := d.begin(s, h, req)
	cmd := services.FavoriteCommand{
		UserID:  s.User,
		VideoID: r.video("video_id", req.GetVideoId()),
		Type:    favoriteType(req.GetFavoriteType()),
		Active:  req.GetAction() == profilev1.FavoriteAction_FAVORITE_ACTION_ADD,
		Claimed: r.claimed("occurred_at", req.GetOccurredAt()),
	}
	asked := cmd
	asked.Claimed = dated(cmd.Claimed)
	return r.write(req.GetIdempotencyKey(), asked), cmd, r.err()
}

// BatchQueryFavorite decodes the ids asked for.
func (d *Decoder) BatchQueryFavorite(s identity.Subject, h Headers, req *profilev1.BatchQueryFavoriteRequest) (models.Call, []models.VideoID, error) {
	r := d.begin(s, h, req)
	ids := r.videos("video_ids", req.GetVideoIds())
	return r.read(), ids, r.err()
}

// ListFavorites decodes a page request.
func (d *Decoder) ListFavorites(s identity.Subject, h Headers, req *profilev1.ListFavoritesRequest) (models.Call, services.FavoriteListQuery, error) {
	r := d.begin(s, h, req)
	return r.read(), services.FavoriteListQuery{
		Type: favoriteType(req.GetFavoriteType()), IncludeUnavailable: req.GetIncludeUnavailable(), WithCount: req.GetWithCount(),
		Page: services.PageRequest{Size: req.GetPageSize(), Token: req.GetPageToken()},
	}, r.err()
}

// favoriteType is empty for UNSPECIFIED.
func favoriteType(t profilev1.FavoriteType) models.FavoriteType {
	switch t {
	case profilev1.FavoriteType_FAVORITE_TYPE_LIKE:
		return models.Like
	case profilev1.FavoriteType_FAVORITE_TYPE_BOOKMARK:
		return models.Bookmark
	case profilev1.FavoriteType_FAVORITE_TYPE_UNSPECIFIED:
	}
	return ""
}

// MutateFavoriteResponse encodes an outcome.
func MutateFavoriteResponse(o vo.FavoriteOutcome) *profilev1.MutateFavoriteResponse {
	return &profilev1.MutateFavoriteResponse{
		State: favoriteState(o.State), Stats: vo.Stats(o.State.Stats), Changed: o.Changed, Reason: outcomeReason(o.Outcome),
	}
}

// BatchQueryFavoriteResponse encodes states of the ids asked for, in that order.
func BatchQueryFavoriteResponse(ids []models.VideoID, states []vo.FavoriteState, withStats bool) *profilev1.BatchQueryFavoriteResponse {
	resp := &profilev1.BatchQueryFavoriteResponse{Summaries: make([]*profilev1.FavoriteSummary, 0, len(states))}
	for i, state := range states {
		summary := &profilev1.FavoriteSummary{VideoId: ids[i].String(), State: favoriteState(state)}
		if withStats {
			summary.Stats = vo.Stats(state.Stats)
		}
		resp.Summaries = append(resp.Summaries, summary)
	}
	return resp
}

// ListFavoritesResponse encodes a page for the listed user.
func ListFavoritesResponse(owner models.UserID, page vo.Page[vo.Favorite]) *profilev1.ListFavoritesResponse {
	resp := &profilev1.ListFavoritesResponse{NextPageToken: page.NextToken, TotalCount: page.Total}
	for _, f := range page.Items {
		engagedAt := timestamppb.New(f.EngagedAt)
		item := &profilev1.FavoriteItem{
			VideoId: f.VideoID.String(), Availability: availability(f.Availability), FavoriteType: vo.FavoriteType(f.Type),
			State: &profilev1.FavoriteState{}, CreatedAt: engagedAt, UpdatedAt: timestamppb.New(f.UpdatedAt),
		}
		switch f.Type {
		case models.Like:
			item.State.HasLiked, item.State.LikedAt = true, engagedAt
		case models.Bookmark:
			item.State.HasBookmarked, item.State.BookmarkedAt = true, engagedAt
		}
		if f.ShownTo(owner) { // otherwise only that an entry is there (S51)
			item.Video, item.Stats = f.Metadata, f.Counters
		}
		resp.Favorites = append(resp.Favorites, item)
	}
	return resp
}

func favoriteState(s vo.FavoriteState) *profilev1.FavoriteState {
	state := &profilev1.FavoriteState{HasLiked: s.LikedAt != nil, HasBookmarked: s.BookmarkedAt != nil}
	if s.LikedAt != nil {
		state.LikedAt = timestamppb.New(*s.LikedAt)
	}
	if s.BookmarkedAt != nil {
		state.BookmarkedAt = timestamppb.New(*s.BookmarkedAt)
	}
	return state
}

func availability(a models.Availability) profilev1.Availability {
	switch a {
	case models.Available:
		return profilev1.Availability_AVAILABILITY_AVAILABLE
	case models.Private:
		return profilev1.Availability_AVAILABILITY_PRIVATE
	case models.NotReady:
		return profilev1.Availability_AVAILABILITY_NOT_READY
	case models.Deleted:
		return profilev1.Availability_AVAILABILITY_DELETED
	case models.Unknown:
		return profilev1.Availability_AVAILABILITY_UNKNOWN
	}
	return profilev1.Availability_AVAILABILITY_UNSPECIFIED
}

func outcomeReason(o models.Outcome) profilev1.OutcomeReason {
	switch o {
	case models.OutcomeStale:
		return profilev1.OutcomeReason_OUTCOME_REASON_STALE
	case models.OutcomeExpired:
		return profilev1.OutcomeReason_OUTCOME_REASON_EXPIRED
	case models.OutcomeBelowThreshold:
		return profilev1.OutcomeReason_OUTCOME_REASON_BELOW_THRESHOLD
	case models.OutcomeDurationUnknown:
		return profilev1.OutcomeReason_OUTCOME_REASON_DURATION_UNKNOWN
	case models.OutcomeImplausible:
		return profilev1.OutcomeReason_OUTCOME_REASON_IMPLAUSIBLE
	case models.OutcomeNone:
	}
	return profilev1.OutcomeReason_OUTCOME_REASON_UNSPECIFIED
}
