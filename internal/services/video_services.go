package services

import (
	"context"

	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/models/po"
	"github.com/lingo-services/profile/internal/models/vo"
	"github.com/lingo-services/profile/internal/repositories"
)

type videoProjectionService struct{ store Store }

// NewVideoProjectionService keeps the projection in store.
func NewVideoProjectionService(store Store) VideoProjectionService {
	return &videoProjectionService{store}
}

func (s *videoProjectionService) Upsert(ctx context.Context, changes []VideoChange) (changed []models.VideoID, err error) {
	for _, c := range changes {
		if c.Version < 1 {
			return nil, models.ErrInvalidArgument.With(models.Violation{Field: "version", Description: "must be at least 1"})
		}
	}
	err = s.store.Write(ctx, models.ServiceActor, func(ctx context.Context, tx *repositories.Tx) error {
		changed, err = tx.Videos.UpsertFromCatalogEvent(ctx, changes)
		return err
	})
	return changed, err
}

func (s *videoProjectionService) ListByIDs(ctx context.Context, ids []models.VideoID) (videos map[models.VideoID]vo.Video, err error) {
	err = s.store.Read(ctx, models.ServiceActor, func(ctx context.Context, tx *repositories.Tx) error {
		videos, err = tx.Videos.ListByIDs(ctx, ids)
		return err
	})
	return videos, err
}

type videoStatsService struct {
	store     Store
	favorites *Favorites
}

// NewVideoStatsService reads counters through the cache of favorites.
func NewVideoStatsService(store Store, favorites *Favorites) VideoStatsService {
	return &videoStatsService{store, favorites}
}

func (s *videoStatsService) BatchGet(ctx context.Context, ids []models.VideoID) ([]vo.VideoStats, error) {
	return s.favorites.BatchGetStats(ctx, ids)
}

func (s *videoStatsService) Verify(ctx context.Context) (drift []po.StatsDrift, err error) {
	err = s.store.Read(ctx, models.ServiceActor, func(ctx context.Context, tx *repositories.Tx) error {
		drift, err = tx.VideoStats.Drift(ctx)
		return err
	})
	return drift, err
}
