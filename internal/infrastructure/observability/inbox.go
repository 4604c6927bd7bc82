package observability

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	cataloginbox "github.com/lingo-services/profile/internal/tasks/catalog_inbox"
)

// InboxMetrics counts what the catalog inbox does. It implements cataloginbox.Observer.
type InboxMetrics struct {
	events     *prometheus.CounterVec
	faults     *prometheus.CounterVec
	batchSize  prometheus.Histogram
	took       prometheus.Histogram
	nacks      prometheus.Counter
	failedAcks prometheus.Counter

	mu sync.Mutex
	// inHand counts messages by when the broker got them.
	inHand map[time.Time]int
}

// NewInboxMetrics registers in m's registry.
func NewInboxMetrics(m *Metrics) *InboxMetrics {
	i := &InboxMetrics{
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "catalog_inbox_events_total",
			Help: "Catalog events by what became of them: applied, duplicate, stale (nothing new), dead, parked. Alert on any dead.",
		}, []string{"result"}),
		faults: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "catalog_inbox_field_faults_total",
			Help: "Fields of applied catalog events that were dropped (cannot be read or stored) or hide the video (unknown value). The log names them.",
		}, []string{"fault"}),
		batchSize: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "catalog_inbox_batch_size", Help: "Events of one committed transaction.", Buckets: prometheus.ExponentialBuckets(1, 2, 11),
		}),
		took: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "catalog_inbox_apply_duration_seconds", Help: "Time of one committed transaction.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 3, 10},
		}),
		nacks: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "catalog_inbox_nacks_total", Help: "Messages given back to the broker.",
		}),
		failedAcks: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "catalog_inbox_ack_failures_total", Help: "Acknowledgements the broker did not accept; the messages come again, without effect.",
		}),
		inHand: map[time.Time]int{},
	}
	for _, result := range []cataloginbox.Result{
		cataloginbox.Applied, cataloginbox.Duplicate, cataloginbox.Stale, cataloginbox.Dead, cataloginbox.Parked,
	} {
		i.events.WithLabelValues(string(result)) // a counter that is there from the start can be alerted on
	}
	for _, fault := range []cataloginbox.Fault{cataloginbox.Dropped, cataloginbox.Unknown} {
		i.faults.WithLabelValues(string(fault))
	}
	m.Registry.MustRegister(i.events, i.faults, i.batchSize, i.took, i.nacks, i.failedAcks, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "profile_inbox_lag_seconds",
		Help: "How long ago the broker got the oldest message that is received and neither acknowledged nor given back; 0 when there is none.",
	}, func() float64 { return i.lag(time.Now()).Seconds() }))
	return i
}

func (i *InboxMetrics) lag(now time.Time) (lag time.Duration) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for published := range i.inHand {
		lag = max(lag, now.Sub(published))
	}
	return lag
}

// Received implements cataloginbox.Observer.
func (i *InboxMetrics) Received(published time.Time) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.inHand[published]++
}

// Settled implements cataloginbox.Observer.
func (i *InboxMetrics) Settled(published time.Time) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.inHand[published]--; i.inHand[published] <= 0 {
		delete(i.inHand, published)
	}
}

// Committed implements cataloginbox.Observer.
func (i *InboxMetrics) Committed(size int, took time.Duration) {
	i.batchSize.Observe(float64(size))
	i.took.Observe(took.Seconds())
}

// Counted implements cataloginbox.Observer.
func (i *InboxMetrics) Counted(result cataloginbox.Result, n int) {
	i.events.WithLabelValues(string(result)).Add(float64(n))
}

// Faulty implements cataloginbox.Observer.
func (i *InboxMetrics) Faulty(fault cataloginbox.Fault, fields int) {
	i.faults.WithLabelValues(string(fault)).Add(float64(fields))
}

// Nacked implements cataloginbox.Observer.
func (i *InboxMetrics) Nacked(n int) { i.nacks.Add(float64(n)) }

// AckFailed implements cataloginbox.Observer.
func (i *InboxMetrics) AckFailed() { i.failedAcks.Inc() }
