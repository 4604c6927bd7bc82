// Package client calls ProfileService from Go: TLS, a token with every call, idempotency keys, retries of what may
// be repeated, errors with their reason, and lists as iterators.
//
//	profile, err := client.New("profile.example.com:443", client.WithTokenSource(token))
//	if err != nil {
//		return err
//	}
//	defer profile.Close()
//	_, err = profile.MutateFavorite(ctx, &profilev1.MutateFavoriteRequest{
//		UserId: user, VideoId: video,
//		FavoriteType: profilev1.FavoriteType_FAVORITE_TYPE_LIKE, Action: profilev1.FavoriteAction_FAVORITE_ACTION_ADD,
//	})
//	if client.ReasonOf(err) == profilev1.ErrorReason_ERROR_REASON_VIDEO_UNAVAILABLE {
//		return errNotForYou
//	}
//	for favorite, err := range profile.Favorites(ctx, &profilev1.ListFavoritesRequest{UserId: user}) {
//		…
//	}
//
// What a method does, and its errors, is documented in profile.proto; what is common to all in docs/api.md.
package client
