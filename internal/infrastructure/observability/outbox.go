package observability

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lingo-services/profile/internal/tasks/outbox"
)

// OutboxMetrics shows what a publisher does.
type OutboxMetrics struct {
	published   *prometheus.HistogramVec
	refused     *prometheus.CounterVec
	deadLetters *prometheus.CounterVec
	broker      prometheus.Counter
	database    prometheus.Counter
	lag         prometheus.Gauge
	backlog     prometheus.Gauge
	outstanding prometheus.Gauge
	lanes       prometheus.Gauge
	blockedKeys prometheus.Gauge
}

// NewOutboxMetrics registers in the registry of m.
func NewOutboxMetrics(m *Metrics) *OutboxMetrics {
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	}
	counter := func(name, help string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{"event_type"})
	}
	o := &OutboxMetrics{
		published: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "profile_outbox_publish_duration_seconds", Help: "From handing an event to the client until the broker acknowledged it.",
			Buckets: []float64{.001, .002, .003, .005, .009, .02, .05, .1, .25, 1, 5, 30, 60},
		}, []string{"event_type"}),
		refused:     counter("profile_outbox_refusals_total", "Messages the broker would not have, each attempt."),
		deadLetters: counter("profile_outbox_dead_letters_total", "Events that used up their attempts; their user's events wait. Alert on any."),
		broker: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "profile_outbox_broker_failures_total", Help: "Breakdowns of the broker; publishing pauses after each.",
		}),
		database: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "profile_outbox_database_failures_total", Help: "Visits to the database that failed; the publisher rests after each.",
		}),
		lag: gauge("profile_outbox_lag_seconds", "Age of the oldest event that is not acknowledged, in the lanes held here, blocked keys apart. "+
			"While the database does not answer it grows: it is what it may be at most."),
		backlog:     gauge("outbox_backlog", "About how many events wait in the whole queue, by table statistics."),
		outstanding: gauge("profile_outbox_outstanding", "Events handed to the client and not acknowledged."),
		lanes:       gauge("profile_outbox_lanes", "Lanes held here; all publishers together hold 16."),
		blockedKeys: gauge("profile_outbox_blocked_keys", "Ordering keys that wait for an operator, in the lanes held here."),
	}
	m.Registry.MustRegister(o.published, o.refused, o.deadLetters, o.broker, o.database, o.lag, o.backlog, o.outstanding, o.lanes, o.blockedKeys)
	return o
}

// Published implements outbox.Observer.
func (o *OutboxMetrics) Published(eventType string, took time.Duration) {
	o.published.WithLabelValues(eventType).Observe(took.Seconds())
}

// Refused implements outbox.Observer.
func (o *OutboxMetrics) Refused(eventType string) { o.refused.WithLabelValues(eventType).Inc() }

// DeadLettered implements outbox.Observer.
func (o *OutboxMetrics) DeadLettered(eventType string) {
	o.deadLetters.WithLabelValues(eventType).Inc()
}

// BrokerFailed implements outbox.Observer.
func (o *OutboxMetrics) BrokerFailed() { o.broker.Inc() }

// DatabaseFailed implements outbox.Observer.
func (o *OutboxMetrics) DatabaseFailed() { o.database.Inc() }

// Observed implements outbox.Observer.
func (o *OutboxMetrics) Observed(now outbox.Status) {
	o.lag.Set(now.Lag.Seconds())
	o.outstanding.Set(float64(now.Outstanding))
	o.lanes.Set(float64(now.Lanes))
	o.blockedKeys.Set(float64(now.BlockedKeys))
}

// Backlog implements outbox.Observer.
func (o *OutboxMetrics) Backlog(events int64) { o.backlog.Set(float64(events)) }
