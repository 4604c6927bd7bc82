package observability

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/lingo-services/profile/internal/models"
)

// Metrics counts what the service does. Labels are bounded: never a user or a video.
type Metrics struct {
	Registry *prometheus.Registry

	engagements *prometheus.CounterVec
	progress    *prometheus.CounterVec
	doubts      *prometheus.CounterVec
	preferences prometheus.Counter
	drift       prometheus.Counter
	requests    *prometheus.HistogramVec
	batches     *prometheus.HistogramVec
	waits       *prometheus.HistogramVec
	refused     *prometheus.CounterVec
	closed      *prometheus.CounterVec
}

// NewMetrics registers everything in a registry of its own.
func NewMetrics() *Metrics {
	m := &Metrics{
		Registry: prometheus.NewRegistry(),
		engagements: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "profile_engagement_total", Help: "Likes and bookmarks that really changed.",
		}, []string{"type", "action"}),
		progress: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "profile_watch_progress_total", Help: "Progress reports by outcome; ok when there is nothing to explain.",
		}, []string{"outcome"}),
		doubts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "profile_watch_doubt_total", Help: "Reports that are hard to believe: seconds_cut, implausible_rate, ratio_gap.",
		}, []string{"doubt"}),
		preferences: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "profile_preferences_update_total", Help: "Preference changes that were stored.",
		}),
		drift: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "profile_stats_drift_total", Help: "Transactions refused because a counter would have become negative. Alert on any.",
		}),
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "profile_request_duration_seconds", Help: "Time to answer by method and code.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .2, .5, 1, 5},
		}, []string{"method", "code"}),
		batches: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "profile_batch_commands", Help: "Commands that shared a transaction, by kind.",
			Buckets: []float64{1, 2, 4, 8, 16, 32, 64, 128, 256},
		}, []string{"kind"}),
		waits: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "profile_batch_wait_seconds", Help: "How long the first command of a shared transaction had waited for it, by kind.",
			Buckets: []float64{.0001, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1},
		}, []string{"kind"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "profile_http_refused_total", Help: "REST requests that HTTP itself refused, before there was a call, by status.",
		}, []string{"status"}),
		closed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "profile_grpc_connections_closed_total", Help: "gRPC connections closed for what their callers did, by reason.",
		}, []string{"reason"}),
	}
	m.Registry.MustRegister(m.engagements, m.progress, m.doubts, m.preferences, m.drift, m.requests, m.batches, m.waits, m.refused, m.closed,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// FavoriteChanged implements services.Observer.
func (m *Metrics) FavoriteChanged(kind models.FavoriteType, active bool) {
	action := "add"
	if !active {
		action = "remove"
	}
	m.engagements.WithLabelValues(string(kind), action).Inc()
}

// ProgressReported implements services.Observer.
func (m *Metrics) ProgressReported(outcome models.Outcome, doubts models.Doubts) {
	label := string(outcome)
	if outcome == models.OutcomeNone {
		label = "ok"
	}
	m.progress.WithLabelValues(label).Inc()
	for doubt, found := range map[string]bool{
		"seconds_cut": doubts.SecondsCut, "implausible_rate": doubts.ImplausibleRate, "ratio_gap": doubts.RatioGap,
	} {
		if found {
			m.doubts.WithLabelValues(doubt).Inc()
		}
	}
}

// PreferencesUpdated implements services.Observer.
func (m *Metrics) PreferencesUpdated() { m.preferences.Inc() }

// BatchTaken implements services.Observer.
func (m *Metrics) BatchTaken(kind string, commands int, waited time.Duration) {
	m.batches.WithLabelValues(kind).Observe(float64(commands))
	m.waits.WithLabelValues(kind).Observe(waited.Seconds())
}

// CounterDrift implements services.Observer.
func (m *Metrics) CounterDrift() { m.drift.Inc() }

// HTTPRefused implements rest.Observer.
func (m *Metrics) HTTPRefused(status int) { m.refused.WithLabelValues(strconv.Itoa(status)).Inc() }

// ConnectionClosed records a gRPC connection that the service ended for what its caller did.
func (m *Metrics) ConnectionClosed(reason string) { m.closed.WithLabelValues(reason).Inc() }

// RequestServed records one answered call.
func (m *Metrics) RequestServed(method, code string, took time.Duration) {
	m.requests.WithLabelValues(method, code).Observe(took.Seconds())
}
