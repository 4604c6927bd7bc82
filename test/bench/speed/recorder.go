package main

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Histograms hold microseconds up to five minutes with three digits.
const (
	longest = 5 * time.Minute
	digits  = 3
	shards  = 16
	// slice is the width of a bucket of the timeline.
	slice = 100 * time.Millisecond
)

func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(1, longest.Microseconds(), digits)
}

// record adds a latency; what the histogram cannot hold counts as its greatest or least value.
func record(h *hdrhistogram.Histogram, d time.Duration) {
	// The value is within bounds, which is all that RecordValue objects to.
	_ = h.RecordValue(min(max(d, time.Microsecond), longest).Microseconds())
}

// outcome is one kind of answer.
type outcome struct {
	count, retryInfo int64
	// latency counts from when the call was due, service from when it was sent.
	latency, service *hdrhistogram.Histogram
}

func newOutcome() *outcome { return &outcome{latency: newHistogram(), service: newHistogram()} }

// recorder collects answers from any number of goroutines.
type recorder struct {
	start  time.Time
	shards [shards]struct {
		mu       sync.Mutex
		outcomes map[string]*outcome
	}
	ok, failed []atomic.Int64
}

// newRecorder keeps a timeline that is as long as the run and what may come after it.
func newRecorder(start time.Time, length time.Duration) *recorder {
	n := int((length+longest)/slice) + 1
	r := &recorder{start: start, ok: make([]atomic.Int64, n), failed: make([]atomic.Int64, n)}
	for i := range r.shards {
		r.shards[i].outcomes = map[string]*outcome{}
	}
	return r
}

// answered notes the answer to a call that was meant to begin at intended. In an open loop that is when its
// time had come, not when it could be sent: a generator or a server that stops shows in every call it delays,
// which is the correction for coordinated omission.
func (r *recorder) answered(worker int, intended, sent, now time.Time, a answer) {
	bucket := min(max(int(now.Sub(r.start)/slice), 0), len(r.ok)-1)
	if a.reason == accepted {
		r.ok[bucket].Add(1)
	} else {
		r.failed[bucket].Add(1)
	}
	s := &r.shards[worker%shards]
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.outcomes[a.reason]
	if o == nil {
		o = newOutcome()
		s.outcomes[a.reason] = o
	}
	o.count++
	if a.retryInfo {
		o.retryInfo++
	}
	record(o.latency, now.Sub(intended))
	record(o.service, now.Sub(sent))
}

// result sums up; no call may be running any more.
func (r *recorder) result(elapsed time.Duration) (loadResult, error) {
	total := map[string]*outcome{}
	for i := range r.shards {
		for reason, o := range r.shards[i].outcomes {
			sum := total[reason]
			if sum == nil {
				sum = newOutcome()
				total[reason] = sum
			}
			sum.count += o.count
			sum.retryInfo += o.retryInfo
			sum.latency.Merge(o.latency)
			sum.service.Merge(o.service)
		}
	}
	res := loadResult{Start: r.start, Seconds: elapsed.Seconds(), Answers: map[string]answers{}}
	for reason, o := range total {
		a := answers{Count: o.count, RetryInfo: o.retryInfo}
		for to, h := range map[*[]byte]*hdrhistogram.Histogram{&a.Latency: o.latency, &a.Service: o.service} {
			encoded, err := h.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
			if err != nil {
				return res, fmt.Errorf("encode histogram: %w", err)
			}
			*to = encoded
		}
		res.Answers[reason] = a
	}
	last := min(int(elapsed/slice)+1, len(r.ok))
	for i := range last {
		res.OK = append(res.OK, r.ok[i].Load())
		res.Failed = append(res.Failed, r.failed[i].Load())
	}
	return res, nil
}
