package test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/durationpb"

	profilev1 "github.com/lingo-services/profile/api/profile/v1"
	"github.com/lingo-services/profile/internal/infrastructure/config/confpb"
	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/services"
	"github.com/lingo-services/profile/test/testkit"
)

// BenchmarkBatchQuery50 reads 50 states with counters, half of them liked: of a cache that has all of them, and of
// the database in one statement; called directly, and over a connection.
func BenchmarkBatchQuery50(b *testing.B) {
	s := testkit.New(b, func(c *confpb.Bootstrap) {
		c.Cache.Ttl, c.Cache.StatsTtl = durationpb.New(time.Minute), durationpb.New(5*time.Second)
		c.Service.LogLevel = "warn"
	})
	user, videos := testkit.NewUser(), make([]models.VideoID, 50)
	request := &profilev1.BatchQueryFavoriteRequest{IncludeStats: true}
	for i := range videos {
		videos[i] = testkit.NewVideo()
		request.VideoIds = append(request.VideoIds, videos[i].String())
		if i%2 == 0 {
			_, err := s.Engagements.Apply(b.Context(), models.ServiceActor, []services.FavoriteCommand{{UserID: user, VideoID: videos[i], Type: models.Like, Active: true}})
			require.NoError(b, err)
		}
	}
	client := s.AsUser(user)
	for name, ctx := range map[string]context.Context{"warm": b.Context(), "strong": strong(b.Context())} {
		b.Run("service/"+name, func(b *testing.B) {
			call := models.Call{Subject: user, Actor: models.UserActor(user), Strong: name == "strong"}
			b.ReportAllocs()
			for b.Loop() {
				_, err := s.Engagements.BatchQuery(b.Context(), call, videos)
				require.NoError(b, err)
			}
		})
		b.Run("grpc/"+name, func(b *testing.B) {
			for b.Loop() {
				_, err := client.BatchQueryFavorite(ctx, request)
				require.NoError(b, err)
			}
		})
	}
}
