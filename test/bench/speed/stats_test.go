package main

import (
	"context"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
)

func TestMedian(t *testing.T) {
	t.Parallel()
	assert.InDelta(t, 2, median([]float64{3, 1, 2}), 0)
	assert.InDelta(t, 2.5, median([]float64{4, 1, 3, 2}), 0)
	assert.True(t, math.IsNaN(median(nil)))
	values := []float64{3, 1, 2}
	median(values)
	assert.Equal(t, []float64{3, 1, 2}, values, "the order of the turns stays")
}

func TestVerdict(t *testing.T) {
	t.Parallel()
	e := &entry{}
	assert.Equal(t, "not judged", e.verdict())
	for _, v := range []float64{0.9, 1.1, 1.2} {
		e.add("ratio", "", v, atLeast(1))
	}
	assert.Equal(t, "held", e.verdict(), "the median decides")
	e.add("failed", "%", 0, atMost(0))
	assert.Equal(t, "held", e.verdict())
	e.add("failed", "%", 2, nil)
	assert.Equal(t, "missed", e.verdict(), "every bound must hold, and the first one given stays")
	assert.Equal(t, "1.10 (0.900–1.20)", e.find("ratio").String())
	assert.Nil(t, e.find("nothing"))
	assert.False(t, figure{Bound: atMost(1)}.held(), "what was not measured does not hold")
}

// A server that stops for a second while a hundred calls a second are due delays all of them; the one that
// happened to be on its way is not the only slow one.
func TestOpenLoopCountsWaiting(t *testing.T) {
	t.Parallel()
	stall := &stalling{from: 500 * time.Millisecond, to: 1500 * time.Millisecond, start: time.Now()}
	idle := make(chan caller, 1)
	idle <- stall // one call at a time: arrivals during the stall have no caller
	res, err := openLoop(t.Context(), idle, 100, 2*time.Second, 10*time.Second, newRand(1, 1))
	require.NoError(t, err)
	assert.Greater(t, res.Answers[notSent].Count, int64(50), "what could not be sent is a failure, not silence")
	assert.InDelta(t, 200, res.calls(), 60)

	stall.start = time.Now()
	wide := make(chan caller, 1000)
	for range cap(wide) {
		wide <- stall
	}
	res, err = openLoop(t.Context(), wide, 100, 2*time.Second, 10*time.Second, newRand(1, 1))
	require.NoError(t, err)
	require.Zero(t, res.failures())
	h, err := res.latency(isAccepted)
	require.NoError(t, err)
	assert.Greater(t, millis(h, 0.75), 250.0, "half of the calls were due while it was stopped")
}

// stalling answers at once, except between two moments.
type stalling struct {
	start    time.Time
	from, to time.Duration
}

func (s *stalling) call(ctx context.Context) error {
	if at := time.Since(s.start); at >= s.from && at < s.to {
		waited(ctx, s.to-at)
	}
	return nil
}

func TestLatencyCountsFromWhenItWasDue(t *testing.T) {
	t.Parallel()
	start := time.Now()
	r := newRecorder(start, time.Second)
	r.answered(1, start, start.Add(900*time.Millisecond), start.Add(time.Second), answer{reason: accepted})
	res, err := r.result(2 * time.Second)
	require.NoError(t, err)
	due, err := res.latency(isAccepted)
	require.NoError(t, err)
	sent, err := res.service(isAccepted)
	require.NoError(t, err)
	assert.InDelta(t, 1000, millis(due, 0.5), 2)
	assert.InDelta(t, 100, millis(sent, 0.5), 1)
	assert.InDelta(t, 0.5, res.rate(), 0)
	assert.Equal(t, int64(1), res.OK[10])
}

func TestScheduleKeepsItsRate(t *testing.T) {
	t.Parallel()
	next := schedule(1000, newRand(1, 1))
	n := 0
	for at := next(); at < 20*time.Second; at = next() {
		n++
	}
	assert.InDelta(t, 20_000, n, 600)
}

func TestZipf(t *testing.T) {
	t.Parallel()
	const n, draws = 1000, 200_000
	video, err := newSpread(zipf, n, newRand(1, 1))
	require.NoError(t, err)
	seen := map[int]float64{}
	for range draws {
		v := video()
		require.True(t, v >= 1 && v <= n)
		seen[v]++
	}
	total := 0.0
	for k := 1; k <= n; k++ {
		total += math.Pow(float64(k), -zipfExponent)
	}
	for _, k := range []int{1, 2, 10, 100} {
		expected := draws * math.Pow(float64(k), -zipfExponent) / total
		assert.InDelta(t, expected, seen[k], 5*math.Sqrt(expected), "weight of number %d", k)
	}
	_, err = newSpread("other", n, newRand(1, 1))
	require.Error(t, err)
}

func TestWarmVideosAreDifferent(t *testing.T) {
	t.Parallel()
	d := dataset{Users: 50, Videos: 33, Warm: 20}
	for user := 1; user <= d.Users; user++ {
		liked, watched := map[int]bool{}, map[int]bool{}
		for k := range d.Warm {
			liked[d.liked(user, k)], watched[d.watched(user, k)] = true, true
		}
		require.Len(t, liked, d.Warm)
		require.Len(t, watched, d.Warm)
	}
}

func TestRecovery(t *testing.T) {
	t.Parallel()
	ok := make([]int64, 100) // ten seconds
	for i := range ok {
		if i < 20 || i >= 55 {
			ok[i] = 10
		}
	}
	assert.InDelta(t, 100, rateBetween(ok, 0, 2*time.Second), 0)
	took, recovered := recovery(ok, 4*time.Second, 90)
	require.True(t, recovered)
	assert.Equal(t, 1400*time.Millisecond, took, "from a tenth of a second that is still empty, nine in ten are enough")
	_, recovered = recovery(ok, 4*time.Second, 200)
	assert.False(t, recovered)
	assert.Zero(t, rateBetween(ok, 20*time.Second, 30*time.Second))
}

func TestJudge(t *testing.T) {
	t.Parallel()
	assert.Equal(t, answer{reason: accepted}, judge(nil))
	refusal, err := status.New(codes.ResourceExhausted, "no").WithDetails(
		&errdetails.ErrorInfo{Reason: "OVERLOADED"}, &errdetails.RetryInfo{RetryDelay: durationpb.New(time.Second)})
	require.NoError(t, err)
	assert.Equal(t, answer{reason: "ResourceExhausted/OVERLOADED", retryInfo: true}, judge(refusal.Err()))
	assert.True(t, isRefusal("ResourceExhausted/OVERLOADED"))
	assert.False(t, isRefusal(accepted))
}

func TestTransactionRate(t *testing.T) {
	t.Parallel()
	rate, err := transactionRate([]byte("number of failed transactions: 0 (0.000%)\ntps = 12.5 (without initial connection time)\n"))
	require.NoError(t, err)
	assert.InDelta(t, 12.5, rate, 0)
	rate, err = transactionRate([]byte("number of transactions actually processed: 0\n"))
	require.NoError(t, err)
	assert.Zero(t, rate)
	for _, text := range []string{"", "number of failed transactions: 3 (1%)\ntps = 1", "client 1 aborted\ntps = 1"} {
		_, err := transactionRate([]byte(text))
		require.Error(t, err, text)
	}
}
