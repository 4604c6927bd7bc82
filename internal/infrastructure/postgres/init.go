package postgres

import "github.com/google/wire"

// ProviderSet provides the pool.
var ProviderSet = wire.NewSet(NewPool)
