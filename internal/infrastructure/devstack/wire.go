//go:build wireinject

package devstack

import (
	"context"
	"log/slog"

	"github.com/google/wire"

	"github.com/lingo-services/profile/internal/controllers"
	"github.com/lingo-services/profile/internal/infrastructure/config"
	"github.com/lingo-services/profile/internal/infrastructure/config/confpb"
	"github.com/lingo-services/profile/internal/infrastructure/observability"
	"github.com/lingo-services/profile/internal/infrastructure/postgres"
	"github.com/lingo-services/profile/internal/infrastructure/servers"
	"github.com/lingo-services/profile/internal/services"
)

// NewService wires the API server with its services reachable, for seeding and tests. The same providers
// as cmd/grpc; the caller calls cleanup after the app has stopped.
func NewService(ctx context.Context, conf *confpb.Bootstrap, log *slog.Logger) (*Service, func(), error) {
	panic(wire.Build(
		config.ProviderSet, postgres.ProviderSet, observability.ProviderSet, services.ProviderSet, controllers.ProviderSet,
		servers.ProviderSet, wire.Struct(new(Service), "*"),
	))
}
