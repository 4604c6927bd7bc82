package main

import (
	"context"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	profilev1 "github.com/lingo-services/profile/api/profile/v1"
)

// halfRefusing accepts every second like, and looks at what it is sent.
type halfRefusing struct {
	profilev1.UnimplementedProfileServiceServer
	calls, strangers atomic.Int64
}

func (s *halfRefusing) MutateFavorite(ctx context.Context, req *profilev1.MutateFavoriteRequest) (*profilev1.MutateFavoriteResponse, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	if _, patient := ctx.Deadline(); !patient || first(md.Get(identityHeader)) != userInfo(req.GetUserId()) || len(req.GetVideoId()) == 0 {
		s.strangers.Add(1)
	}
	if s.calls.Add(1)%2 == 0 {
		return &profilev1.MutateFavoriteResponse{}, nil
	}
	refusal, err := status.New(codes.ResourceExhausted, "later").WithDetails(
		&errdetails.ErrorInfo{Reason: "OVERLOADED"}, &errdetails.RetryInfo{RetryDelay: durationpb.New(time.Second)})
	if err != nil {
		return nil, err
	}
	return nil, refusal.Err()
}

// What a flood counts is what the server did, with connections that end in between.
func TestFloodCountsWhatTheServerAnswered(t *testing.T) {
	t.Parallel()
	service := &halfRefusing{}
	server := grpc.NewServer(grpc.MaxConcurrentStreams(streams), grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionAge: 300 * time.Millisecond, MaxConnectionAgeGrace: time.Second}))
	profilev1.RegisterProfileServiceServer(server, service)
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	t.Cleanup(func() {
		server.Stop()
		require.NoError(t, <-served)
	})
	j := job{
		Target: l.Addr().String(), Work: workLike, Spread: uniform, Data: dataset{Users: 100, Videos: 100, Warm: 1},
		Rate: 2000, Callers: 10, Outstanding: 1000, Length: time.Second, Deadline: 5 * time.Second, Seed: 1, Bare: true,
	}
	res, err := j.run(t.Context())
	require.NoError(t, err)
	const refusal = "ResourceExhausted/OVERLOADED"
	assert.InDelta(t, 2000, res.calls(), 400, "arrivals are random")
	assert.Equal(t, service.calls.Load(), res.Answers[accepted].Count+res.Answers[refusal].Count, "%v", failuresOf(res))
	assert.InDelta(t, res.Answers[accepted].Count, res.Answers[refusal].Count, 1)
	assert.Equal(t, res.Answers[refusal].Count, res.Answers[refusal].RetryInfo)
	assert.Zero(t, service.strangers.Load(), "every call says who calls and how long they wait")
	assert.Equal(t, res.calls()-res.Answers[connectionLost].Count-res.Answers[notSent].Count, service.calls.Load())
}

// A server that does not answer is told of as such.
func TestFloodOfAServerThatIsGone(t *testing.T) {
	t.Parallel()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 2 {
			if conn, err := l.Accept(); err == nil {
				_ = conn.Close()
			}
		}
	}()
	var lost atomic.Int64
	w, err := dialWire(t.Context(), l.Addr().String(), time.Second, func(_ wireCall, a answer) {
		assert.Equal(t, connectionLost, a.reason)
		lost.Add(1)
	})
	require.NoError(t, err)
	sent, err := w.send(wireCall{}, request{user: "u", method: "/x/Y", message: &profilev1.MutateFavoriteRequest{}})
	require.NoError(t, err)
	w.flush()
	w.read()
	_, open := w.waiting()
	assert.False(t, open)
	assert.Equal(t, sent, lost.Load() == 1)
	require.NoError(t, l.Close())
	<-done
}

// wordy answers more than a connection takes unasked, and watches how many ask at a time.
type wordy struct {
	profilev1.UnimplementedProfileServiceServer
	calls, now, most, weak atomic.Int64
}

func (s *wordy) BatchQueryFavorite(ctx context.Context, req *profilev1.BatchQueryFavoriteRequest) (*profilev1.BatchQueryFavoriteResponse, error) {
	s.calls.Add(1)
	for n := s.now.Add(1); n > s.most.Load(); {
		s.most.CompareAndSwap(s.most.Load(), n)
	}
	defer s.now.Add(-1)
	if md, _ := metadata.FromIncomingContext(ctx); first(md.Get(consistencyHeader)) != strong || len(req.GetVideoIds()) != batchIDs {
		s.weak.Add(1)
	}
	return &profilev1.BatchQueryFavoriteResponse{Summaries: []*profilev1.FavoriteSummary{{VideoId: strings.Repeat("x", 100_000)}}}, nil
}

func TestBareCallersWaitForTheirAnswers(t *testing.T) {
	t.Parallel()
	service := &wordy{}
	server := grpc.NewServer()
	profilev1.RegisterProfileServiceServer(server, service)
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	t.Cleanup(func() {
		server.Stop()
		require.NoError(t, <-served)
	})
	j := job{
		Target: l.Addr().String(), Work: workBatchCold, Spread: uniform, Data: dataset{Users: 100, Videos: 100, Warm: 1},
		Callers: 5, Outstanding: 100, Length: 300 * time.Millisecond, Deadline: 5 * time.Second, Seed: 1, Bare: true,
	}
	res, err := j.run(t.Context())
	require.NoError(t, err)
	assert.Equal(t, service.calls.Load(), res.Answers[accepted].Count, "%v", failuresOf(res))
	assert.Greater(t, service.calls.Load(), int64(10))
	assert.LessOrEqual(t, service.most.Load(), int64(5))
	assert.Zero(t, service.weak.Load())
}
