package main

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"

	"github.com/lingo-services/profile/internal/infrastructure/cache"
	"github.com/lingo-services/profile/internal/infrastructure/config"
	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/services"
	"github.com/lingo-services/profile/internal/services/pagetoken"
)

// calls are the service itself, as its API uses it: its events have the payloads that consumers get.
type calls struct {
	engagements services.EngagementService
	watch       services.WatchHistoryService
	videos      []models.VideoID
}

func newCalls(w *world, rng *rand.Rand) (*calls, error) {
	conf, err := config.Load("", nil)
	if err != nil {
		return nil, err
	}
	tokens, err := pagetoken.NewCodec([]string{"chaos-cursor-key-0001"})
	if err != nil {
		return nil, err
	}
	newID := func() uuid.UUID {
		id := uuid.Must(uuid.NewV7())
		w.ledger.note([]uuid.UUID{id}, unknown)
		return id
	}
	c := &calls{
		engagements: services.NewEngagementService(w.store, tokens, unobserved{}, newID, cache.Uncached(w.store), cache.UncachedVideos(w.store), config.ServiceOptions(conf)),
		watch:       services.NewWatchHistoryService(w.store, tokens, unobserved{}, newID, cache.UncachedVideos(w.store), config.ServiceOptions(conf)),
	}
	for range 5 {
		c.videos = append(c.videos, models.VideoID(randomUUID(rng)))
	}
	return c, nil
}

// one call of a user. What it came to is in the journal.
func (c *calls) one(ctx context.Context, rng *rand.Rand, user models.UserID) {
	video := c.videos[rng.IntN(len(c.videos))]
	if rng.IntN(2) == 0 {
		_, _ = c.engagements.Apply(ctx, models.ServiceActor, []services.FavoriteCommand{
			{UserID: user, VideoID: video, Type: []models.FavoriteType{models.Like, models.Bookmark}[rng.IntN(2)], Active: rng.IntN(3) > 0},
		})
		return
	}
	_, _ = c.watch.Apply(ctx, models.ServiceActor, []services.ProgressReport{
		{UserID: user, VideoID: video, PositionSeconds: rng.Int64N(600), RatioBP: new(rng.Int32N(10_001)), TotalSeconds: rng.Int64N(600), SessionID: "chaos"},
	})
}

// unobserved counts nothing.
type unobserved struct{}

func (unobserved) FavoriteChanged(models.FavoriteType, bool)      {}
func (unobserved) ProgressReported(models.Outcome, models.Doubts) {}
func (unobserved) PreferencesUpdated()                            {}
func (unobserved) CounterDrift()                                  {}

func (unobserved) BatchTaken(string, int, time.Duration) {}
