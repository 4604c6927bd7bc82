package controllers

import (
	"fmt"

	profilev1 "github.com/lingo-services/profile/api/profile/v1"
	"github.com/lingo-services/profile/internal/controllers/admission"
	"github.com/lingo-services/profile/internal/controllers/identity"
)

// Budget is the kind of deadline a method gets.
type Budget uint8

// The budgets; configuration says how long each is.
const (
	Query Budget = iota + 1
	Command
	Progress
)

// Policy is what must be known of a method before it may be served.
type Policy struct {
	Access identity.Access
	Budget Budget
	// Slots are those it competes for.
	Slots admission.Budget
}

// policies has every method of ProfileService; one that is missing stops the start.
var policies = map[string]Policy{
	profilev1.ProfileService_GetProfile_FullMethodName:            {identity.Access{Self: true, Role: identity.Reader}, Query, admission.Reads},
	profilev1.ProfileService_UpdateProfile_FullMethodName:         {identity.Access{Self: true, Role: identity.Writer}, Command, admission.Updates},
	profilev1.ProfileService_UpdatePreferences_FullMethodName:     {identity.Access{Self: true, Role: identity.Writer}, Command, admission.Updates},
	profilev1.ProfileService_MutateFavorite_FullMethodName:        {identity.Access{Self: true, Role: identity.Writer}, Command, admission.Shared},
	profilev1.ProfileService_BatchQueryFavorite_FullMethodName:    {identity.Access{Self: true, Role: identity.Reader}, Query, admission.Reads},
	profilev1.ProfileService_ListFavorites_FullMethodName:         {identity.Access{Self: true, Role: identity.Reader}, Query, admission.Reads},
	profilev1.ProfileService_UpsertWatchProgress_FullMethodName:   {identity.Access{Self: true, Role: identity.Writer}, Progress, admission.Shared},
	profilev1.ProfileService_GetWatchProgress_FullMethodName:      {identity.Access{Self: true, Role: identity.Reader}, Query, admission.Reads},
	profilev1.ProfileService_BatchGetWatchProgress_FullMethodName: {identity.Access{Self: true, Role: identity.Reader}, Query, admission.Reads},
	profilev1.ProfileService_ListWatchHistory_FullMethodName:      {identity.Access{Self: true, Role: identity.Reader}, Query, admission.Reads},
	profilev1.ProfileService_PurgeUserData_FullMethodName:         {identity.Access{Self: false, Role: identity.Compliance}, Command, admission.Updates},
}

// checkPolicies fails when a served method has no policy.
func checkPolicies() error {
	service := profilev1.ProfileService_ServiceDesc
	for _, m := range service.Methods {
		if _, ok := policies["/"+service.ServiceName+"/"+m.MethodName]; !ok {
			return fmt.Errorf("method %s has no access policy", m.MethodName)
		}
	}
	return nil
}
