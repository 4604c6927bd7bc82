package main

import (
	"context"
	"fmt"
	"io"
	"net/http"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// restLike is like, by its route.
func (s *source) restLike(ctx context.Context) error {
	verb := http.MethodDelete
	if s.r.IntN(2) == 0 {
		verb = http.MethodPut
	}
	return s.rest(ctx, verb, userID(s.anyUser()).String(), "/api/v1/user/me/likes/"+videoID(s.video()).String())
}

// rest makes a call without a body as user; connections are kept.
func (s *source) rest(ctx context.Context, verb, user, path string) error {
	req, err := http.NewRequestWithContext(ctx, verb, s.job.REST+path, nil)
	if err != nil {
		return err
	}
	req.Header.Set("X-Apigateway-Api-Userinfo", userInfo(user))
	res, err := s.http.Do(req)
	if err != nil {
		return status.FromContextError(err).Err()
	}
	_, err = io.Copy(io.Discard, res.Body)
	_ = res.Body.Close()
	if err == nil && res.StatusCode >= http.StatusBadRequest {
		err = status.Error(codes.Unknown, fmt.Sprint("HTTP ", res.StatusCode))
	}
	return err
}
