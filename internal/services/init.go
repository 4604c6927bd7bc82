package services

import (
	"github.com/google/uuid"
	"github.com/google/wire"

	"github.com/lingo-services/profile/internal/repositories"
)

// ProviderSet provides every service.
var ProviderSet = wire.NewSet(
	NewProfileService, NewEngagementService, NewWatchHistoryService, NewVideoProjectionService, NewVideoStatsService,
	NewCatalogInboxService, NewOutboxService, NewFavorites,
	repositories.ProviderSet, wire.Bind(new(Store), new(*repositories.Store)),
	NewEventID,
)

// NewEventID makes UUIDv7 event ids.
func NewEventID() NewID {
	return func() uuid.UUID { return uuid.Must(uuid.NewV7()) }
}
