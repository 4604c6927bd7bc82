// Package configs holds the shipped configuration.
package configs

import _ "embed"

// Default is config.yaml: every key with its default.
//
//go:embed config.yaml
var Default []byte
