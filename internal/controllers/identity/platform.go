package identity

import (
	"context"
	"errors"

	"google.golang.org/grpc/metadata"

	"github.com/lingo-services/profile/internal/models"
)

// OnPlatform authenticates behind a platform that verifies the token in authorization and removes its signature. Cloud Run
// leaves authorization unverified when x-serverless-authorization is there: nobody may send that.
type OnPlatform struct{ Authenticator }

var errServerless = errors.New("the platform verified x-serverless-authorization, not authorization")

// Authenticate implements Authenticator.
func (p OnPlatform) Authenticate(ctx context.Context, md metadata.MD) (Caller, error) {
	if len(md.Get(headerServerless)) > 0 {
		return Caller{}, models.ErrUnauthenticated.Because(errServerless)
	}
	return p.Authenticator.Authenticate(ctx, md)
}
