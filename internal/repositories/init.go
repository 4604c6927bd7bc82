package repositories

import "github.com/google/wire"

// ProviderSet provides the Store.
var ProviderSet = wire.NewSet(NewStore)
