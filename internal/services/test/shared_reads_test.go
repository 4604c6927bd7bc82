package test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/lingo-services/profile/internal/infrastructure/cache"
	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/models/po"
	"github.com/lingo-services/profile/internal/repositories"
	"github.com/lingo-services/profile/internal/services"
	"github.com/lingo-services/profile/internal/services/coalesce"
	"github.com/lingo-services/profile/test/testkit"
)

// slowStart is a Store whose first shared read waits until it may go on.
type slowStart struct {
	services.Store
	reads         atomic.Int32
	begun, goOn   chan struct{}
	usersOfShared [][]models.UserID
}

func (s *slowStart) ReadFor(ctx context.Context, users []models.UserID, fn func(context.Context, *repositories.Tx) error) error {
	s.usersOfShared = append(s.usersOfShared, users) // one writer: one read at a time
	if s.reads.Add(1) == 1 {
		close(s.begun)
		<-s.goOn
	}
	return s.Store.ReadFor(ctx, users, fn)
}

// watched tells when somebody begins to wait for it.
type watched struct {
	context.Context
	once    *sync.Once
	waiting *sync.WaitGroup
}

func (w watched) Done() <-chan struct{} {
	w.once.Do(w.waiting.Done)
	return w.Context.Done()
}

// Callers who come while a profile is read share the next statement, and each gets their own answer.
func TestA81_ProfilesAreReadTogether(t *testing.T) {
	t.Parallel()
	s := testkit.New(t, patient)
	const callers = 40
	users, names := make([]models.UserID, callers), map[models.UserID]string{}
	for i := range users {
		users[i] = testkit.NewUser()
		if i%2 == 0 { // the others have none
			names[users[i]] = "user " + users[i].String()
			own := models.Call{Actor: models.UserActor(users[i]), Subject: users[i]}
			require.NoError(t, second(s.Profiles.Update(t.Context(), own, services.UpdateProfile{Patch: po.ProfilePatch{DisplayName: po.Set(names[users[i]])}})))
		}
	}
	store := &slowStart{Store: s.Store, begun: make(chan struct{}), goOn: make(chan struct{})}
	profiles := services.NewProfileService(store, s.Metrics, uuid.New, services.Options{
		IdempotencyRetention: time.Hour, Coalescing: coalesce.Options{Enabled: true, Writers: 1, Batch: 100, PerUser: 10},
	})
	var waiting, group sync.WaitGroup
	get := func(user models.UserID) {
		waiting.Add(1)
		group.Go(func() {
			got, err := profiles.Get(watched{t.Context(), &sync.Once{}, &waiting}, models.Call{Actor: models.UserActor(user), Subject: user})
			name, exists := names[user]
			if !exists {
				require.ErrorIs(t, err, models.ErrProfileNotFound)
				return
			}
			require.NoError(t, err)
			require.Equal(t, user, got.UserID)
			require.Equal(t, name, got.DisplayName)
		})
	}
	get(users[0])
	<-store.begun
	for _, user := range users[1:] {
		get(user)
	}
	waiting.Wait()
	close(store.goOn)
	group.Wait()
	require.Len(t, store.usersOfShared, 2)
	require.ElementsMatch(t, users[1:], store.usersOfShared[1])
}

// So do those who list.
func TestA81_ListsAreReadTogether(t *testing.T) {
	t.Parallel()
	s := testkit.New(t, patient)
	const callers = 40
	fans, liked := make([]fan, callers), map[models.UserID]models.VideoID{}
	for i := range fans {
		fans[i] = newFan(t, s)
		if i%2 == 0 { // the others have none
			liked[fans[i].user] = testkit.NewVideo()
			fans[i].add(likeType, liked[fans[i].user])
			require.NoError(t, fans[i].watch(liked[fans[i].user], 0.5))
		}
	}
	for name, newList := range map[string]func(store services.Store, videos *services.ListedVideos, opts services.Options) func(context.Context, models.Call) ([]models.VideoID, error){
		"Favorites": func(store services.Store, videos *services.ListedVideos, opts services.Options) func(context.Context, models.Call) ([]models.VideoID, error) {
			engagements := services.NewEngagementService(store, nil, s.Metrics, uuid.New, cache.Uncached(store), videos, opts)
			return func(ctx context.Context, call models.Call) (ids []models.VideoID, err error) {
				page, err := engagements.List(ctx, call, services.FavoriteListQuery{})
				for _, item := range page.Items {
					ids = append(ids, item.VideoID)
				}
				return ids, err
			}
		},
		"History": func(store services.Store, videos *services.ListedVideos, opts services.Options) func(context.Context, models.Call) ([]models.VideoID, error) {
			watch := services.NewWatchHistoryService(store, nil, s.Metrics, uuid.New, videos, opts)
			return func(ctx context.Context, call models.Call) (ids []models.VideoID, err error) {
				page, err := watch.List(ctx, call, services.WatchListQuery{})
				for _, item := range page.Items {
					ids = append(ids, item.Log.VideoID)
				}
				return ids, err
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			store := &slowStart{Store: s.Store, begun: make(chan struct{}), goOn: make(chan struct{})}
			list := newList(store, cache.UncachedVideos(s.Store), services.Options{Coalescing: coalesce.Options{Enabled: true, Writers: 1, Batch: 100, PerUser: 10}})
			var waiting, group sync.WaitGroup
			get := func(user models.UserID) {
				waiting.Add(1)
				group.Go(func() {
					got, err := list(watched{t.Context(), &sync.Once{}, &waiting}, models.Call{Actor: models.UserActor(user), Subject: user})
					require.NoError(t, err)
					if video, some := liked[user]; some {
						require.Equal(t, []models.VideoID{video}, got)
					} else {
						require.Empty(t, got)
					}
				})
			}
			get(fans[0].user)
			<-store.begun
			var others []models.UserID
			for _, f := range fans[1:] {
				others = append(others, f.user)
				get(f.user)
			}
			waiting.Wait()
			close(store.goOn)
			group.Wait()
			require.Len(t, store.usersOfShared, 2)
			require.ElementsMatch(t, others, store.usersOfShared[1])
		})
	}
}

// A service that reads somebody's profile acts as itself, and shares nothing.
func TestA81_ServicesReadProfilesAlone(t *testing.T) {
	t.Parallel()
	s := testkit.New(t)
	store := &slowStart{Store: s.Store}
	profiles := services.NewProfileService(store, s.Metrics, uuid.New, services.Options{Coalescing: coalesce.Options{Enabled: true, Writers: 1, Batch: 100, PerUser: 10}})
	_, err := profiles.Get(t.Context(), models.Call{Actor: models.ServiceActor, Subject: testkit.NewUser()})
	require.ErrorIs(t, err, models.ErrProfileNotFound)
	require.Zero(t, store.reads.Load())
}
