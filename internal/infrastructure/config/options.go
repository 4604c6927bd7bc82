package config

import (
	"log/slog"

	"github.com/google/wire"

	"github.com/lingo-services/profile/internal/controllers"
	"github.com/lingo-services/profile/internal/controllers/dto"
	"github.com/lingo-services/profile/internal/controllers/identity"
	"github.com/lingo-services/profile/internal/infrastructure/config/confpb"
	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/models/po"
	"github.com/lingo-services/profile/internal/repositories"
	"github.com/lingo-services/profile/internal/services"
	"github.com/lingo-services/profile/internal/services/pagetoken"
)

// ProviderSet turns the configuration into what each layer asks for.
var ProviderSet = wire.NewSet(
	Postgres, TxOptions, ServiceOptions, PageTokens, Timeouts, Authenticator, DecoderOptions, EnableAPI,
)

// Postgres is the database part.
func Postgres(c *confpb.Bootstrap) *confpb.Data_Postgres { return c.GetData().GetPostgres() }

// TxOptions are the limits of every transaction.
func TxOptions(c *confpb.Data_Postgres) repositories.TxOptions {
	return repositories.TxOptions{
		StatementTimeout: c.GetStatementTimeout().AsDuration(),
		LockTimeout:      c.GetLockTimeout().AsDuration(),
		MaxAttempts:      int(c.GetMaxAttempts()),
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
		IdempotencyRetention: c.GetIdempotency().GetRetention().AsDuration(),
		PublishEvents:        c.GetFeatures().GetPublishEvents(),
		PublishPreferences:   c.GetFeatures().GetPublishPreferences(),
	}
}

// PageTokens signs and checks page tokens.
func PageTokens(c *confpb.Bootstrap) (*pagetoken.Codec, error) {
	return pagetoken.NewCodec(c.GetCursor().GetKeys())
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

// Authenticator is the identity mode.
func Authenticator(c *confpb.Bootstrap) identity.Authenticator {
	if !c.GetAuth().GetInsecureDev() {
		return identity.DenyAll{}
	}
	var known []identity.Service
	for _, s := range c.GetAuth().GetDevServices() {
		roles := make([]identity.Role, len(s.GetRoles()))
		for i, r := range s.GetRoles() {
			roles[i] = identity.Role(r)
		}
		known = append(known, identity.Service{Name: s.GetName(), Token: s.GetToken(), Roles: roles})
	}
	return identity.NewInsecureDev(known)
}
