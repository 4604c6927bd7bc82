// Package openapi holds the OpenAPI document of REST.
package openapi

import _ "embed"

// Document is profile.v1.yaml.
//
//go:embed profile.v1.yaml
var Document []byte
