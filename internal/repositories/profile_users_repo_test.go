package repositories_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/models/po"
	"github.com/lingo-services/profile/internal/repositories"
	"github.com/lingo-services/profile/test/testkit"
)

func content(name string) po.Content {
	return po.Content{
		DisplayName: name, AvatarURL: ptr("https://img/" + name),
		Preferences: po.Preferences{
			LearningGoal: ptr("read"), DailyQuotaMinutes: ptr(int32(30)),
			Extra: map[string]any{"theme": "dark", "n": 1.5, "list": []any{"a", nil, true}, "nested": map[string]any{"k": "ü"}},
		},
	}
}

func bare(name string) po.Content {
	return po.Content{DisplayName: name, Preferences: po.Preferences{Extra: map[string]any{}}}
}

// creation is the result of Upsert.
type creation struct {
	user    po.User
	created bool
}

func create(t testing.TB, s schema, id models.UserID, c po.Content) creation {
	t.Helper()
	return write(t, s, func(ctx context.Context, tx *repositories.Tx) (creation, error) {
		u, created, err := tx.Profiles.Upsert(ctx, id, c)
		return creation{u, created}, err
	})
}

func revise(t testing.TB, s schema, id models.UserID, expected int64, c po.Content) (po.User, error) {
	t.Helper()
	return try(t, s, func(ctx context.Context, tx *repositories.Tx) (po.User, error) {
		return tx.Profiles.IncrementVersion(ctx, id, expected, c)
	})
}

func profileOf(t testing.TB, s schema, id models.UserID) po.User {
	t.Helper()
	found := read(t, s, func(ctx context.Context, tx *repositories.Tx) (map[models.UserID]po.User, error) {
		return tx.Profiles.BatchGet(ctx, []models.UserID{newUser(), id, id})
	})
	require.Len(t, found, 1)
	return found[id]
}

func TestM97_ProfileComesBackAsItWasCreated(t *testing.T) {
	t.Parallel()
	s := open(t)
	for name, c := range map[string]po.Content{
		"everything set": content("Ada"),
		"nothing set":    bare(""),
		"longest values": {
			DisplayName: strings.Repeat("名", 64), AvatarURL: ptr("https://" + strings.Repeat("a", 2040)),
			Preferences: po.Preferences{LearningGoal: ptr(strings.Repeat("é", 500)), DailyQuotaMinutes: ptr(int32(1440)), Extra: map[string]any{}},
		},
		"smallest quota": {Preferences: po.Preferences{DailyQuotaMinutes: ptr(int32(0)), Extra: map[string]any{}}},
	} {
		t.Run(name, func(t *testing.T) {
			id := newUser()
			made := create(t, s, id, c)
			require.True(t, made.created)
			require.Equal(t, c, made.user.Content)
			require.Equal(t, id, made.user.UserID)
			require.Equal(t, made.user, profileOf(t, s, id))
		})
	}
}

func TestS60_VersionsStartAtOneAndGrowByOne(t *testing.T) {
	t.Parallel()
	s := open(t)
	id := newUser()
	s.stopClock(t, noon)
	first := create(t, s, id, bare("Ada")).user
	s.stopClock(t, noon.Add(time.Hour))
	second, err := revise(t, s, id, 1, content("Grace"))
	require.NoError(t, err)
	require.Equal(t, int64(1), first.Version)
	require.Equal(t, po.User{
		UserID: id, Content: content("Grace"), Version: 2, CreatedAt: noon, UpdatedAt: noon.Add(time.Hour),
	}, second)
	require.Equal(t, second, profileOf(t, s, id))
}

func TestS60_AbsentProfileIsNotFound(t *testing.T) {
	t.Parallel()
	s := open(t)
	require.Empty(t, read(t, s, func(ctx context.Context, tx *repositories.Tx) (map[models.UserID]po.User, error) {
		return tx.Profiles.BatchGet(ctx, []models.UserID{newUser()})
	}))
	_, err := try(t, s, func(ctx context.Context, tx *repositories.Tx) (po.User, error) {
		return tx.Profiles.Lock(ctx, newUser())
	})
	require.ErrorIs(t, err, models.ErrProfileNotFound)
	require.Zero(t, s.DB.RowCounts(t)["users"])
}

func TestS61_SecondCreationWritesNothing(t *testing.T) {
	t.Parallel()
	s := open(t)
	id := newUser()
	first := create(t, s, id, content("Ada"))
	again := create(t, s, id, bare("Grace"))
	require.Equal(t, creation{}, again)
	require.Equal(t, first.user, profileOf(t, s, id))
}

func TestS61_ParallelCreationsMakeOneRow(t *testing.T) {
	t.Parallel()
	s := open(t)
	id := newUser()
	const writers = 12
	created := make([]bool, writers)
	for _, err := range testkit.Together(writers, func(i int) error {
		return s.Write(t.Context(), models.UserActor(id), func(ctx context.Context, tx *repositories.Tx) (err error) {
			_, created[i], err = tx.Profiles.Upsert(ctx, id, bare("Ada"))
			return err
		})
	}) {
		require.NoError(t, err)
	}
	require.Equal(t, 1, countTrue(created))
}

func TestS62_StaleVersionChangesNothing(t *testing.T) {
	t.Parallel()
	s := open(t)
	id := newUser()
	stored := create(t, s, id, content("Ada")).user
	for name, expected := range map[string]int64{"older": 0, "newer": 2, "negative": -1} {
		t.Run(name, func(t *testing.T) {
			_, err := revise(t, s, id, expected, bare("Grace"))
			require.ErrorIs(t, err, models.ErrVersionConflict)
			require.Equal(t, stored, profileOf(t, s, id))
		})
	}
	_, err := revise(t, s, newUser(), 1, bare("Grace"))
	require.ErrorIs(t, err, models.ErrVersionConflict)
}

func TestP6_OfManyWritersWithOneExpectationOneWins(t *testing.T) {
	t.Parallel()
	s := open(t)
	id := newUser()
	create(t, s, id, bare("Ada"))
	const writers = 12
	won := 0
	for _, err := range testkit.Together(writers, func(int) error {
		return s.Write(t.Context(), models.UserActor(id), func(ctx context.Context, tx *repositories.Tx) error {
			_, err := tx.Profiles.IncrementVersion(ctx, id, 1, bare("Grace"))
			return err
		})
	}) {
		if err == nil {
			won++
			continue
		}
		require.ErrorIs(t, err, models.ErrVersionConflict)
	}
	require.Equal(t, 1, won)
	require.Equal(t, int64(2), profileOf(t, s, id).Version)
}

func TestS62_LockedProfileWaitsForItsHolder(t *testing.T) {
	t.Parallel()
	s := open(t)
	id := newUser()
	create(t, s, id, bare("Ada"))
	release := s.hold(t, "UPDATE profile.users SET display_name = 'Held' WHERE user_id = $1", id.String())
	done := testkit.Later(func() error {
		return s.Write(t.Context(), models.UserActor(id), func(ctx context.Context, tx *repositories.Tx) error {
			_, err := tx.Profiles.Lock(ctx, id)
			return err
		})
	})
	s.awaitBlocked(t, 1)
	require.Equal(t, "Ada", profileOf(t, s, id).DisplayName, "readers do not wait")
	release()
	require.NoError(t, <-done)
}
