package observability

import (
	"github.com/google/wire"

	"github.com/lingo-services/profile/internal/controllers"
	"github.com/lingo-services/profile/internal/controllers/admission"
	"github.com/lingo-services/profile/internal/controllers/limits"
	"github.com/lingo-services/profile/internal/infrastructure/cache"
	"github.com/lingo-services/profile/internal/services"
)

// ProviderSet provides metrics, as everything that observes.
var ProviderSet = wire.NewSet(
	NewMetrics, NewAdmissionMetrics,
	wire.Bind(new(services.Observer), new(*Metrics)),
	wire.Bind(new(controllers.RequestObserver), new(*Metrics)),
	wire.Bind(new(admission.Observer), new(*AdmissionMetrics)),
	NewLimitMetrics,
	wire.Bind(new(limits.Observer), new(*LimitMetrics)),
	NewCacheMetrics,
	wire.Bind(new(services.CacheObserver), new(*CacheMetrics)),
	wire.Bind(new(cache.Observer), new(*CacheMetrics)),
)
