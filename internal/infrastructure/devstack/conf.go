package devstack

import (
	"fmt"

	"github.com/lingo-services/profile/internal/infrastructure/config"
	"github.com/lingo-services/profile/internal/infrastructure/config/confpb"
)

// Development credentials: public, accepted on loopback listeners of the dev environment only.
const (
	devCursorKey   = "dev-only-cursor-key-0001"
	devTokenPrefix = "dev-token-"
)

// DevToken is the bearer token of the development service with that role.
func DevToken(role string) string { return devTokenPrefix + role }

// Conf is the shipped configuration, relaxed for development on this machine, then env on top: insecure
// identity, reflection, the API page, one service per role, a public cursor key.
func Conf(env config.Environment) (*confpb.Bootstrap, error) {
	return config.LoadText("of development", []byte(devOverlay()), env)
}

func devOverlay() string {
	overlay := `
service: {environment: dev}
server: {reflection: true, docs: true}
messaging: {catalog_inbox: {streams: 16}}
auth:
  insecure_dev: true
  dev_services:
`
	for _, role := range []string{"reader", "writer", "compliance", "admin"} {
		overlay += fmt.Sprintf("    - {name: dev-%s, token: %s, roles: [%s]}\n", role, DevToken(role), role)
	}
	return overlay + "cursor: {keys: [" + devCursorKey + "]}\n"
}
