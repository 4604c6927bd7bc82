package controllers

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

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

// effort is what a method costs.
type effort struct {
	budget Budget
	// slots are those it competes for.
	slots admission.Budget
}

// efforts has every method of ProfileService; one that is missing stops the start.
var efforts = map[protoreflect.Name]effort{
	"GetProfile":            {Query, admission.SharedReads},
	"UpdateProfile":         {Command, admission.Updates},
	"UpdatePreferences":     {Command, admission.Updates},
	"MutateFavorite":        {Command, admission.Shared},
	"BatchQueryFavorite":    {Query, admission.Reads},
	"ListFavorites":         {Query, admission.Reads},
	"UpsertWatchProgress":   {Progress, admission.Shared},
	"GetWatchProgress":      {Query, admission.Reads},
	"BatchGetWatchProgress": {Query, admission.Reads},
	"ListWatchHistory":      {Query, admission.Reads},
	"GetVideoStats":         {Query, admission.Reads},
	"BatchGetVideoStats":    {Query, admission.Reads},
	"BatchGetVideos":        {Query, admission.Reads},
	"PurgeUserData":         {Command, admission.Updates},
}

// policy is what must be known of a method before it may be served.
type policy struct {
	effort
	access identity.Access
}

// roles are the names that configuration and credentials use.
var roles = map[profilev1.Role]identity.Role{
	profilev1.Role_ROLE_READER: identity.Reader, profilev1.Role_ROLE_WRITER: identity.Writer, profilev1.Role_ROLE_COMPLIANCE: identity.Compliance,
	profilev1.Role_ROLE_ADMIN: identity.Admin,
}

// policiesOf are the policies of a service's methods by their full name. Errors: one for each method that does not say
// who may call it, or what it costs.
func policiesOf(service protoreflect.ServiceDescriptor) (map[string]policy, error) {
	policies := map[string]policy{}
	var problems []error
	for i := range service.Methods().Len() {
		method := service.Methods().Get(i)
		access, err := accessOf(method)
		effort, known := efforts[method.Name()]
		switch {
		case err != nil:
			problems = append(problems, err)
		case !known:
			problems = append(problems, fmt.Errorf("method %s has no deadline and no slots", method.Name()))
		}
		policies[fmt.Sprintf("/%s/%s", service.FullName(), method.Name())] = policy{effort, access}
	}
	return policies, errors.Join(problems...)
}

// accessOf reads who may call a method from its option in the contract.
func accessOf(method protoreflect.MethodDescriptor) (identity.Access, error) {
	option, _ := proto.GetExtension(method.Options(), profilev1.E_Access).(*profilev1.Access)
	access := identity.Access{Self: option.GetSelf(), Anyone: option.GetAnyone()}
	for _, r := range option.GetRoles() {
		role, known := roles[r]
		if !known {
			return identity.Access{}, fmt.Errorf("method %s names an unknown role %s", method.Name(), r)
		}
		access.Roles = append(access.Roles, role)
	}
	known := access.Self || len(access.Roles) > 0
	switch {
	case access.Anyone && known:
		return identity.Access{}, fmt.Errorf("method %s is for anyone, and for somebody", method.Name())
	case !access.Anyone && !known:
		return identity.Access{}, fmt.Errorf("method %s does not say who may call it", method.Name())
	}
	return access, nil
}
