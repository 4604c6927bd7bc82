package client

import (
	"context"
	"iter"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	profilev1 "github.com/lingo-services/profile/api/profile/v1"
)

// fullPage is the greatest page the service gives.
const fullPage = 100

// Favorites are all entries of ListFavorites from req.page_token on, a page fetched when it is needed. page_size 0
// means 100. An error ends them, as the last pair, with a nil item. They can be ranged over again, which asks again.
func (c *Client) Favorites(ctx context.Context, req *profilev1.ListFavoritesRequest, opts ...grpc.CallOption) iter.Seq2[*profilev1.FavoriteItem, error] {
	return func(yield func(*profilev1.FavoriteItem, error) bool) {
		page := &profilev1.ListFavoritesRequest{PageSize: fullPage}
		proto.Merge(page, req)
		pages(yield, func() ([]*profilev1.FavoriteItem, bool, error) {
			resp, err := c.ListFavorites(ctx, page, opts...)
			page.PageToken = resp.GetNextPageToken()
			return resp.GetFavorites(), page.GetPageToken() != "", err
		})
	}
}

// WatchHistory are all entries of ListWatchHistory, in the way of Favorites.
func (c *Client) WatchHistory(ctx context.Context, req *profilev1.ListWatchHistoryRequest, opts ...grpc.CallOption) iter.Seq2[*profilev1.WatchHistoryEntry, error] {
	return func(yield func(*profilev1.WatchHistoryEntry, error) bool) {
		page := &profilev1.ListWatchHistoryRequest{PageSize: fullPage}
		proto.Merge(page, req)
		pages(yield, func() ([]*profilev1.WatchHistoryEntry, bool, error) {
			resp, err := c.ListWatchHistory(ctx, page, opts...)
			page.PageToken = resp.GetNextPageToken()
			return resp.GetItems(), page.GetPageToken() != "", err
		})
	}
}

func pages[T any](yield func(*T, error) bool, next func() (items []*T, more bool, err error)) {
	for more := true; more; {
		var items []*T
		var err error
		if items, more, err = next(); err != nil {
			yield(nil, err)
			return
		}
		for _, item := range items {
			if !yield(item, nil) {
				return
			}
		}
	}
}
