package observability

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// AdmissionMetrics counts what happens at the gates; it implements admission.Observer.
type AdmissionMetrics struct {
	waits   *prometheus.HistogramVec
	refused *prometheus.CounterVec
	working *prometheus.GaugeVec
	waiting *prometheus.GaugeVec
}

// NewAdmissionMetrics registers with m.
func NewAdmissionMetrics(m *Metrics) *AdmissionMetrics {
	a := &AdmissionMetrics{
		waits: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "profile_admission_wait_seconds", Help: "How long admitted calls waited for their slot.",
			Buckets: []float64{.0001, .001, .005, .01, .025, .05, .1, .25, .5, 1},
		}, []string{"budget"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "profile_admission_refused_total", Help: "Calls turned away: full, deadline or user.",
		}, []string{"budget", "reason"}),
		working: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "profile_admission_in_flight", Help: "Calls in work.",
		}, []string{"budget"}),
		waiting: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "profile_admission_queued", Help: "Calls waiting for a slot.",
		}, []string{"budget"}),
	}
	m.Registry.MustRegister(a.waits, a.refused, a.working, a.waiting)
	return a
}

// Admitted implements admission.Observer.
func (a *AdmissionMetrics) Admitted(budget string, waited time.Duration) {
	a.waits.WithLabelValues(budget).Observe(waited.Seconds())
}

// Refused implements admission.Observer.
func (a *AdmissionMetrics) Refused(budget, why string) { a.refused.WithLabelValues(budget, why).Inc() }

// Present implements admission.Observer.
func (a *AdmissionMetrics) Present(budget string, working, waiting int) {
	a.working.WithLabelValues(budget).Set(float64(working))
	a.waiting.WithLabelValues(budget).Set(float64(waiting))
}
