// Command client goes one learner's way through a running service with the Go client: profile, likes, history, lists,
// conditions, errors. Needs GRPC_ADDR; prints as lib.sh does and closes with "N passed, N failed".
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/types/known/wrapperspb"

	profilev1 "github.com/lingo-services/profile/api/profile/v1"
	"github.com/lingo-services/profile/client"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "client:", err)
		os.Exit(1)
	}
}

func run() error {
	const patience = time.Minute
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	profile, err := client.New(os.Getenv("GRPC_ADDR"), client.WithInsecure())
	if err != nil {
		return err
	}
	f := flow{ctx: client.AsUser(ctx, uuid.NewString()), profile: profile}
	f.profiles()
	f.lists()
	f.refusals()
	_, _ = fmt.Fprintf(os.Stdout, "%d passed, %d failed\n", f.passed, f.failed)
	if err := profile.Close(); err != nil {
		return err
	}
	if f.failed > 0 {
		return errors.New("not everything is as it should be")
	}
	return nil
}

// flow is the way of one new learner.
type flow struct {
	ctx            context.Context
	profile        *client.Client
	passed, failed int
}

func (f *flow) expect(name string, ok bool, got ...any) {
	if ok {
		f.passed++
		_, _ = fmt.Fprintln(os.Stdout, "ok   Go client:", name)
		return
	}
	f.failed++
	_, _ = fmt.Fprintln(os.Stdout, "FAIL Go client:", name, "got", got)
}

func (f *flow) refused(name string, err error, want profilev1.ErrorReason) {
	f.expect(name, client.ReasonOf(err) == want, err)
}

func (f *flow) profiles() {
	create := &profilev1.UpdateProfileRequest{Profile: &profilev1.Profile{DisplayName: "Mai"}, ExpectedProfileVersion: wrapperspb.Int64(0)}
	created, err := f.profile.UpdateProfile(f.ctx, create)
	f.expect("create a profile", err == nil && created.GetProfile().GetProfileVersion() == 1, created, err)
	_, err = f.profile.UpdateProfile(f.ctx, create)
	f.refused("once", err, profilev1.ErrorReason_ERROR_REASON_VERSION_CONFLICT)

	read, etag, err := f.profile.ProfileIfChanged(f.ctx, &profilev1.GetProfileRequest{}, "")
	f.expect("read it", err == nil && read.GetDisplayName() == "Mai", read, err)
	unchanged, _, err := f.profile.ProfileIfChanged(f.ctx, &profilev1.GetProfileRequest{}, etag)
	f.expect("read it only when it changed", err == nil && unchanged == nil, unchanged, err)

	rename := &profilev1.UpdateProfileRequest{Profile: &profilev1.Profile{DisplayName: "Mai Lan"}}
	_, err = f.profile.UpdateProfile(client.IfMatch(f.ctx, etag), rename)
	f.expect("change the version that was read", err == nil, err)
	_, err = f.profile.UpdateProfile(client.IfMatch(f.ctx, etag), rename)
	f.refused("and no other", err, profilev1.ErrorReason_ERROR_REASON_PRECONDITION_FAILED)
}

func (f *flow) lists() {
	const count, pageSize, half, seconds = 5, 2, 0.5, 30
	var liked []string
	for range count {
		video := uuid.NewString()
		resp, err := f.profile.MutateFavorite(f.ctx, &profilev1.MutateFavoriteRequest{
			VideoId: video, FavoriteType: profilev1.FavoriteType_FAVORITE_TYPE_LIKE, Action: profilev1.FavoriteAction_FAVORITE_ACTION_ADD,
		})
		f.expect("like", err == nil && resp.GetChanged(), resp, err)
		report, err := f.profile.UpsertWatchProgress(f.ctx, &profilev1.UpsertWatchProgressRequest{VideoId: video, Progress: &profilev1.WatchProgress{
			PositionSeconds: seconds, ProgressRatio: new(half), TotalWatchSeconds: seconds,
		}})
		f.expect("watch", err == nil && report.GetRecorded(), report, err)
		liked = append(liked, video)
	}
	slices.Reverse(liked)

	var favorites, history []string
	var failure error
	for item, err := range f.profile.Favorites(f.ctx, &profilev1.ListFavoritesRequest{PageSize: pageSize, IncludeUnavailable: true}) {
		favorites, failure = append(favorites, item.GetVideoId()), errors.Join(failure, err)
	}
	f.expect("likes over three pages, newest first", failure == nil && slices.Equal(liked, favorites), favorites, failure)
	for item, err := range f.profile.WatchHistory(f.ctx, &profilev1.ListWatchHistoryRequest{PageSize: pageSize, IncludeUnavailable: true}) {
		history, failure = append(history, item.GetVideoId()), errors.Join(failure, err)
	}
	f.expect("history over three pages, newest first", failure == nil && slices.Equal(liked, history), history, failure)
}

func (f *flow) refusals() {
	_, err := f.profile.MutateFavorite(f.ctx, &profilev1.MutateFavoriteRequest{VideoId: "x"})
	f.refused("a bad request", err, profilev1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT)
	refused, ok := errors.AsType[*client.Error](err)
	f.expect("has every violation", ok && len(refused.Violations) == 3, err)
	_, err = f.profile.GetProfile(f.ctx, &profilev1.GetProfileRequest{UserId: uuid.NewString()})
	f.refused("another user is refused", err, profilev1.ErrorReason_ERROR_REASON_PERMISSION_DENIED)
}
