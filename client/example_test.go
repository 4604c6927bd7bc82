package client_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"path"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	profilev1 "github.com/lingo-services/profile/api/profile/v1"
	"github.com/lingo-services/profile/client"
	"github.com/lingo-services/profile/internal/controllers/problem"
	"github.com/lingo-services/profile/internal/models"
)

// fromFile reads the token that the platform keeps fresh in a file.
func fromFile(context.Context) (string, error) {
	token, err := os.ReadFile("/var/run/secrets/tokens/profile")
	return strings.TrimSpace(string(token)), err
}

func ExampleNew() {
	profile, err := client.New("profile.example.com:443", client.WithTokenSource(fromFile), client.WithTLS(&tls.Config{MinVersion: tls.VersionTLS13}))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(profile.Close())
	// Output: <nil>
}

func ExampleClient_Favorites() {
	profile := library()
	defer profile.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	for favorite, err := range profile.Favorites(ctx, &profilev1.ListFavoritesRequest{UserId: learnerID}) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(favorite.GetVideo().GetTitle())
	}
	// Output:
	// Ordering coffee
	// Asking the way
	// At the doctor's
}

func ExampleReasonOf() {
	profile := library()
	defer profile.Close()
	_, err := profile.MutateFavorite(context.Background(), &profilev1.MutateFavoriteRequest{UserId: learnerID, VideoId: "0190d5a0-3333-7abc-8def-00000000abcd"})
	switch client.ReasonOf(err) {
	case profilev1.ErrorReason_ERROR_REASON_VIDEO_UNAVAILABLE:
		fmt.Println("the video is gone")
	case profilev1.ErrorReason_ERROR_REASON_FAVORITE_LIMIT_REACHED:
		fmt.Println("remove another one first")
	default:
		fmt.Println(err)
	}
	// Output: the video is gone
}

func ExampleError() {
	profile := library()
	defer profile.Close()
	_, err := profile.GetProfile(context.Background(), &profilev1.GetProfileRequest{UserId: "Ada"})
	if refused, ok := errors.AsType[*client.Error](err); ok {
		for _, v := range refused.Violations {
			fmt.Println(v.Field, v.Description)
		}
	}
	// Output: user_id must be a UUID
}

const learnerID = "11111111-1111-4111-8111-111111111111"

// shelf answers the examples: they need no database and no network.
type shelf struct {
	profilev1.UnimplementedProfileServiceServer
}

func library() *client.Client {
	c, err := client.New("passthrough:///library", client.WithInsecure(), client.WithDialOptions(grpc.WithChainUnaryInterceptor(answer)))
	if err != nil {
		panic(err)
	}
	return c
}

func answer(ctx context.Context, method string, req, reply any, _ *grpc.ClientConn, _ grpc.UnaryInvoker, _ ...grpc.CallOption) error {
	decode := func(in any) error {
		proto.Merge(in.(proto.Message), req.(proto.Message))
		return nil
	}
	for _, m := range profilev1.ProfileService_ServiceDesc.Methods {
		if m.MethodName != path.Base(method) {
			continue
		}
		resp, err := m.Handler(shelf{}, ctx, decode, nil)
		if err == nil {
			proto.Merge(reply.(proto.Message), resp.(proto.Message))
		}
		return err
	}
	return status.Error(codes.Unimplemented, method)
}

func (shelf) ListFavorites(_ context.Context, req *profilev1.ListFavoritesRequest) (*profilev1.ListFavoritesResponse, error) {
	if req.GetPageToken() == "" {
		return &profilev1.ListFavoritesResponse{Favorites: titled("Ordering coffee", "Asking the way"), NextPageToken: "2"}, nil
	}
	return &profilev1.ListFavoritesResponse{Favorites: titled("At the doctor's")}, nil
}

func titled(titles ...string) (items []*profilev1.FavoriteItem) {
	for _, title := range titles {
		items = append(items, &profilev1.FavoriteItem{Video: &profilev1.VideoMetadata{Title: title}})
	}
	return items
}

func (shelf) MutateFavorite(context.Context, *profilev1.MutateFavoriteRequest) (*profilev1.MutateFavoriteResponse, error) {
	return nil, problem.Status(models.ErrVideoUnavailable).Err()
}

func (shelf) GetProfile(context.Context, *profilev1.GetProfileRequest) (*profilev1.GetProfileResponse, error) {
	return nil, problem.Status(models.ErrInvalidArgument.With(models.Violation{Field: "user_id", Description: "must be a UUID"})).Err()
}
