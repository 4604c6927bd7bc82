// Package migrations holds the SQL files that create and change schema profile, in goose format.
package migrations

import "embed"

// FS has every migration; names start with a three-digit number from 101 on and sort in order.
//
//go:embed *.sql
var FS embed.FS
