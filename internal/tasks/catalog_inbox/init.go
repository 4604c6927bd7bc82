package cataloginbox

import (
	"github.com/google/wire"

	"github.com/lingo-services/profile/internal/clients/catalog"
	"github.com/lingo-services/profile/internal/services"
)

// ProviderSet provides the Runner and the decoder that its service redrives with.
var ProviderSet = wire.NewSet(NewRunner, wire.Value(services.CatalogDecoder(catalog.Decode)))
