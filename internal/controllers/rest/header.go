package rest

import (
	"net/textproto"
	"slices"
	"strings"
)

// incoming are the request headers that reach the service, and the metadata they become. The list is closed: by
// default grpc-gateway turns Grpc-Metadata-X-Apigateway-Api-Userinfo into the header that names the user.
var incoming = map[string]string{
	"Authorization":             "authorization",
	"X-Forwarded-Authorization": "x-forwarded-authorization",
	"X-Apigateway-Api-Userinfo": "x-apigateway-api-userinfo",
	// Refused where it would say who calls: see identity.OnPlatform.
	"X-Serverless-Authorization": "x-serverless-authorization",
	"Idempotency-Key":            "x-md-idempotency-key",
	"If-Match":                   "x-md-if-match",
	"If-None-Match":              "x-md-if-none-match",
	"X-Md-Client-Time":           "x-md-client-time",
	"X-Md-Consistency":           "x-md-consistency",
	"Traceparent":                "traceparent",
	headerRequestID:              "x-request-id",
}

// outgoing are the metadata of answers that reach the caller, by the same names.
var outgoing = []string{"etag", "idempotency-replayed", "ratelimit", "ratelimit-policy"}

const headerRequestID = "X-Request-Id"

// incomingHeader implements runtime.HeaderMatcherFunc. Authorization passes by grpc-gateway's own rule.
func incomingHeader(name string) (key string, passes bool) {
	key, passes = incoming[textproto.CanonicalMIMEHeaderKey(name)]
	return key, passes && key != "authorization"
}

func outgoingHeader(key string) (name string, passes bool) {
	return textproto.CanonicalMIMEHeaderKey(key), slices.Contains(outgoing, strings.ToLower(key))
}

// headerOf is the HTTP name of a metadata key, and any other name as it is.
func headerOf(field string) string {
	for name, key := range incoming {
		if key == field {
			return name
		}
	}
	return field
}
