package observability

import (
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
)

// poolMetrics reads a pool's own statistics when they are asked for.
type poolMetrics struct{ pool *pgxpool.Pool }

var (
	poolConnections = prometheus.NewDesc("profile_db_connections", "Connections of the pool by state: idle, acquired, constructing.", []string{"state"}, nil)
	poolOpened      = prometheus.NewDesc("profile_db_connections_opened_total", "Connections the pool has opened.", nil, nil)
	poolWaits       = prometheus.NewDesc("profile_db_pool_waits_total", "Times somebody had to wait for a connection.", nil, nil)
	poolWaited      = prometheus.NewDesc("profile_db_pool_wait_seconds_total", "Time spent getting connections.", nil, nil)
)

// ObservePool adds a pool to the metrics, once per process.
func (m *Metrics) ObservePool(pool *pgxpool.Pool) { m.Registry.MustRegister(poolMetrics{pool}) }

// Describe implements prometheus.Collector.
func (poolMetrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{poolConnections, poolOpened, poolWaits, poolWaited} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (p poolMetrics) Collect(ch chan<- prometheus.Metric) {
	stat := p.pool.Stat()
	for state, n := range map[string]int32{"idle": stat.IdleConns(), "acquired": stat.AcquiredConns(), "constructing": stat.ConstructingConns()} {
		ch <- prometheus.MustNewConstMetric(poolConnections, prometheus.GaugeValue, float64(n), state)
	}
	ch <- prometheus.MustNewConstMetric(poolOpened, prometheus.CounterValue, float64(stat.NewConnsCount()))
	ch <- prometheus.MustNewConstMetric(poolWaits, prometheus.CounterValue, float64(stat.EmptyAcquireCount()))
	ch <- prometheus.MustNewConstMetric(poolWaited, prometheus.CounterValue, stat.AcquireDuration().Seconds())
}
