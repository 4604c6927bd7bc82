package config

import (
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"time"

	"github.com/google/uuid"
	"github.com/google/wire"

	"github.com/lingo-services/profile/internal/controllers"
	"github.com/lingo-services/profile/internal/controllers/admission"
	"github.com/lingo-services/profile/internal/controllers/dto"
	"github.com/lingo-services/profile/internal/controllers/limits"
	"github.com/lingo-services/profile/internal/infrastructure/config/confpb"
	"github.com/lingo-services/profile/internal/infrastructure/servers"
	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/models/po"
	"github.com/lingo-services/profile/internal/repositories"
	"github.com/lingo-services/profile/internal/services"
	"github.com/lingo-services/profile/internal/services/coalesce"
	"github.com/lingo-services/profile/internal/services/pagetoken"
	cataloginbox "github.com/lingo-services/profile/internal/tasks/catalog_inbox"
	"github.com/lingo-services/profile/internal/tasks/maintenance"
	"github.com/lingo-services/profile/internal/tasks/outbox"
)

// ProviderSet turns the configuration into what each layer asks for.
var ProviderSet = wire.NewSet(
	Postgres, Messaging, TxOptions, ServiceOptions, Admission, PageTokens, Timeouts, CallLines, Authenticator, DecoderOptions, EnableAPI, InboxGeneration, Cache, Limits,
)

// Postgres is the database part.
func Postgres(c *confpb.Bootstrap) *confpb.Data_Postgres { return c.GetData().GetPostgres() }

// Messaging is the Pub/Sub part.
func Messaging(c *confpb.Bootstrap) *confpb.Messaging { return c.GetMessaging() }

// Cache is the part of the favourite cache.
func Cache(c *confpb.Bootstrap) *confpb.Cache { return c.GetCache() }

// OutboxProviderSet is what the publisher asks for besides.
var OutboxProviderSet = wire.NewSet(OutboxOptions, OutboxGrace)

// OutboxOptions are the publisher's settings; every call names another instance.
func OutboxOptions(c *confpb.Bootstrap) outbox.Options {
	o := c.GetMessaging().GetOutbox()
	var buckets uint32
	_, _ = fmt.Sscanf(o.GetOrderingKey(), "bucket:%d", &buckets) // `user` leaves 0; anything else was refused
	host, _ := os.Hostname()
	return outbox.Options{
		Instance:    fmt.Sprintf("%s/%d/%s", host, os.Getpid(), uuid.NewString()[:8]),
		Batch:       int(o.GetBatch()),
		Window:      int(o.GetMaxOutstanding()),
		Lease:       o.GetLease().AsDuration(),
		Renew:       o.GetRenew().AsDuration(),
		MaxAttempts: int(o.GetMaxAttempts()),
		BackoffMin:  o.GetBackoffMin().AsDuration(),
		BackoffMax:  o.GetBackoffMax().AsDuration(),
		Buckets:     buckets,
		Grace:       o.GetGrace().AsDuration(),
		Reread:      o.GetReread().AsDuration(),
	}
}

// OutboxGrace is how long a stopping publisher may take: its grace, and a moment to release its lanes.
func OutboxGrace(c *confpb.Bootstrap) servers.Grace {
	const moment = 6 * time.Second
	return servers.Grace(c.GetMessaging().GetOutbox().GetGrace().AsDuration() + moment)
}

// TxOptions are the limits of every transaction.
func TxOptions(c *confpb.Data_Postgres) repositories.TxOptions {
	return repositories.TxOptions{
		StatementTimeout: c.GetStatementTimeout().AsDuration(),
		LockTimeout:      c.GetLockTimeout().AsDuration(),
		MaxAttempts:      int(c.GetMaxAttempts()),
		Settled:          c.GetQueryMode() == "cache_statement",
	}
}

// ServiceOptions are the business settings.
func ServiceOptions(c *confpb.Bootstrap) services.Options {
	return services.Options{
		VideoPolicy:      models.VideoPolicy(c.GetEngagement().GetVideoPolicy()),
		MaxActivePerType: c.GetEngagement().GetMaxActivePerType(),
		Watch: po.WatchRules{
			Retention:            c.GetWatch().GetRetention().AsDuration(),
			UnqualifiedRetention: c.GetWatch().GetUnqualifiedRetention().AsDuration(),
		},
		Coalescing: coalesce.Options{
			Enabled: c.GetCoalescing().GetEnabled(), Writers: int(c.GetCoalescing().GetWriters()), Batch: int(c.GetCoalescing().GetBatch()),
			PerUser: int(c.GetCoalescing().GetPerUser()), Stragglers: int(c.GetCoalescing().GetStragglers()),
		},
		IdempotencyRetention: c.GetIdempotency().GetRetention().AsDuration(),
		PublishEvents:        c.GetFeatures().GetPublishEvents(),
		PublishPreferences:   c.GetFeatures().GetPublishPreferences(),
	}
}

// Admission bounds the calls in work.
func Admission(c *confpb.Bootstrap) admission.Settings {
	a := c.GetAdmission()
	gate := func(g *confpb.Admission_Gate) admission.Options {
		return admission.Options{
			Slots: int(g.GetSlots()), Queue: int(g.GetQueue()), PerUser: int(a.GetPerUser()), MaxWait: a.GetMaxWait().AsDuration(),
		}
	}
	s := admission.Settings{
		Enabled: a.GetEnabled(), Reads: gate(a.GetReads()), Updates: gate(a.GetUpdates()),
		Shared: gate(a.GetShared()), SharedReads: gate(a.GetSharedReads()),
		Runnable: int(a.GetRunnablePerProcessor()) * runtime.GOMAXPROCS(0),
	}
	if !c.GetCoalescing().GetEnabled() {
		s.Shared, s.SharedReads = s.Updates, s.Reads // each of them needs a connection then
	}
	return s
}

// Limits are the quotas of callers.
func Limits(c *confpb.Bootstrap) limits.Settings {
	l := c.GetLimits()
	s := limits.Settings{
		FavoritesPerSecond: l.GetFavoritesPerSecond(), FavoritesPerDay: l.GetFavoritesPerDay(), UpdatesPerDay: l.GetUpdatesPerDay(),
		ProgressPerSecond: l.GetProgressPerSecond(), ServicePerSecond: l.GetServicePerSecond(), Services: map[string]int64{},
	}
	for _, service := range l.GetServices() {
		s.Services[service.GetName()] = service.GetPerSecond()
	}
	return s
}

// PageTokens signs and checks page tokens.
func PageTokens(c *confpb.Bootstrap) (*pagetoken.Codec, error) {
	return pagetoken.NewCodec(c.GetCursor().GetKeys())
}

// CallLines bounds the lines about calls.
func CallLines(c *confpb.Bootstrap) controllers.CallLines {
	return controllers.CallLines(c.GetService().GetCallLinesPerSecond())
}

// Timeouts are the deadlines of calls.
func Timeouts(c *confpb.Bootstrap) controllers.Timeouts {
	t := c.GetServer().GetTimeouts()
	return controllers.Timeouts{
		Query: t.GetQuery().AsDuration(), Command: t.GetCommand().AsDuration(), Progress: t.GetProgress().AsDuration(),
	}
}

// EnableAPI is the switch of all ProfileService methods (M22).
func EnableAPI(c *confpb.Bootstrap, log *slog.Logger) controllers.Enabled {
	if c.GetFeatures().GetEnableCatalogLegacy() {
		log.Warn("features.enable_catalog_legacy has no effect: the legacy API is gone")
	}
	return controllers.Enabled(c.GetFeatures().GetEnableProfileApi())
}

// DecoderOptions relax input rules in development.
func DecoderOptions(c *confpb.Bootstrap) dto.Options {
	return dto.Options{AllowHTTPAvatars: c.GetService().GetEnvironment() == "dev"}
}

// CatalogInboxProviderSet is what the consumer of catalog events asks for besides.
var CatalogInboxProviderSet = wire.NewSet(CatalogInboxOptions, CatalogInboxGrace)

// CatalogInboxOptions are the consumer's settings.
func CatalogInboxOptions(c *confpb.Bootstrap) cataloginbox.Options {
	i := c.GetMessaging().GetCatalogInbox()
	return cataloginbox.Options{
		Subscription:   i.GetSubscriptionId(),
		Batch:          int(i.GetBatch()),
		Linger:         i.GetLinger().AsDuration(),
		MaxOutstanding: int(i.GetMaxOutstanding()),
		Streams:        int(i.GetStreams()),
		Patience:       cataloginbox.DefaultPatience,
		BackoffMin:     cataloginbox.LeastBackoff,
		BackoffMax:     cataloginbox.GreatestBackoff,
	}
}

// CatalogInboxGrace is how long a stopping consumer may take for what it has in hand.
func CatalogInboxGrace(c *confpb.Bootstrap) servers.Grace {
	return servers.Grace(c.GetServer().GetTimeouts().GetDrain().AsDuration())
}

// InboxGeneration is the generation of the catalog inbox.
func InboxGeneration(c *confpb.Bootstrap) services.InboxGeneration {
	return services.InboxGeneration(c.GetMessaging().GetCatalogInbox().GetGeneration())
}

// MaintenanceProviderSet is what maintenance asks for besides.
var MaintenanceProviderSet = wire.NewSet(MaintenanceOptions, MaintenanceGrace)

// MaintenanceOptions are the settings of maintenance.
func MaintenanceOptions(c *confpb.Bootstrap) maintenance.Options {
	m := c.GetMaintenance()
	return maintenance.Options{
		Interval:         m.GetInterval().AsDuration(),
		EventRetention:   m.GetEventRetention().AsDuration(),
		InboxRetention:   m.GetInboxRetention().AsDuration(),
		SessionRetention: m.GetSessionRetention().AsDuration(),
		Batch:            m.GetBatch(),
	}
}

// MaintenanceGrace is how long stopping may take; the transaction in hand is given up.
func MaintenanceGrace(c *confpb.Bootstrap) servers.Grace {
	return servers.Grace(c.GetServer().GetTimeouts().GetDrain().AsDuration())
}
