package main

import (
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// job is what the load generator is asked to do. It travels as JSON on its standard input.
type job struct {
	Target string `json:"target"`
	// REST is where the same service answers HTTP.
	REST string `json:"rest"`
	// Work is a name of works, Spread of newSpread.
	Work   string  `json:"work"`
	Spread string  `json:"spread"`
	Data   dataset `json:"data"`
	// Callers are the callers of a closed loop. With Rate, calls a second, the loop is open instead.
	Callers int     `json:"callers"`
	Rate    float64 `json:"rate"`
	// Bare: calls go over connections that cost the least. Not for REST, echoes and journals.
	Bare bool `json:"bare"`
	// Outstanding bounds the unanswered calls of an open loop; a call beyond it fails as NotSent.
	Outstanding int           `json:"outstanding"`
	Length      time.Duration `json:"length"`
	// Deadline is the caller's patience with one call.
	Deadline time.Duration `json:"deadline"`
	Seed     uint64        `json:"seed"`
	// Journal, when not empty, is the file that gets "user video" of every acknowledged like; see journalled.
	Journal string `json:"journal"`
	// Size is the length of an echo's answer.
	Size int `json:"size"`
	// User and PageToken are the one list of the work "page".
	User      string `json:"user"`
	PageToken string `json:"page_token"`
	PageSize  int    `json:"page_size"`
}

// Reasons that no server gives.
const (
	accepted = "OK"
	notSent  = "NotSent"
)

// answers are those of one reason: accepted, notSent, or CODE/REASON.
type answers struct {
	Count int64 `json:"count"`
	// RetryInfo is how many of them said when to try again.
	RetryInfo int64 `json:"retry_info"`
	// Latency is an encoded histogram of microseconds from when the call was due, Service from when it was sent.
	Latency []byte `json:"latency"`
	Service []byte `json:"service"`
}

// loadResult is the load generator's answer.
type loadResult struct {
	Start   time.Time          `json:"start"`
	Seconds float64            `json:"seconds"`
	Answers map[string]answers `json:"answers"`
	// OK and Failed count answers by the tenth of a second in which they came.
	OK     []int64 `json:"ok"`
	Failed []int64 `json:"failed"`
	// CPU is the generator's own processor time in seconds.
	CPU float64 `json:"cpu"`
}

// rate is accepted calls a second.
func (r loadResult) rate() float64 {
	if r.Seconds == 0 {
		return 0
	}
	return float64(r.Answers[accepted].Count) / r.Seconds
}

func (r loadResult) failures() (n int64) {
	for reason, a := range r.Answers {
		if reason != accepted {
			n += a.Count
		}
	}
	return n
}

func (r loadResult) calls() int64 { return r.Answers[accepted].Count + r.failures() }

// failedShare is in [0,1].
func (r loadResult) failedShare() float64 {
	return float64(r.failures()) / float64(max(1, r.calls()))
}

// latency merges the histograms of the reasons that pass; service does for the time from sending.
func (r loadResult) latency(pass func(reason string) bool) (*hdrhistogram.Histogram, error) {
	return r.merged(pass, func(a answers) []byte { return a.Latency })
}

func (r loadResult) service(pass func(reason string) bool) (*hdrhistogram.Histogram, error) {
	return r.merged(pass, func(a answers) []byte { return a.Service })
}

func (r loadResult) merged(pass func(reason string) bool, which func(answers) []byte) (*hdrhistogram.Histogram, error) {
	sum := newHistogram()
	for reason, a := range r.Answers {
		if !pass(reason) || len(which(a)) == 0 {
			continue
		}
		h, err := hdrhistogram.Decode(which(a))
		if err != nil {
			return nil, fmt.Errorf("decode histogram of %s: %w", reason, err)
		}
		sum.Merge(h)
	}
	return sum, nil
}

func isAccepted(reason string) bool { return reason == accepted }

// millis is a quantile of a histogram of microseconds.
func millis(h *hdrhistogram.Histogram, q float64) float64 {
	const percent, perMilli = 100, 1000
	return float64(h.ValueAtPercentile(q*percent)) / perMilli
}
