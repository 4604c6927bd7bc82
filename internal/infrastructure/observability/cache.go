package observability

import (
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/lingo-services/profile/internal/services"
)

// CacheMetrics shows what the caches answer. It implements services.CacheObserver and cache.Observer.
type CacheMetrics struct {
	registry *prometheus.Registry
	favorite cacheUse
	stats    cacheUse
	listed   cacheUse
	failures *prometheus.CounterVec
}

// cacheUse are the counters of one cache, found once: they move with every key.
type cacheUse struct{ hit, miss, bypass prometheus.Counter }

// labelCache is "favorite", "stats" or "listed".
const labelCache = "cache"

// NewCacheMetrics registers in m's registry.
func NewCacheMetrics(m *Metrics) *CacheMetrics {
	requests := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "profile_cache_requests_total", Help: "Keys asked for: found (hit), not found (miss), or wanted from the database (bypass).",
	}, []string{labelCache, "result"})
	o := &CacheMetrics{
		registry: m.Registry,
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "profile_cache_errors_total", Help: "Failures of a cache's backend; the callers were answered from the database.",
		}, []string{"backend"}),
	}
	m.Registry.MustRegister(requests, o.failures)
	for _, name := range []services.CacheName{services.FavoriteCacheName, services.StatsCacheName, services.ListedCacheName} {
		use := o.of(name)
		of := func(result string) prometheus.Counter { return requests.WithLabelValues(string(name), result) }
		*use = cacheUse{hit: of("hit"), miss: of("miss"), bypass: of("bypass")}
		m.Registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "profile_cache_hit_ratio", Help: "Keys found of those looked for since the start; at least 0.85 is wanted. Use the counters for a window.",
			ConstLabels: prometheus.Labels{labelCache: string(name)},
		}, use.ratio))
	}
	return o
}

// ratio is in [0, 1]; 0 before the first key.
func (u *cacheUse) ratio() float64 {
	hits, misses := value(u.hit), value(u.miss)
	if hits+misses == 0 {
		return 0
	}
	return hits / (hits + misses)
}

func value(c prometheus.Counter) float64 {
	var m dto.Metric
	if err := c.Write(&m); err != nil {
		return 0
	}
	return m.GetCounter().GetValue()
}

func (o *CacheMetrics) of(name services.CacheName) *cacheUse {
	switch name {
	case services.StatsCacheName:
		return &o.stats
	case services.ListedCacheName:
		return &o.listed
	case services.FavoriteCacheName:
	}
	return &o.favorite
}

// CacheUsed implements services.CacheObserver.
func (o *CacheMetrics) CacheUsed(name services.CacheName, hits, misses int) {
	use := o.of(name)
	use.hit.Add(float64(hits))
	use.miss.Add(float64(misses))
}

// CacheBypassed implements services.CacheObserver.
func (o *CacheMetrics) CacheBypassed(name services.CacheName, keys int) {
	o.of(name).bypass.Add(float64(keys))
}

// CacheFailed implements cache.Observer.
func (o *CacheMetrics) CacheFailed(backend string) { o.failures.WithLabelValues(backend).Inc() }

// CacheHolds implements cache.Observer: entries tells how much a cache holds in memory.
func (o *CacheMetrics) CacheHolds(name services.CacheName, entries func() int) {
	o.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "profile_cache_entries", Help: "Keys held in memory, some of them too old to be used.",
		ConstLabels: prometheus.Labels{labelCache: string(name)},
	}, func() float64 { return float64(entries()) }))
}
