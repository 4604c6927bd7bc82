package test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestS35_EventsFollowTheLastEmittedRatio(t *testing.T) {
	t.Parallel()
	s := newCinema(t)
	for name, c := range map[string]struct {
		ratios []float64
		want   [][]string
	}{
		"exactly 5 points":     {[]float64{0.10, 0.15}, [][]string{{"first_watch"}, {"progressed"}}},
		"4.99 points":          {[]float64{0.10, 0.1499}, [][]string{{"first_watch"}}},
		"exactly 5 back":       {[]float64{0.20, 0.15}, [][]string{{"first_watch"}, {"progressed"}}},
		"4.99 points back":     {[]float64{0.20, 0.1501}, [][]string{{"first_watch"}}},
		"float noise":          {[]float64{0.29, 0.34}, [][]string{{"first_watch"}, {"progressed"}}},
		"steps add up":         {[]float64{0.10, 0.12, 0.14, 0.1499, 0.15}, [][]string{{"first_watch"}, {"progressed"}}},
		"completion":           {[]float64{0.94, 0.95}, [][]string{{"first_watch"}, {"completed"}}},
		"one event per report": {[]float64{0.10, 0.97}, [][]string{{"first_watch"}, {"progressed", "completed"}}},
		"all at once":          {[]float64{0.97}, [][]string{{"first_watch", "completed"}}},
		"never watched":        {[]float64{0.01, 0.0499, 0.02}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := newViewing(s)
			for _, value := range c.ratios {
				v.report(t, ratio(value))
			}
			var got [][]string
			for _, event := range v.events(t) {
				got = append(got, causes(event))
			}
			require.Equal(t, c.want, got)
			require.Equal(t, int64(len(c.want)), tallyOf(t, s, v.user).EventSeq)
		})
	}
}

func TestS35_LateReportsEmitOnlyForFirstWatchOrCompletion(t *testing.T) {
	t.Parallel()
	s := newCinema(t)
	for name, c := range map[string]struct {
		newest, late float64
		want         []string
	}{
		"moved far":          {0.50, 0.90, nil},
		"first watch":        {0.01, 0.50, []string{"first_watch"}},
		"completion":         {0.50, 0.95, []string{"completed"}},
		"completed before":   {0.96, 0.99, nil},
		"first and complete": {0.01, 0.99, []string{"first_watch", "completed"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := newViewing(s)
			v.report(t, ago(time.Minute), ratio(c.newest))
			before := len(v.events(t))
			v.report(t, ago(time.Hour), ratio(c.late))
			after := v.events(t)
			if c.want == nil {
				require.Len(t, after, before)
				return
			}
			require.Len(t, after, before+1)
			require.Equal(t, c.want, causes(after[before]))
		})
	}
}

func TestP3_AStreamOfSmallStepsKeepsEmitting(t *testing.T) {
	t.Parallel()
	v := newViewing(newCinema(t))
	for percent := 5; percent <= 45; percent++ {
		v.report(t, ratio(float64(percent)/100))
	}
	var emitted []float64
	for _, event := range v.events(t) {
		emitted = append(emitted, event.GetProgress().GetProgressRatio())
	}
	require.InDeltaSlice(t, []float64{0.05, 0.10, 0.15, 0.20, 0.25, 0.30, 0.35, 0.40, 0.45}, emitted, 1e-9)
}

func TestS35_AnEventCarriesProgressAndCountersAfterTheReport(t *testing.T) {
	t.Parallel()
	v := lasting(t, newCinema(t), 200)
	resp := v.report(t, ago(time.Minute), position(50), total(45), numbered("tab", 3))
	events := v.events(t)
	require.Len(t, events, 1)
	e := events[0]
	require.Equal(t, v.user.String(), e.GetUserId())
	require.Equal(t, v.video.String(), e.GetVideoId())
	require.Equal(t, showtime.Add(-time.Minute), e.GetOccurredAt().AsTime())
	require.Equal(t, resp.GetProgress().String(), e.GetProgress().String())
	require.Equal(t, resp.GetStats().String(), e.GetStats().String())
	require.Equal(t, "tab", e.GetContext().GetFields()["session_id"].GetStringValue())
	require.Equal(t, []string{"first_watch"}, causes(e))
}

func TestS35_UnrecordedMovementEmitsNothingLater(t *testing.T) {
	t.Parallel()
	v := newViewing(newCinema(t))
	v.report(t, ratio(0.10), total(5))
	v.report(t, ratio(0.12), total(500))
	require.Len(t, v.events(t), 1, "seconds alone are no event")
	require.Equal(t, int64(500), v.stats(t).TotalWatchSeconds, "but they count")
}
