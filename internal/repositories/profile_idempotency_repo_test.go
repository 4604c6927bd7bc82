package repositories_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/models/po"
	"github.com/lingo-services/profile/internal/repositories"
	"github.com/lingo-services/profile/test/testkit"
)

func record() po.IdempotencyRecord {
	return po.IdempotencyRecord{
		UserID: user(1), Action: "mutate_favorite", ResourceID: uuid.UUID(video(1)), Key: "k", Fingerprint: [32]byte{1, 31: 2},
		Response: []byte(`{"n": 1}`),
	}
}

// question is record without its answer.
func question(r po.IdempotencyRecord) po.IdempotencyRecord {
	r.Fingerprint, r.Response = [32]byte{}, nil
	return r
}

func keep(t testing.TB, s schema, r po.IdempotencyRecord) {
	t.Helper()
	do(t, s, func(ctx context.Context, tx *repositories.Tx) error {
		return tx.Idempotency.Put(ctx, []po.IdempotencyRecord{r}, time.Hour)
	})
}

func kept(t testing.TB, s schema, r po.IdempotencyRecord) (po.IdempotencyRecord, bool) {
	t.Helper()
	found := false
	got := read(t, s, func(ctx context.Context, tx *repositories.Tx) (po.IdempotencyRecord, error) {
		// Among others, so that its place matters.
		all, err := tx.Idempotency.Get(ctx, []po.IdempotencyRecord{{Key: "another"}, question(r)})
		_, found = all[1]
		return all[1], err
	})
	return got, found
}

func TestM97_KeptAnswerComesBack(t *testing.T) {
	t.Parallel()
	s := open(t)
	_, found := kept(t, s, record())
	require.False(t, found)
	keep(t, s, record())
	got, found := kept(t, s, record())
	require.True(t, found)
	require.Equal(t, record(), got)
}

// others are records that differ from record in one part of their scope.
func others() map[string]po.IdempotencyRecord {
	all := map[string]po.IdempotencyRecord{}
	for name, f := range map[string]func(*po.IdempotencyRecord){
		"user":     func(r *po.IdempotencyRecord) { r.UserID = user(2) },
		"action":   func(r *po.IdempotencyRecord) { r.Action = "update_profile" },
		"resource": func(r *po.IdempotencyRecord) { r.ResourceID = uuid.UUID(video(2)) },
		"key":      func(r *po.IdempotencyRecord) { r.Key = "K" },
	} {
		r := record()
		f(&r)
		all[name] = r
	}
	return all
}

func TestS85_ScopeIsUserActionResourceAndKey(t *testing.T) {
	t.Parallel()
	s := open(t)
	keep(t, s, record())
	for name, other := range others() {
		t.Run(name, func(t *testing.T) {
			_, found := kept(t, s, other)
			require.False(t, found)
			release := occupy(t, s, record())
			require.NoError(t, claim(t, s, other))
			release()
		})
	}
}

func TestS85_AnswersExpire(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.stopClock(t, noon)
	keep(t, s, record())
	s.stopClock(t, noon.Add(time.Hour-time.Microsecond))
	_, found := kept(t, s, record())
	require.True(t, found)
	s.stopClock(t, noon.Add(time.Hour))
	_, found = kept(t, s, record())
	require.False(t, found)
	again := record()
	again.Fingerprint, again.Response = [32]byte{9}, []byte(`{"n": 2}`)
	keep(t, s, again)
	got, found := kept(t, s, record())
	require.True(t, found)
	require.Equal(t, again, got, "an expired key can be used again")
	require.Equal(t, int64(1), s.DB.RowCounts(t)["idempotency_keys"])
}

func TestS85_RolledBackCallKeepsNoAnswer(t *testing.T) {
	t.Parallel()
	s := open(t)
	failure := errors.New("business says no")
	err := s.Write(t.Context(), models.ServiceActor, func(ctx context.Context, tx *repositories.Tx) error {
		if err := locking(ctx, tx, record()); err != nil {
			return err
		}
		if err := tx.Idempotency.Put(ctx, []po.IdempotencyRecord{record()}, time.Hour); err != nil {
			return err
		}
		return failure
	})
	require.ErrorIs(t, err, failure)
	_, found := kept(t, s, record())
	require.False(t, found)
	require.NoError(t, claim(t, s, record()), "the rollback freed the key")
}

// occupy holds the record's claim until release.
func occupy(t testing.TB, s schema, r po.IdempotencyRecord) (release func()) {
	t.Helper()
	locked, free := make(chan struct{}), make(chan struct{})
	done := testkit.Later(func() error {
		return s.Write(t.Context(), models.ServiceActor, func(ctx context.Context, tx *repositories.Tx) error {
			if err := locking(ctx, tx, r); err != nil {
				return err
			}
			close(locked)
			<-free
			return nil
		})
	})
	select {
	case <-locked:
	case err := <-done:
		require.NoError(t, err)
	}
	return func() {
		close(free)
		require.NoError(t, <-done)
	}
}

func claim(t testing.TB, s schema, r po.IdempotencyRecord) error {
	t.Helper()
	return s.Write(t.Context(), models.UserActor(r.UserID), func(ctx context.Context, tx *repositories.Tx) error {
		return locking(ctx, tx, r)
	})
}

// locking claims a record among others that nobody has.
func locking(ctx context.Context, tx *repositories.Tx, r po.IdempotencyRecord) error {
	locked, err := tx.Idempotency.Lock(ctx, []po.IdempotencyRecord{{UserID: newUser(), Key: "another"}, r})
	if err != nil {
		return err
	}
	if !locked[0] || !locked[1] {
		return models.ErrIdempotencyInProgress
	}
	return nil
}

func TestS85_SecondCallWithTheKeyDoesNotWait(t *testing.T) {
	t.Parallel()
	s := open(t)
	release := occupy(t, s, record())
	require.ErrorIs(t, claim(t, s, record()), models.ErrIdempotencyInProgress)
	release()
	require.NoError(t, claim(t, s, record()))
}
