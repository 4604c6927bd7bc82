//go:build wireinject

package main

import (
	"context"
	"log/slog"

	"github.com/google/wire"

	"github.com/lingo-services/profile/internal/controllers"
	"github.com/lingo-services/profile/internal/infrastructure/cache"
	"github.com/lingo-services/profile/internal/infrastructure/config"
	"github.com/lingo-services/profile/internal/infrastructure/config/confpb"
	"github.com/lingo-services/profile/internal/infrastructure/observability"
	"github.com/lingo-services/profile/internal/infrastructure/postgres"
	"github.com/lingo-services/profile/internal/infrastructure/ratelimit"
	"github.com/lingo-services/profile/internal/infrastructure/servers"
	"github.com/lingo-services/profile/internal/services"
)

func newApp(ctx context.Context, conf *confpb.Bootstrap, log *slog.Logger) (*servers.App, func(), error) {
	panic(wire.Build(
		config.ProviderSet, postgres.ProviderSet, observability.ProviderSet, cache.ProviderSet, ratelimit.ProviderSet,
		services.ProviderSet, controllers.ProviderSet, servers.ProviderSet,
	))
}
