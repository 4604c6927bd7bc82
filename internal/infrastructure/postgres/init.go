package postgres

import (
	"github.com/google/wire"

	"github.com/lingo-services/profile/internal/repositories"
)

// ProviderSet provides the pool, and waking publishers through it.
var ProviderSet = wire.NewSet(NewPool, NewNotifier, wire.Bind(new(repositories.Waker), new(*Notifier)))
