package services

import (
	"context"

	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/models/po"
	"github.com/lingo-services/profile/internal/models/vo"
	"github.com/lingo-services/profile/internal/repositories"
)

// ListedVideos is what lists show of videos, read through a cache: the same few are in the lists of many.
type ListedVideos struct {
	store    Store
	cache    ListedCache
	observer CacheObserver
	renewal  *renewal[*vo.ListedVideo]
}

// NewListedVideos reads from store what the cache does not have.
func NewListedVideos(store Store, cache ListedCache, observer CacheObserver) *ListedVideos {
	l := &ListedVideos{store: store, cache: cache, observer: observer}
	l.renewal = newRenewal(cache, func(ctx context.Context, ids []models.VideoID) ([]*vo.ListedVideo, error) {
		return l.read(ctx, models.ServiceActor, ids)
	})
	return l
}

// get answers in order and length of ids, past the cache for a strong call. Errors: those of Store.Read.
func (l *ListedVideos) get(ctx context.Context, call models.Call, ids []models.VideoID) ([]*vo.ListedVideo, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	if call.Strong {
		l.observer.CacheBypassed(ListedCacheName, len(ids))
		return l.read(ctx, call.Actor, ids)
	}
	found := l.cache.Get(ids)
	videos := make([]*vo.ListedVideo, len(ids))
	var missed []models.VideoID
	var leases []Lease
	for i, f := range found {
		videos[i] = f.Value
		if !f.Found {
			missed, leases = append(missed, ids[i]), append(leases, f.Lease)
		}
	}
	l.renewal.add(ids, found)
	l.observer.CacheUsed(ListedCacheName, len(ids)-len(missed), len(missed))
	if len(missed) == 0 {
		return videos, nil
	}
	read, err := l.read(ctx, call.Actor, missed)
	if err != nil {
		return nil, err
	}
	fills := make([]Read[*vo.ListedVideo], len(missed))
	for n, id := range missed {
		fills[n] = Read[*vo.ListedVideo]{id, read[n], leases[n]}
	}
	l.cache.Fill(fills)
	for i, n := 0, 0; i < len(ids); i++ {
		if !found[i].Found {
			videos[i] = read[n]
			n++
		}
	}
	return videos, nil
}

func (l *ListedVideos) read(ctx context.Context, actor models.Actor, ids []models.VideoID) ([]*vo.ListedVideo, error) {
	var read map[models.VideoID]po.ListedVideo
	err := l.store.Read(ctx, actor, func(ctx context.Context, tx *repositories.Tx) (err error) {
		read, err = tx.Videos.Listed(ctx, ids)
		return err
	})
	if err != nil {
		return nil, err
	}
	videos := make([]*vo.ListedVideo, len(ids))
	for i, id := range ids {
		videos[i] = vo.NewListedVideo(read[id])
	}
	return videos, nil
}
