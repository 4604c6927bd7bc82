package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	profilev1 "github.com/lingo-services/profile/api/profile/v1"
)

// The names of works.
const (
	workLike        = "like"
	workProgress    = "progress"
	workBatchCold   = "batch-cold"
	workBatchWarm   = "batch-warm"
	workBatchRandom = "batch-random"
	workFavorites   = "favorites"
	workHistory     = "history"
	workProfile     = "profile"
	workRESTProfile = "rest-profile"
	workRESTLike    = "rest-like"
	workMixed       = "mixed"
	workEcho        = "echo"
	workPage        = "page"
	workJournal     = "journal"
)

// Shape of the work.
const (
	batchIDs = 50
	pageRows = 20
	// A progress session is ten reports, ten seconds of the video apart. One session in ten begins a video
	// that the user has not watched.
	sessionReports = 10
	reportSeconds  = 10
	newVideoShare  = 10
	videoSeconds   = 600
)

// strong asks to go past caches.
const consistencyHeader, strong = "x-md-consistency", "strong"

// request is one call of the gRPC interface.
type request struct {
	user, method string
	// consistency is empty for what every caller gets.
	consistency string
	message     proto.Message
	reply       func() proto.Message
}

// source makes the calls of one caller, one at a time.
type source struct {
	job   *job
	conn  grpc.ClientConnInterface
	http  *http.Client
	r     *rand.Rand
	video func() int
	// videoIDs are those of all videos, made beforehand as pgbench's arrays are.
	videoIDs []string
	// shared counts journalled likes over all sources.
	shared *atomic.Int64
	// The progress session.
	user, watched    int
	position, report int64
	acknowledged     func(user, video int) error
}

// call performs the next call.
func (s *source) call(ctx context.Context) error {
	switch s.job.Work {
	case workRESTProfile:
		return s.rest(ctx, http.MethodGet, userID(s.anyUser()).String(), "/api/v1/user/me")
	case workRESTLike:
		return s.restLike(ctx)
	case workEcho:
		return s.echo(ctx)
	case workJournal:
		return s.journalled(ctx)
	}
	r, err := s.next()
	if err != nil {
		return err
	}
	return s.invoke(ctx, r)
}

// invoke calls with the framework's client.
func (s *source) invoke(ctx context.Context, r request) error {
	ctx = as(ctx, r.user)
	if r.consistency != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, consistencyHeader, r.consistency)
	}
	return s.conn.Invoke(ctx, r.method, r.message, r.reply())
}

// next is the next call of work that consists of calls alone.
func (s *source) next() (request, error) {
	switch s.job.Work {
	case workLike:
		return s.like(), nil
	case workProgress:
		return s.progress(), nil
	case workBatchCold:
		r := s.batch()
		r.consistency = strong
		return r, nil
	case workBatchWarm:
		return s.screen(), nil
	case workBatchRandom:
		return s.batch(), nil
	case workFavorites:
		return favorites(userID(s.anyUser()), "", pageRows), nil
	case workHistory:
		return s.history(), nil
	case workProfile:
		return s.profile(), nil
	case workMixed:
		return s.mixed(), nil
	case workPage:
		user, err := uuid.Parse(s.job.User)
		return favorites(user, s.job.PageToken, s.job.PageSize), err
	}
	return request{}, fmt.Errorf("unknown work %q", s.job.Work)
}

func (s *source) anyUser() int { return 1 + s.r.IntN(s.job.Data.Users) }

// identityHeader is how the gateway says who calls.
const identityHeader = "x-apigateway-api-userinfo"

// as identifies the caller as the gateway does.
func as(ctx context.Context, user string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, identityHeader, userInfo(user))
}

// like adds or removes a like at random.
func (s *source) like() request { return likeOf(s.anyUser(), s.video(), s.r.IntN(2) == 0) }

func likeOf(user, video int, add bool) request {
	id := userID(user).String()
	action := profilev1.FavoriteAction_FAVORITE_ACTION_REMOVE
	if add {
		action = profilev1.FavoriteAction_FAVORITE_ACTION_ADD
	}
	return request{
		user: id, method: profilev1.ProfileService_MutateFavorite_FullMethodName,
		message: &profilev1.MutateFavoriteRequest{
			UserId: id, VideoId: videoID(video).String(), FavoriteType: profilev1.FavoriteType_FAVORITE_TYPE_LIKE, Action: action,
		},
		reply: func() proto.Message { return new(profilev1.MutateFavoriteResponse) },
	}
}

// journalRounds is how often users may go round before a run touches what another one has.
const journalRounds = 16

// journalled adds a like that no other call touches, of this run or of those before, and notes it once it is acknowledged.
func (s *source) journalled(ctx context.Context) error {
	n := int(s.shared.Add(1))
	// Users go round; every round takes another video.
	first := int(s.job.Seed) * journalRounds
	user, video := 1+n%s.job.Data.Users, 1+(first+n/s.job.Data.Users+n)%s.job.Data.Videos
	if err := s.invoke(ctx, likeOf(user, video, true)); err != nil {
		return err
	}
	return s.acknowledged(user, video)
}

func (s *source) progress() request {
	if s.report%sessionReports == 0 {
		s.user, s.position = s.anyUser(), int64(s.r.IntN(videoSeconds-sessionReports*reportSeconds))
		s.watched = s.job.Data.watched(s.user, s.r.IntN(s.job.Data.Warm))
		if s.r.IntN(newVideoShare) == 0 {
			s.watched = s.video()
		}
	}
	s.report++
	s.position += reportSeconds
	id, ratio := userID(s.user).String(), float64(s.position)/videoSeconds
	return request{
		user: id, method: profilev1.ProfileService_UpsertWatchProgress_FullMethodName,
		message: &profilev1.UpsertWatchProgressRequest{
			UserId: id, VideoId: videoID(s.watched).String(),
			Progress: &profilev1.WatchProgress{PositionSeconds: s.position, ProgressRatio: &ratio, TotalWatchSeconds: watchedSeconds(time.Now()) + s.position},
		},
		reply: func() proto.Message { return new(profilev1.UpsertWatchProgressResponse) },
	}
}

// watchedSeconds grows with time, so that a later session of the same video adds to its total.
func watchedSeconds(now time.Time) int64 {
	return int64(now.Sub(time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)) / time.Second)
}

func (s *source) batch() request {
	videos := make([]string, batchIDs)
	for i := range videos {
		videos[i] = s.videoIDs[s.video()]
	}
	return states(s.anyUser(), videos)
}

// visitors come back to their screen; together they see what the shipped cache holds.
const visitors = 500

// screen asks for what one of the visitors has on theirs, always the same.
func (s *source) screen() request {
	user := 1 + s.r.IntN(min(visitors, s.job.Data.Users))
	videos := make([]string, batchIDs)
	for i := range videos {
		videos[i] = s.videoIDs[1+(user*batchIDs+i)%s.job.Data.Videos]
	}
	return states(user, videos)
}

func states(user int, videos []string) request {
	id := userID(user).String()
	return request{
		user: id, method: profilev1.ProfileService_BatchQueryFavorite_FullMethodName,
		message: &profilev1.BatchQueryFavoriteRequest{UserId: id, VideoIds: videos, IncludeStats: true},
		reply:   func() proto.Message { return new(profilev1.BatchQueryFavoriteResponse) },
	}
}

func favorites(user uuid.UUID, token string, rows int) request {
	id := user.String()
	return request{
		user: id, method: profilev1.ProfileService_ListFavorites_FullMethodName,
		message: &profilev1.ListFavoritesRequest{
			UserId: id, PageSize: int32(rows), PageToken: token, FavoriteType: profilev1.FavoriteType_FAVORITE_TYPE_LIKE,
		},
		reply: func() proto.Message { return new(profilev1.ListFavoritesResponse) },
	}
}

func (s *source) history() request {
	id := userID(s.anyUser()).String()
	return request{
		user: id, method: profilev1.ProfileService_ListWatchHistory_FullMethodName,
		message: &profilev1.ListWatchHistoryRequest{UserId: id, PageSize: pageRows},
		reply:   func() proto.Message { return new(profilev1.ListWatchHistoryResponse) },
	}
}

func (s *source) profile() request {
	id := userID(s.anyUser()).String()
	return request{
		user: id, method: profilev1.ProfileService_GetProfile_FullMethodName,
		message: &profilev1.GetProfileRequest{UserId: id},
		reply:   func() proto.Message { return new(profilev1.GetProfileResponse) },
	}
}

// mixed is three likes and three progress reports to two batch reads and two lists.
func (s *source) mixed() request {
	const of, likes, reports, batches, lists = 10, 3, 6, 8, 9
	switch n := s.r.IntN(of); {
	case n < likes:
		return s.like()
	case n < reports:
		return s.progress()
	case n < batches:
		return s.batch()
	case n < lists:
		return favorites(userID(s.anyUser()), "", pageRows)
	}
	return s.history()
}

// echo sends what GetProfile sends, identity included, and gets as many bytes as it answers.
func (s *source) echo(ctx context.Context) error {
	id := userID(s.anyUser()).String()
	out := new(wrapperspb.BytesValue)
	return s.conn.Invoke(metadata.AppendToOutgoingContext(as(ctx, id), sizeHeader, strconv.Itoa(s.job.Size)), echoMethod, wrapperspb.String(id), out)
}
