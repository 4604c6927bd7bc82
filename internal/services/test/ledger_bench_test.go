package test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lingo-services/profile/internal/infrastructure/cache"
	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/models/po"
	"github.com/lingo-services/profile/internal/repositories"
	"github.com/lingo-services/profile/internal/services"
	"github.com/lingo-services/profile/internal/services/pagetoken"
	"github.com/lingo-services/profile/test/testkit"
)

// BenchmarkLedger books 64 likes of as many users in one transaction: everything a shared transaction costs this process,
// but the database.
func BenchmarkLedger(b *testing.B) {
	tokens, err := pagetoken.NewCodec([]string{"0123456789abcdef"})
	require.NoError(b, err)
	store := oneRun{&repositories.Tx{UserStats: agreeingUsers{}, Engagements: agreeingEngagements{}, VideoStats: agreeingStats{}, Outbox: agreeingOutbox{}}}
	opts := failOpts
	opts.MaxActivePerType = 1000
	s := services.NewEngagementService(store, tokens, deaf{}, newEventID, cache.Uncached(store), cache.UncachedVideos(store), opts)
	cmds := make([]services.FavoriteCommand, 64)
	for i := range cmds {
		cmds[i] = services.FavoriteCommand{UserID: testkit.NewUser(), VideoID: testkit.NewVideo(), Type: models.Like, Active: true}
	}
	b.ReportAllocs()
	for b.Loop() {
		outcomes, err := s.Apply(b.Context(), models.ServiceActor, cmds)
		require.NoError(b, err)
		require.True(b, outcomes[len(outcomes)-1].Changed)
	}
}

// deaf is an Observer that nobody reads.
type deaf struct{ services.Observer }

func (deaf) FavoriteChanged(models.FavoriteType, bool) {}
func (deaf) BatchTaken(string, int, time.Duration)     {}

// The agreeing repositories do at once whatever they are asked to.
type (
	agreeingUsers struct {
		repositories.UserStatsRepository
	}
	agreeingEngagements struct {
		repositories.EngagementRepository
	}
	agreeingStats struct {
		repositories.VideoStatsRepository
	}
	agreeingOutbox struct{ repositories.OutboxRepository }
)

func (agreeingUsers) Lock(_ context.Context, ids []models.UserID) (map[models.UserID]po.UserCounters, error) {
	users := make(map[models.UserID]po.UserCounters, len(ids))
	for _, id := range ids {
		users[id] = po.UserCounters{UserID: id, Now: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)}
	}
	return users, nil
}

func (agreeingUsers) Increment(_ context.Context, deltas []po.UserDelta) (map[models.UserID]int64, error) {
	last := make(map[models.UserID]int64, len(deltas))
	for _, d := range deltas {
		last[d.UserID] = d.Events
	}
	return last, nil
}

func (agreeingEngagements) Upsert(_ context.Context, cmds []po.FavoriteCommand, _ po.FavoritePolicy) ([]po.FavoriteChange, error) {
	changes := make([]po.FavoriteChange, len(cmds))
	for i, c := range cmds {
		changes[i] = po.FavoriteChange{Changed: true, Stored: true, At: c.At.At, EventAt: c.At.At, Counted: true}
	}
	return changes, nil
}

func (agreeingStats) Increment(_ context.Context, deltas []po.StatsDelta) (map[models.VideoID]po.VideoStats, error) {
	stats := make(map[models.VideoID]po.VideoStats, len(deltas))
	for _, d := range deltas {
		stats[d.VideoID] = po.VideoStats{LikeCount: d.Likes, Version: 1}
	}
	return stats, nil
}

func (agreeingOutbox) Append(context.Context, []po.Event) error { return nil }
