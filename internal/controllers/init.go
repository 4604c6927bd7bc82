package controllers

import (
	"github.com/google/wire"

	"github.com/lingo-services/profile/internal/controllers/admission"
	"github.com/lingo-services/profile/internal/controllers/dto"
	"github.com/lingo-services/profile/internal/controllers/limits"
)

// ProviderSet provides the handler and what stands before it.
var ProviderSet = wire.NewSet(admission.NewDoors, limits.NewLimits, NewBaseHandler, NewProfileHandler, dto.NewDecoder)
