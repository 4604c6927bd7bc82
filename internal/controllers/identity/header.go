package identity

import (
	"errors"
	"strings"

	"google.golang.org/grpc/metadata"
)

// Metadata keys of S1 and api.md section 7. Nothing else names a caller: no spelling with a prefix or with -bin.
const (
	headerUserInfo      = "x-apigateway-api-userinfo"
	headerAuthorization = "authorization"
	// headerForwarded is where Google's API Gateway puts the client's authorization.
	headerForwarded = "x-forwarded-authorization"
	// headerServerless is what Cloud Run verifies instead of authorization, when it is there.
	headerServerless = "x-serverless-authorization"
)

const bearer = "Bearer "

var (
	errNoToken       = errors.New("no bearer token")
	errSeveralTokens = errors.New("more than one bearer token")
	errNoUserInfo    = errors.New("no user info header")
	errSeveralInfos  = errors.New("user info header appears more than once")
)

// bearerToken is the one token under key.
func bearerToken(md metadata.MD, key string) (string, error) {
	values := md.Get(key)
	if len(values) > 1 {
		return "", errSeveralTokens
	}
	if len(values) == 0 {
		return "", errNoToken
	}
	token, found := strings.CutPrefix(values[0], bearer)
	if !found || token == "" {
		return "", errNoToken
	}
	return token, nil
}

// userInfo is the one user info header.
func userInfo(md metadata.MD) (string, error) {
	switch values := md.Get(headerUserInfo); len(values) {
	case 0:
		return "", errNoUserInfo
	case 1:
		return values[0], nil
	default:
		return "", errSeveralInfos
	}
}
