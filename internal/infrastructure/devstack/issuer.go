package devstack

import (
	"fmt"
	"time"

	"github.com/lingo-services/profile/internal/infrastructure/config/confpb"
	"github.com/lingo-services/profile/internal/infrastructure/devissuer"
	"github.com/lingo-services/profile/internal/infrastructure/devpg"
	"github.com/lingo-services/profile/internal/models"
)

// printedLifetime is how long a token is good for that is printed because its key is in this process only.
const printedLifetime = 12 * time.Hour

// issue makes the stack accept tokens of its own issuer, unless it has been given others, and returns the issuer and how
// a shell gets a token of the first seed user: empty when there is no way.
func issue(auth *confpb.Auth, o Options) (issuer *devissuer.Issuer, token string, err error) {
	own := auth.GetMode() == ""
	if o.Ephemeral {
		if issuer, err = devissuer.New(); err != nil {
			return nil, "", err
		}
		user, err := models.ParseUserID(SeedUsers[0].ID)
		if err != nil {
			return nil, "", fmt.Errorf("seed user: %w", err)
		}
		if token, err = issuer.UserToken(user, printedLifetime); err != nil {
			return nil, "", err
		}
	} else {
		dir, err := devpg.StateDir(devpg.Options{Getenv: o.Getenv})
		if err != nil {
			return nil, "", err
		}
		if issuer, err = devissuer.Open(dir); err != nil {
			return nil, "", err
		}
		token = "$(.bin/profilectl token --user " + SeedUsers[0].ID + ")"
	}
	if !own {
		return issuer, "", nil
	}
	issuer.Configure(auth)
	return issuer, token, nil
}
