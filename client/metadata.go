package client

import (
	"context"
	"encoding/base64"
	"strconv"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	profilev1 "github.com/lingo-services/profile/api/profile/v1"
)

// AsUser makes calls with ctx act for an end user, a UUID, as a gateway does that has verified who it is. The service
// honours it from gateways it trusts. Services that name user_id in requests do not need it.
func AsUser(ctx context.Context, userID string) context.Context {
	claims := base64.RawURLEncoding.EncodeToString([]byte(`{"sub":` + strconv.Quote(userID) + `}`))
	return metadata.AppendToOutgoingContext(ctx, "x-apigateway-api-userinfo", claims)
}

// IfMatch makes UpdateProfile and UpdatePreferences with ctx change only the version that has this etag, else they
// fail with PRECONDITION_FAILED.
func IfMatch(ctx context.Context, etag string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "x-md-if-match", etag)
}

// ProfileIfChanged is GetProfile for a caller that keeps the profile of the given etag, or none when it is empty.
// profile is nil when that is still current. current is the etag to keep.
func (c *Client) ProfileIfChanged(ctx context.Context, req *profilev1.GetProfileRequest, etag string, opts ...grpc.CallOption) (profile *profilev1.Profile, current string, err error) {
	if etag != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "x-md-if-none-match", etag)
	}
	var header metadata.MD
	resp, err := c.GetProfile(ctx, req, append(opts, grpc.Header(&header))...)
	if err != nil {
		return nil, "", err
	}
	if tags := header.Get("etag"); len(tags) > 0 {
		etag = tags[0]
	}
	return resp.GetProfile(), etag, nil
}
