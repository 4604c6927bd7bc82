package dto_test

import (
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	profilev1 "github.com/lingo-services/profile/api/profile/v1"
)

// BenchmarkDecode decodes and checks what callers send most.
func BenchmarkDecode(b *testing.B) {
	d, like := decoder(b), favorite(func(*profilev1.MutateFavoriteRequest) {})
	screen := &profilev1.BatchQueryFavoriteRequest{}
	for range 50 {
		screen.VideoIds = append(screen.VideoIds, uuid.NewString())
	}
	b.Run("like", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, _, err := d.MutateFavorite(self, none, like)
			require.NoError(b, err)
		}
	})
	b.Run("50 ids", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, _, err := d.BatchQueryFavorite(self, none, screen)
			require.NoError(b, err)
		}
	})
}
