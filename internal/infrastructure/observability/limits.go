package observability

import "github.com/prometheus/client_golang/prometheus"

// LimitMetrics counts what the limits decided; it implements limits.Observer.
type LimitMetrics struct{ decisions *prometheus.CounterVec }

// NewLimitMetrics registers with m.
func NewLimitMetrics(m *Metrics) *LimitMetrics {
	l := &LimitMetrics{decisions: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "profile_rate_limit_total", Help: "Calls by limit: admitted or refused, _locally while Redis does not answer.",
	}, []string{"limit", "outcome"})}
	m.Registry.MustRegister(l.decisions)
	return l
}

// CallLimited implements limits.Observer.
func (l *LimitMetrics) CallLimited(rule, outcome string) {
	l.decisions.WithLabelValues(rule, outcome).Inc()
}
