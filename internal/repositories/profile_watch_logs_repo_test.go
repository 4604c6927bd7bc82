package repositories_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/models/po"
	"github.com/lingo-services/profile/internal/repositories"
	"github.com/lingo-services/profile/test/testkit"
)

type logsByKey = map[repositories.WatchKey]po.WatchLog

// watchLog is a qualified row at half of its video, watched at noon, without anything optional.
func watchLog(u models.UserID, v models.VideoID) po.WatchLog {
	return po.WatchLog{
		UserID: u, VideoID: v, PositionSeconds: 50, RatioBP: 5000, ResumeAt: noon, MaxRatioBP: 5000, QualifiedAt: ptr(noon),
		CompletionArmed: true, FirstWatchedAt: noon, LastWatchedAt: noon, ExpiresAt: noon.AddDate(0, 6, 0),
	}
}

// fullLog has a value in every column.
func fullLog(u models.UserID, v models.VideoID) po.WatchLog {
	l := watchLog(u, v)
	l.PositionSeconds, l.RatioBP, l.MaxRatioBP, l.ResumeAt = 864_000, 1, 10_000, after(3)
	l.RatioAt, l.FurthestSeconds = after(2), 864_000
	l.ReportedSeconds, l.CountedSeconds = 315_360_000, 86_400
	l.CompletedAt, l.CompletedCount, l.CompletionArmed = ptr(after(2)), 3, false
	l.LastEmittedRatioBP, l.SessionID, l.SessionSeq = ptr(int32(0)), ptr("s"), ptr(int64(0))
	l.FirstWatchedAt, l.LastWatchedAt = after(1), after(3).Add(time.Microsecond)
	return l
}

func keyOfLog(l po.WatchLog) repositories.WatchKey {
	return repositories.WatchKey{UserID: l.UserID, VideoID: l.VideoID}
}

func storeLogs(t testing.TB, s schema, logs ...po.WatchLog) {
	t.Helper()
	do(t, s, func(ctx context.Context, tx *repositories.Tx) error { return tx.WatchLogs.UpsertProgress(ctx, logs) })
}

func lockLogs(t testing.TB, s schema, keys ...repositories.WatchKey) logsByKey {
	t.Helper()
	return write(t, s, func(ctx context.Context, tx *repositories.Tx) (logsByKey, error) { return tx.WatchLogs.Get(ctx, keys) })
}

func history(t testing.TB, s schema, q po.WatchQuery) []po.WatchLog {
	t.Helper()
	return read(t, s, func(ctx context.Context, tx *repositories.Tx) ([][]po.WatchLog, error) {
		return tx.WatchLogs.ListRecent(ctx, []po.WatchQuery{q})
	})[0]
}

// historyPages walks a history to its end; every page but the last is full.
func historyPages(t testing.TB, s schema, q po.WatchQuery) (videos []models.VideoID) {
	t.Helper()
	for {
		page := history(t, s, q)
		for _, e := range page {
			videos = append(videos, e.VideoID)
		}
		if len(page) < q.Limit {
			return videos
		}
		last := page[len(page)-1].Key()
		q.Before = &last
	}
}

func TestM97_WatchLogsComeBackAsStored(t *testing.T) {
	t.Parallel()
	s := open(t)
	storeLogs(t, s)
	require.Empty(t, lockLogs(t, s))
	unqualified := watchLog(user(2), video(1))
	unqualified.QualifiedAt, unqualified.RatioBP, unqualified.MaxRatioBP = nil, 0, 0
	logs := []po.WatchLog{fullLog(user(3), video(1)), watchLog(user(1), video(2)), unqualified}
	want := logsByKey{}
	for _, l := range logs {
		want[keyOfLog(l)] = l
	}
	storeLogs(t, s, logs[0])
	storeLogs(t, s, logs...)
	absent := repositories.WatchKey{UserID: user(1), VideoID: video(1)} // a user and a video that exist, but not together
	require.Equal(t, want, lockLogs(t, s, keyOfLog(logs[2]), keyOfLog(logs[0]), absent, keyOfLog(logs[1]), keyOfLog(logs[0])))
}

func TestM97_StoringAWatchLogReplacesEveryColumn(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.stopClock(t, noon)
	full, plain := fullLog(user(1), video(1)), watchLog(user(1), video(1))
	for _, l := range []po.WatchLog{plain, full, plain} {
		storeLogs(t, s, l)
		require.Equal(t, logsByKey{keyOfLog(l): l}, lockLogs(t, s, keyOfLog(l)))
	}
}

// The user's lock is the pair's: what is read after it has been waited for is the holder's last word.
func TestS30_AReportWaitsForTheHolderOfItsUserAndSeesWhatItWrote(t *testing.T) {
	t.Parallel()
	s := open(t)
	l := watchLog(newUser(), newVideo())
	moveUsers(t, s, po.UserDelta{UserID: l.UserID})
	holding, free := make(chan struct{}), make(chan struct{})
	holder := testkit.Later(func() error {
		return s.Write(t.Context(), models.UserActor(l.UserID), func(ctx context.Context, tx *repositories.Tx) error {
			if _, err := tx.UserStats.Lock(ctx, []models.UserID{l.UserID}); err != nil {
				return err
			}
			close(holding)
			<-free
			return tx.WatchLogs.UpsertProgress(ctx, []po.WatchLog{l})
		})
	})
	<-holding
	var seen logsByKey
	waiter := testkit.Later(func() error {
		return s.Write(t.Context(), models.UserActor(l.UserID), func(ctx context.Context, tx *repositories.Tx) error {
			if _, err := tx.UserStats.Lock(ctx, []models.UserID{l.UserID}); err != nil {
				return err
			}
			var err error
			seen, err = tx.WatchLogs.Get(ctx, []repositories.WatchKey{keyOfLog(l)})
			return err
		})
	})
	s.awaitBlocked(t, 1)
	close(free)
	require.NoError(t, <-holder)
	require.NoError(t, <-waiter)
	require.Equal(t, logsByKey{keyOfLog(l): l}, seen)
}

func TestS50_HistoryPagesGiveEveryRowOnceInATotalOrder(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.stopClock(t, after(100))
	var want []models.VideoID
	for n := range byte(9) {
		l := watchLog(user(1), video(n))
		l.LastWatchedAt = after(int(n) / 3) // ties in time
		storeLogs(t, s, l, watchLog(user(2), video(n)))
		want = append(want, video(n))
	}
	slices.Reverse(want)
	for _, size := range []int{1, 2, 3, 4, 50} {
		require.Equal(t, want, historyPages(t, s, po.WatchQuery{UserID: user(1), Limit: size}), "page size %d", size)
	}
	require.Empty(t, history(t, s, po.WatchQuery{UserID: newUser(), Limit: 5}))
}

func TestS36_UnqualifiedRowsAreNotHistory(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.stopClock(t, noon)
	hidden := watchLog(user(1), video(1))
	hidden.QualifiedAt = nil
	storeLogs(t, s, hidden, watchLog(user(1), video(2)))
	require.Equal(t, []models.VideoID{video(2)}, historyPages(t, s, po.WatchQuery{UserID: user(1), Limit: 5}))
}

func TestS43_ExpiredRowsVanishAtTheirTime(t *testing.T) {
	t.Parallel()
	s := open(t)
	l := watchLog(user(1), video(1))
	l.ExpiresAt = after(10)
	storeLogs(t, s, l)
	for offset, want := range map[time.Duration]int{-time.Microsecond: 1, 0: 0, time.Hour: 0} {
		s.stopClock(t, after(10).Add(offset))
		require.Len(t, history(t, s, po.WatchQuery{UserID: user(1), Limit: 5}), want, "%s from expiry", offset)
	}
	require.Len(t, lockLogs(t, s, keyOfLog(l)), 1, "the row itself is the pruner's")
}

func TestS53_HistoryFilters(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.stopClock(t, after(100))
	for n := byte(1); n <= 4; n++ {
		l := watchLog(user(1), video(n))
		l.LastWatchedAt = after(int(n))
		if n%2 == 0 {
			l.CompletedAt, l.CompletedCount = ptr(after(int(n))), 1
		}
		storeLogs(t, s, l)
	}
	for name, tc := range map[string]struct {
		q    po.WatchQuery
		want []byte
	}{
		"none":                {po.WatchQuery{}, []byte{4, 3, 2, 1}},
		"completed":           {po.WatchQuery{Completion: models.Completed}, []byte{4, 2}},
		"in progress":         {po.WatchQuery{Completion: models.InProgress}, []byte{3, 1}},
		"after is inclusive":  {po.WatchQuery{WatchedAfter: ptr(after(3))}, []byte{4, 3}},
		"before is exclusive": {po.WatchQuery{WatchedBefore: ptr(after(3))}, []byte{2, 1}},
		"range":               {po.WatchQuery{WatchedAfter: ptr(after(2)), WatchedBefore: ptr(after(4))}, []byte{3, 2}},
		"empty range":         {po.WatchQuery{WatchedAfter: ptr(after(3)), WatchedBefore: ptr(after(3))}, nil},
		"both kinds":          {po.WatchQuery{Completion: models.Completed, WatchedAfter: ptr(after(3))}, []byte{4}},
	} {
		t.Run(name, func(t *testing.T) {
			var want []models.VideoID
			for _, n := range tc.want {
				want = append(want, video(n))
			}
			tc.q.UserID, tc.q.Limit = user(1), 1
			require.Equal(t, want, historyPages(t, s, tc.q))
		})
	}
}

func TestM97_ListedWatchLogsComeBackAsStored(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.stopClock(t, after(5))
	l := fullLog(user(1), video(1))
	storeLogs(t, s, l)
	l.ReportedSeconds, l.FurthestSeconds, l.CompletionArmed, l.LastEmittedRatioBP, l.SessionSeq = 0, 0, false, nil, nil // not shown
	require.Equal(t, []po.WatchLog{l}, history(t, s, po.WatchQuery{UserID: user(1), Limit: 5}))
}

// Rows of before the column say nothing of when their ratio was true: with the resume point.
func TestS36_RatiosOfEarlierRowsAreKnown(t *testing.T) {
	t.Parallel()
	s := open(t)
	l := fullLog(user(1), video(1))
	l.FurthestSeconds = 0
	storeLogs(t, s, l)
	s.DB.Exec(t, "UPDATE profile.watch_logs SET ratio_at = NULL")
	stored := lockLogs(t, s, keyOfLog(l))[keyOfLog(l)]
	require.Equal(t, l.ResumeAt, stored.RatioAt)
	require.True(t, stored.Judged())
}

func TestS31_TheGreatestNumberOfASessionIsKept(t *testing.T) {
	t.Parallel()
	s := open(t)
	session := func(id string, seq int64) po.WatchSession {
		return po.WatchSession{WatchSessionKey: po.WatchSessionKey{UserID: user(1), VideoID: video(1), SessionID: id}, Seq: seq}
	}
	for _, batch := range [][]po.WatchSession{{session("a", 5), session("b", 1)}, {session("a", 3)}, {session("b", 2)}, {}} {
		do(t, s, func(ctx context.Context, tx *repositories.Tx) error { return tx.WatchLogs.UpsertSessions(ctx, batch) })
	}
	other := po.WatchSessionKey{UserID: user(2), VideoID: video(1), SessionID: "a"}
	seen := write(t, s, func(ctx context.Context, tx *repositories.Tx) (map[po.WatchSessionKey]int64, error) {
		return tx.WatchLogs.Sessions(ctx, []po.WatchSessionKey{session("a", 0).WatchSessionKey, session("b", 0).WatchSessionKey, session("c", 0).WatchSessionKey, other})
	})
	require.Equal(t, map[po.WatchSessionKey]int64{session("a", 0).WatchSessionKey: 5, session("b", 0).WatchSessionKey: 2}, seen)
}
