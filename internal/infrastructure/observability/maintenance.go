package observability

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/lingo-services/profile/internal/tasks/maintenance"
)

// MaintenanceMetrics shows what maintenance removes. It implements maintenance.Observer.
type MaintenanceMetrics struct {
	removed  *prometheus.CounterVec
	failures *prometheus.CounterVec
	success  *prometheus.GaugeVec
}

// NewMaintenanceMetrics registers in m's registry.
func NewMaintenanceMetrics(m *Metrics) *MaintenanceMetrics {
	o := &MaintenanceMetrics{
		removed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "profile_maintenance_removed_total", Help: "Rows removed after their retention; of event_log: days; of unjudged_watches: rows that got their ratio.",
		}, []string{"what"}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "profile_maintenance_failures_total", Help: "Runs of a job that failed; the next run tries again.",
		}, []string{"job"}),
		success: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "profile_maintenance_last_success_timestamp_seconds",
			Help: "When a job last did all it had to. Alert when no instance has for hours: tables grow.",
		}, []string{"job"}),
	}
	for _, job := range maintenance.Jobs() { // a counter that is there from the start can be alerted on
		o.removed.WithLabelValues(string(job))
		o.failures.WithLabelValues(string(job))
		o.success.WithLabelValues(string(job))
	}
	m.Registry.MustRegister(o.removed, o.failures, o.success)
	return o
}

// Removed implements maintenance.Observer.
func (o *MaintenanceMetrics) Removed(job maintenance.Job, n int64) {
	o.removed.WithLabelValues(string(job)).Add(float64(n))
}

// Succeeded implements maintenance.Observer.
func (o *MaintenanceMetrics) Succeeded(job maintenance.Job) {
	o.success.WithLabelValues(string(job)).SetToCurrentTime()
}

// Failed implements maintenance.Observer.
func (o *MaintenanceMetrics) Failed(job maintenance.Job) {
	o.failures.WithLabelValues(string(job)).Inc()
}
