package repositories_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/lingo-services/profile/internal/infrastructure/postgres"
	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/models/po"
	"github.com/lingo-services/profile/internal/repositories"
	"github.com/lingo-services/profile/test/testkit"
)

// secured is a Store on a database of its own with row security switched.
func secured(t testing.TB, enabled bool) schema {
	t.Helper()
	db := testkit.NewDatabase(t)
	require.NoError(t, postgres.SetRowSecurity(t.Context(), db.OwnerURL, enabled))
	s := openOn(t, db)
	s.stopClock(t, noon)
	return s
}

// rowsOfUser writes one row of every kind and returns what each repository answered.
func rowsOfUser(u models.UserID) func(context.Context, *repositories.Tx) ([]any, error) {
	return func(ctx context.Context, tx *repositories.Tx) (answers []any, err error) {
		note := func(answer any, failed error) {
			answers = append(answers, answer)
			if err == nil {
				err = failed
			}
		}
		key := repositories.WatchKey{UserID: u, VideoID: video(1)}
		kept := record()
		kept.UserID = u
		note(tx.UserStats.Lock(ctx, []models.UserID{u}))
		note(tx.Idempotency.Lock(ctx, []po.IdempotencyRecord{kept}))
		note(tx.Engagements.Upsert(ctx, []po.FavoriteCommand{adding(u, video(1), noon), adding(u, video(2), noon)}, known))
		note(tx.Engagements.Upsert(ctx, []po.FavoriteCommand{removing(u, video(2), after(1))}, known))
		note(tx.WatchLogs.Get(ctx, []repositories.WatchKey{key}))
		note(nil, tx.WatchLogs.UpsertProgress(ctx, []po.WatchLog{fullLog(u, video(1))}))
		note(tx.WatchLogs.Get(ctx, []repositories.WatchKey{key}))
		session := po.WatchSession{WatchSessionKey: po.WatchSessionKey{UserID: u, VideoID: video(1), SessionID: "s"}, Seq: 3}
		note(nil, tx.WatchLogs.UpsertSessions(ctx, []po.WatchSession{session}))
		note(tx.WatchLogs.Sessions(ctx, []po.WatchSessionKey{session.WatchSessionKey}))
		note(increment(ctx, tx, []po.StatsDelta{{VideoID: video(1), Likes: 1, Watchers: 1}}))
		note(tx.UserStats.Increment(ctx, []po.UserDelta{{UserID: u, Likes: 1, Watched: 1, Events: 1}}))
		logged := event(u, 1)
		logged.ID = uuid.NewSHA1(uuid.UUID(u), []byte("event"))
		note(nil, tx.Outbox.Append(ctx, []po.Event{logged}))
		profile, created, failed := tx.Profiles.Upsert(ctx, u, content("Ada"))
		note([]any{profile, created}, failed)
		note(tx.Profiles.IncrementVersion(ctx, u, 1, bare("Grace")))
		note(nil, tx.Idempotency.Put(ctx, []po.IdempotencyRecord{kept}, time.Hour))
		return answers, err
	}
}

// viewOfUser reads everything a user can ask for.
func viewOfUser(u models.UserID) func(context.Context, *repositories.Tx) ([]any, error) {
	return func(ctx context.Context, tx *repositories.Tx) (answers []any, err error) {
		note := func(answer any, failed error) {
			answers = append(answers, answer)
			if err == nil {
				err = failed
			}
		}
		q := po.FavoriteQuery{UserID: u, Limit: 10}
		asked := question(record())
		asked.UserID = u
		note(tx.Profiles.BatchGet(ctx, []models.UserID{u}))
		note(tx.Engagements.ListByUser(ctx, []po.FavoriteQuery{q}))
		note(tx.Engagements.CountByUser(ctx, q))
		note(tx.Engagements.BatchGet(ctx, u, []models.VideoID{video(1), video(2), video(3)}))
		note(tx.WatchLogs.ListRecent(ctx, []po.WatchQuery{{UserID: u, Limit: 10}}))
		note(tx.WatchLogs.BatchGet(ctx, u, []models.VideoID{video(1), video(2)}))
		note(tx.VideoStats.BatchGet(ctx, []models.VideoID{video(1), video(2)}))
		note(tx.Videos.ListByIDs(ctx, []models.VideoID{video(1)}))
		note(tx.Videos.Listed(ctx, []models.VideoID{video(1)}))
		note(tx.Idempotency.Get(ctx, []po.IdempotencyRecord{asked}))
		return answers, err
	}
}

// session is the same legal calls by two users and a service; it returns every answer.
func session(t testing.TB, s schema) (answers []any) {
	t.Helper()
	catalog(t, s, video(1))
	run := func(in func(context.Context, models.Actor, func(context.Context, *repositories.Tx) error) error,
		actor models.Actor, fn func(context.Context, *repositories.Tx) ([]any, error),
	) {
		require.NoError(t, in(t.Context(), actor, func(ctx context.Context, tx *repositories.Tx) error {
			got, err := fn(ctx, tx)
			answers = append(answers, got)
			return err
		}))
	}
	for _, u := range []models.UserID{user(1), user(2)} {
		run(s.Write, models.UserActor(u), rowsOfUser(u))
	}
	run(s.Write, models.ServiceActor, rowsOfUser(user(3)))
	run(func(ctx context.Context, _ models.Actor, fn func(context.Context, *repositories.Tx) error) error {
		return s.WriteFor(ctx, []models.UserID{user(4), user(5)}, fn)
	}, models.Actor{}, rowsOfUser(user(5)))
	for _, u := range []models.UserID{user(1), user(2), user(3), user(5)} {
		run(s.Read, models.UserActor(u), viewOfUser(u))
		run(s.Read, models.ServiceActor, viewOfUser(u))
	}
	return answers
}

func TestS94_LegalCallsAnswerTheSameWithRowSecurityOnAndOff(t *testing.T) {
	t.Parallel()
	on, off := secured(t, true), secured(t, false)
	require.Equal(t, session(t, off), session(t, on))
	require.Equal(t, off.DB.RowCounts(t), on.DB.RowCounts(t))
}

func TestS94_CallsForAnotherUserFindNothing(t *testing.T) {
	t.Parallel()
	s := secured(t, true)
	session(t, s)
	before := s.DB.RowCounts(t)
	err := s.Read(t.Context(), models.UserActor(user(2)), func(ctx context.Context, tx *repositories.Tx) error {
		list, err := tx.Engagements.ListByUser(ctx, []po.FavoriteQuery{{UserID: user(1), Limit: 10}})
		require.NoError(t, err)
		require.Empty(t, list[0])
		history, err := tx.WatchLogs.ListRecent(ctx, []po.WatchQuery{{UserID: user(1), Limit: 10}})
		require.NoError(t, err)
		require.Empty(t, history[0])
		profiles, err := tx.Profiles.BatchGet(ctx, []models.UserID{user(1)})
		require.Empty(t, profiles)
		return err
	})
	require.NoError(t, err)
	for name, attempt := range map[string]func(context.Context, *repositories.Tx) error{
		"favorite": func(ctx context.Context, tx *repositories.Tx) error {
			_, err := tx.Engagements.Upsert(ctx, []po.FavoriteCommand{adding(user(1), video(9), noon)}, known)
			return err
		},
		"progress": func(ctx context.Context, tx *repositories.Tx) error {
			return tx.WatchLogs.UpsertProgress(ctx, []po.WatchLog{watchLog(user(1), video(1))})
		},
		"profile": func(ctx context.Context, tx *repositories.Tx) error {
			_, err := tx.Profiles.IncrementVersion(ctx, user(1), 2, bare("Eve"))
			return err
		},
		"event": func(ctx context.Context, tx *repositories.Tx) error {
			return tx.Outbox.Append(ctx, []po.Event{event(user(1), 2)})
		},
	} {
		t.Run(name, func(t *testing.T) {
			require.Error(t, s.Write(t.Context(), models.UserActor(user(2)), attempt))
			require.Equal(t, before, s.DB.RowCounts(t))
			require.Equal(t, "Grace", profileOf(t, s, user(1)).DisplayName)
		})
	}
}

// Who reads together may see what those who read may see, and nobody else's.
func TestS94_ListsReadTogetherAreOfThoseWhoReadThem(t *testing.T) {
	t.Parallel()
	s := secured(t, true)
	for n := byte(1); n <= 3; n++ {
		favor(t, s, adding(user(n), video(n), noon))
		storeLogs(t, s, watchLog(user(n), video(n)))
	}
	require.NoError(t, s.ReadFor(t.Context(), []models.UserID{user(1), user(2)}, func(ctx context.Context, tx *repositories.Tx) error {
		likes, err := tx.Engagements.ListByUser(ctx, []po.FavoriteQuery{{UserID: user(1), Limit: 10}, {UserID: user(3), Limit: 10}, {UserID: user(2), Limit: 10}})
		require.NoError(t, err)
		require.Equal(t, [3]int{1, 0, 1}, [3]int{len(likes[0]), len(likes[1]), len(likes[2])})
		watches, err := tx.WatchLogs.ListRecent(ctx, []po.WatchQuery{{UserID: user(1), Limit: 10}, {UserID: user(3), Limit: 10}, {UserID: user(2), Limit: 10}})
		require.Equal(t, [3]int{1, 0, 1}, [3]int{len(watches[0]), len(watches[1]), len(watches[2])})
		return err
	}))
}
